"""Memory of real workers: what is taken at a moment stands in that phase's figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.xbench.telemetry.on_gpu import install
from xbench.comparison import compare, run
from xbench.plan import Spec
from xbench.result import Run, Status

MB = 10**6
SLACK = 12 * MB
MOMENTS = {"prepare": "import", "load": "load", "run": "first", "warmup": "warm"}

pytestmark = pytest.mark.usefixtures("test_adapters")


def memories(found: Run) -> dict[str, dict[str, Any]]:
    for row in found.results:
        assert row.status is Status.OK, (row.backend, row.reason)
    return {row.backend: dict(row.memory_bytes) for row in found.results}


def test_what_is_taken_is_found_in_its_phase(tiny_model: Path, tmp_path: Path) -> None:
    """200 MB taken at import are the framework's tax; taken later, they are the model's cost."""
    backends = ("faulty", *(f"faulty:hold-{moment}" for moment in MOMENTS))
    found = memories(compare(tiny_model, backends, out=tmp_path / "r", launches=1, time_budget_s=4))
    plain = found["faulty"]
    for moment, at in MOMENTS.items():
        own, earlier = found[f"faulty:hold-{moment}"], True
        for phase, figures in own["phases"].items():
            earlier = earlier and phase != at
            more = figures["private"] - plain["phases"][phase]["private"]
            assert abs(more - (0 if earlier else 200 * MB)) < SLACK, (moment, phase)
        tax = own["import"]["median"] - plain["import"]["median"]
        cost = own["model"]["peak"]["median"] - plain["model"]["peak"]["median"]
        assert abs(tax - (200 * MB if at == "import" else 0)) < SLACK
        assert abs(cost - (0 if at == "import" else 200 * MB)) < SLACK
        assert abs(own["host"] - plain["host"] - 200 * MB) < SLACK


def test_a_child_of_a_moment_is_seen_in_its_phase(tiny_model: Path, tmp_path: Path) -> None:
    backends = tuple(f"faulty:{how}-{m}" for how in ("child", "fork") for m in MOMENTS)
    found = memories(compare(tiny_model, backends, out=tmp_path / "r", launches=1, time_budget_s=5))
    for backend, told in found.items():
        at = MOMENTS[backend.partition("-")[2]]
        for phase, figures in told["phases"].items():
            seen = figures["children"]
            if phase == at:
                assert 300 * MB <= seen < 380 * MB, (backend, phase)
                assert figures["peak"] - seen < 150 * MB
            else:
                assert seen < SLACK, (backend, phase)
        assert (told["host"] > 300 * MB) is (at != "import")


def test_what_conversion_takes_is_no_memory_of_the_model(tiny_model: Path, tmp_path: Path) -> None:
    """It can be done once, elsewhere; its figures stand by themselves."""
    backends = ("faulty", "faulty:child-convert")
    found = memories(compare(tiny_model, backends, out=tmp_path / "r", launches=1, time_budget_s=3))
    plain, converts = (found[backend] for backend in backends)
    assert converts["phases"]["convert"]["children"] >= 300 * MB
    assert abs(converts["host"] - plain["host"]) < SLACK


LOOKS = """
from xbench.testing.busy import BusyAdapter, BusySession
class Session(BusySession):
    def facts(self):
        self.kept = b"x" * 200_000_000
        return super().facts()
class Mine(BusyAdapter):
    variants = {"": "takes 200 MB to tell about itself"}
    def load(self, model, limits, precision):
        return Session(model, 1_000_000)
"""


def test_what_a_session_takes_to_tell_about_itself_is_no_memory_of_the_model(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked after its memory was read: an adapter may run and import things to answer."""
    looks = install(tmp_path, monkeypatch, "looks", LOOKS)
    backends = (looks, "busy")
    found = memories(compare(tiny_model, backends, out=tmp_path / "r", launches=1, time_budget_s=3))
    assert abs(found[looks]["host"] - found["busy"]["host"]) < SLACK


def test_launches_agree_within_two_hundredths(tiny_model: Path, tmp_path: Path) -> None:
    found = memories(
        compare(tiny_model, ("busy",), out=tmp_path / "run", launches=3, time_budget_s=6)
    )
    peak = found["busy"]["peak"]
    assert peak["max"] - peak["min"] < 0.02 * peak["median"]


def test_a_run_from_before_memory_was_read_is_taken_up_again(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Its launches tell nothing; those of the rest do."""
    out = tmp_path / "run"
    spec = Spec(model=str(tiny_model), backends=("busy",), launches=1, time_budget_s=2.0)
    run(spec, out=out)
    samples = out / "samples.jsonl"
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    for line in lines:
        line.get("launched", {}).pop("memory", None)
        del line["n"], line["sha"]  # lines had no hashes then
    samples.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (row,) = run(spec, resume=out).results
    assert row.launches == 2
    assert row.memory_bytes["host"] > 0
    assert row.memory_bytes["peak"]["min"] == row.memory_bytes["peak"]["max"]
