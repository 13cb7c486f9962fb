"""What workers are given: the form of the model, and inputs to calibrate with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xbench.adapter import Limits, Native
from xbench.catalog import Resolved
from xbench.errors import UsageError
from xbench.inputs import load_feeds
from xbench.model import read_model
from xbench.plan import Spec, Target, plan_cells
from xbench.preparation import CALIBRATION_SETS, Bindings, make_jobs
from xbench.progress import Silent
from xbench.store import RunFolder

NATIVE = Native("keras", "keras", "/models/net.keras")
BACKENDS = ("onnxruntime", "litert:int8")


def jobs(model: Path, folder: Path, precisions: dict[str, str], **asked: Any) -> Any:
    """Return the jobs of two backends, one of which may be of another precision."""
    spec = Spec(model=str(model), **asked)
    resolved = Resolved(path=model, name="tiny", symbols={}, native=NATIVE)
    known = read_model(model)
    cells = plan_cells(spec, [Target(Limits(threads=1), BACKENDS)], precisions)
    kept = RunFolder.create(folder)
    return make_jobs(spec, known, cells, Bindings(spec, known, resolved), kept, Silent()).jobs


def test_every_worker_hears_of_the_form_that_the_model_was_given_in(
    tiny_model: Path, tmp_path: Path
) -> None:
    assert {job.model.native for job in jobs(tiny_model, tmp_path / "run", {})} == {NATIVE}


def test_only_a_quantised_row_needs_calibration_and_on_other_inputs_than_the_timed(
    tiny_model: Path, tmp_path: Path
) -> None:
    assert jobs(tiny_model, tmp_path / "a", {})[0].model.calibration is None
    job = jobs(tiny_model, tmp_path / "b", {"litert:int8": "int8"}, batches=(3,))[1]
    drawn, timed = load_feeds(job.model.calibration), load_feeds(job.feeds)
    assert len(drawn) == CALIBRATION_SETS
    assert drawn[0]["x"].shape == (3, 8)
    assert not any(np.array_equal(a["x"], b["x"]) for a in drawn for b in timed)


@pytest.mark.parametrize("apart", [True, False])
def test_the_users_inputs_calibrate_unless_others_are_given(
    tiny_model: Path, tmp_path: Path, apart: bool
) -> None:
    np.savez(tmp_path / "timed.npz", x=np.zeros((2, 8), np.float32))
    np.savez(tmp_path / "other.npz", x=np.ones((5, 2, 8), np.float32))
    asked = {"inputs": str(tmp_path / "timed.npz")}
    asked |= {"calibration": str(tmp_path / "other.npz")} if apart else {}
    job = jobs(tiny_model, tmp_path / "run", {"litert:int8": "int8"}, **asked)[1]
    found = load_feeds(job.model.calibration)
    assert (len(found), float(found[0]["x"].max())) == ((5, 1.0) if apart else (1, 0.0))


def test_calibration_of_another_shape_is_refused_before_anything_starts(
    tiny_model: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "one.npz", x=np.ones((1, 8), np.float32))
    asked = {"calibration": str(tmp_path / "one.npz"), "batches": (4,)}
    with pytest.raises(UsageError, match=r"'x' with 1x8, and 4x8 is measured"):
        jobs(tiny_model, tmp_path / "run", {"litert:int8": "int8"}, **asked)
