"""Which run folder a comparison has: its own, an earlier one of the very same, or the next."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.xbench.claims.made import HERE, document, row
from xbench.claims.keeping import place_for
from xbench.plan import Spec

SPEC = Spec(model="models/tiny.onnx", backends=("onnxruntime", "openvino"))
MODEL = "ab" * 32


def kept(out: Path, *, finished: bool = True, **own: Any) -> Path:
    """Return the folder of a comparison that was made in ``out``; ``own`` changes what it says."""
    folder = place_for(SPEC, MODEL, HERE, out).folder
    told = {
        "spec": json.loads(json.dumps(asdict(SPEC))),
        "host": dict(HERE.context),
        "model": {"name": "tiny", "sha256": MODEL},
        **own,
    }
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"format": 1, **told}))
    if finished:
        found = document(row(0, "onnxruntime"), **told)
        (folder / "result.json").write_text(json.dumps(found))
    return folder


def test_a_comparison_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Named after the model, and another for whatever else is asked."""
    first = place_for(SPEC, MODEL, HERE, tmp_path)
    other = place_for(replace(SPEC, threads=2), MODEL, HERE, tmp_path)
    assert first.folder.name.startswith("tiny-")
    assert first.folder != other.folder
    assert (first.document, first.unfinished) == (None, False)


def test_a_finished_one_is_used_again(tmp_path: Path) -> None:
    folder = kept(tmp_path)
    found = place_for(SPEC, MODEL, HERE, tmp_path)
    assert found.folder == folder
    assert found.document
    assert found.document["results"][0]["backend"] == "onnxruntime"


@pytest.mark.parametrize("finished", [False, True])
def test_one_that_was_interrupted_is_taken_up(tmp_path: Path, finished: bool) -> None:
    """Whether it got as far as a result or not."""
    folder = kept(tmp_path, finished=finished, interrupted=True)
    found = place_for(SPEC, MODEL, HERE, tmp_path)
    assert (found.folder, found.document, found.unfinished) == (folder, None, True)


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    "other",
    [
        {"model": {"name": "tiny", "sha256": "00"}},
        {"host": {**HERE.context, "host_id": "another"}},
        {"host": {**HERE.context, "versions": {"onnxruntime": "1.0"}}},
        {"spec": {"model": "another"}},
    ],
    ids=["model", "host", "versions", "request"],
)
def test_what_is_of_something_else_stays_and_is_not_used(
    tmp_path: Path, finished: bool, other: dict[str, Any]
) -> None:
    folder = kept(tmp_path, finished=finished, **other)
    found = place_for(SPEC, MODEL, HERE, tmp_path)
    assert found.folder == folder.with_name(f"{folder.name}-2")
    assert (found.document, found.unfinished) == (None, False)
    assert (folder / "run.json").exists()


@pytest.mark.parametrize("damage", ["", "{", '{"schema": 1}', "[]"])
def test_a_damaged_result_is_not_used(tmp_path: Path, damage: str) -> None:
    """Its samples may be sound: the run is taken up, and its result made again."""
    folder = kept(tmp_path)
    (folder / "result.json").write_text(damage)
    found = place_for(SPEC, MODEL, HERE, tmp_path)
    assert (found.folder, found.document, found.unfinished) == (folder, None, True)


def test_a_folder_that_is_no_run_is_passed_over(tmp_path: Path) -> None:
    folder = place_for(SPEC, MODEL, HERE, tmp_path).folder
    folder.mkdir()
    assert place_for(SPEC, MODEL, HERE, tmp_path).folder.name == f"{folder.name}-2"
