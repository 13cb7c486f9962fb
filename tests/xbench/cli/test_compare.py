"""`xbench compare`: what the options ask for, and how its end looks to the shell."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from tests.xbench.report.runs import cell, run_of, typical
from xbench.cli.main import app
from xbench.errors import UsageError
from xbench.plan import Spec

if TYPE_CHECKING:
    from xbench.result import Run


class Harness:
    """Stands where minutes of measuring would: hears what is asked, answers with a run."""

    def __init__(self, found: Run) -> None:
        self.found = found
        self.spec: Spec | None = None
        self.out: Path | None = None
        self.resume: Path | None = None

    def run(self, spec: Spec, *, out: Path | None, resume: Path | None, progress: Any) -> Run:
        self.spec, self.out, self.resume = spec, out, resume
        progress.note("measuring")
        return self.found


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    own = Harness(run_of((cell(0, "a", 1e6, 1),)))
    monkeypatch.setitem(sys.modules, "xbench.comparison", SimpleNamespace(run=own.run))
    return own


def compare(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments])


def test_plain_defaults_are_those_of_the_plan(harness: Harness) -> None:
    assert compare("resnet50").exit_code == 0
    assert harness.spec == Spec(model="resnet50", roofline=True)
    assert (harness.out, harness.resume) == (None, None)


def test_every_option_reaches_the_plan(harness: Harness, tmp_path: Path) -> None:
    line = (
        "m.onnx --backends onnxruntime,pytorch:compile --device cpu --batch 1,8 --threads 2 "
        "--shape ids=1x128 --shape mask=1x128 --precision fp32,int8 --boundary device "
        "--launches 3 --seed 9 "
        "--precision-target 2% --time-budget 2min --timeout 90s --inputs feeds.npz --out there"
    )
    assert compare(*line.split()).exit_code == 0
    assert harness.spec == Spec(
        model="m.onnx",
        backends=("onnxruntime", "pytorch:compile"),
        batches=(1, 8),
        shapes={"ids": (1, 128), "mask": (1, 128)},
        threads=2,
        precision="fp32,int8",
        boundary="device",
        launches=3,
        precision_target=0.02,
        time_budget_s=120.0,
        timeout_s=90.0,
        seed=9,
        inputs="feeds.npz",
        roofline=True,
    )
    assert harness.out == Path("there")


def test_quick_asks_for_less_and_an_option_goes_before_it(harness: Harness) -> None:
    compare("m", "--quick")
    quick = harness.spec
    assert quick is not None
    assert quick.quick
    assert quick.time_budget_s < Spec(model="m").time_budget_s
    assert (quick.launches or 0) < Spec(model="m").planned_launches
    compare("m", "--quick", "--launches", "4")
    assert harness.spec == replace(quick, launches=4)


def test_energy_is_measured_unless_in_haste_or_told_not_to(harness: Harness) -> None:
    asked = {}
    for line in ("", "--no-energy", "--quick", "--quick --energy"):
        compare("m", *line.split())
        assert harness.spec is not None
        asked[line] = harness.spec.energy
    assert asked == {"": True, "--no-energy": False, "--quick": False, "--quick --energy": True}


def test_the_roofline_is_found_unless_in_haste_or_told_not_to(harness: Harness) -> None:
    asked = {}
    for line in ("", "--no-roofline", "--quick", "--quick --roofline"):
        compare("m", *line.split())
        assert harness.spec is not None
        asked[line] = harness.spec.roofline
    off = {"--no-roofline": False, "--quick": False}
    assert asked == {"": True, **off, "--quick --roofline": True}


def test_resume_takes_the_folder_alone(harness: Harness) -> None:
    assert compare("--resume", "runs/one", "--json", "-", "-q").exit_code == 0
    assert harness.resume == Path("runs/one")


def test_progress_and_report_keep_apart(harness: Harness) -> None:
    done = compare("m")
    assert "measuring" in done.stderr
    assert "only a has a result" in done.stdout
    assert compare("m", "--no-progress").stderr == ""


def test_the_exit_status_tells_how_the_rows_ended(harness: Harness) -> None:
    assert compare("m").exit_code == 0
    harness.found = typical()
    assert compare("m").exit_code == 1
    harness.found = replace(typical(), interrupted=True)
    assert compare("m").exit_code == 130


def test_nothing_is_measured_for_a_document_that_cannot_be_written(harness: Harness) -> None:
    assert isinstance(compare("m", "--json", "nowhere/x.json").exception, UsageError)
    assert harness.spec is None
