"""The commands of a page are understood by the program, and ask for what was measured."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.xbench.report.runs import cell, run_of, typical, versus
from xbench.cli.main import app
from xbench.plan import Spec
from xbench.report.html.reproduce import of_row, of_run, versions
from xbench.result import Interval, Run

ASKED = Spec(
    model="my model.onnx",
    backends=("onnxruntime", "pytorch"),
    batches=(1, 8),
    shapes={"ids": (1, 128)},
    threads=2,
    precision="fp32,int8",
    launches=3,
    precision_target=0.02,
    time_budget_s=120.0,
    timeout_s=90.0,
    seed=9,
    inputs="feeds.npz",
    trust=True,
    energy=False,
    roofline=False,
)


def asked_by(command: str, monkeypatch: pytest.MonkeyPatch) -> Spec:
    """Return what the program would measure for a command."""
    heard: list[Spec] = []

    def run(spec: Spec, **_: Any) -> Run:
        heard.append(spec)
        return typical()

    monkeypatch.setitem(sys.modules, "xbench.comparison", SimpleNamespace(run=run))
    words = shlex.split(command)
    assert words[0] == "xbench"
    result = CliRunner().invoke(app, words[1:])
    assert heard, result.output
    return heard[0]


def kept(run: Run) -> Run:
    return replace(run, spec=asdict(ASKED))


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"energy": True, "roofline": True},
        {"quick": True},
        {"quick": True, "energy": True, "roofline": True},
        {"scenario": "server:30", "slo": "p99=50ms"},
        {"profile": "rpi4b", "threads": None},
        {"boundary": "device", "device": "cuda:0", "calibration": "c.npz", "trust": False},
    ],
    ids=str,
)
def test_the_command_of_the_run_asks_for_the_same(
    own: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(ASKED, **own)
    run = replace(typical(), spec=json.loads(json.dumps(asdict(spec))))
    assert asked_by(of_run(run), monkeypatch) == spec


def test_the_command_of_a_row_asks_for_it_beside_its_baseline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own: dict[str, Any] = {"threads": {"requested": 1}, "batch": 8}
    base = cell(0, "onnxruntime", 1e6, 1, **own)
    narrow = {"requested": "int8", "effective": "int8"}
    row = cell(1, "pytorch", 2e6, 2, **own, precision=narrow, device="cuda:0")
    run = kept(run_of((base, row), (versus(base, row, Interval(0.5, 0.4, 0.6), "slower"),)))
    spec = asked_by(of_row(run, row), monkeypatch)
    assert spec == replace(ASKED, batches=(8,), threads=1, device="cpu,cuda:0")


def test_a_backend_against_itself_is_named_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = cell(0, "busy", 1e6, 1), cell(1, "busy#2", 1e6, 1)
    run = kept(run_of((first, second), (versus(first, second, Interval(1, 0.9, 1.1), "tie"),)))
    assert asked_by(of_row(run, second), monkeypatch).backends == ("busy", "busy")


def test_the_versions_are_pinned() -> None:
    run = replace(typical(), host={"versions": {"onnxruntime": "1.2", "torch": "2.1+cpu"}})
    assert versions(run) == "pip install onnxruntime==1.2 torch==2.1+cpu"
