"""`xbench selftest`: its findings in words, and a difference with itself as a failure."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.xbench.report.runs import cell, run_of
from xbench.cli.main import app
from xbench.cli.selftest import report

FOUND: dict[str, Any] = {
    "overhead_ns": {"bare_loop": 254.2, "total": 288.4, "in_sample": 121.0},
    "aa": {
        "backend": "onnxruntime",
        "ratio": {"value": 1.0021, "low": 0.9962, "high": 1.0083},
        "verdict": "tie",
    },
    "parent_cpu_share": 0.0031,
}


def test_the_findings_are_told_with_their_units() -> None:
    text = "\n".join(report(FOUND))
    assert "288 ns an inference, 121 ns of it inside the sample" in text
    assert "a bare timed Python loop: 254 ns" in text
    assert "onnxruntime against itself: 1.002 [0.996, 1.008], tie" in text
    assert "0.31% of a core" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_was_not_measured_is_said() -> None:
    absent = {**FOUND, "aa": {**FOUND["aa"], "ratio": None}, "parent_cpu_share": None}
    text = "\n".join(report(absent))
    assert "no ratio" in text
    assert "parent    not measured" in text


@pytest.mark.parametrize(("verdict", "status"), [("tie", 0), ("undetermined", 0), ("faster", 1)])
def test_a_difference_with_itself_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, verdict: str, status: int
) -> None:
    document = {**FOUND, "aa": {**FOUND["aa"], "verdict": verdict}}
    found = SimpleNamespace(to_json=lambda: document, run=run_of((cell(0, "a", 1e6, 1),)))
    module = SimpleNamespace(selftest=lambda *_, **__: found)
    monkeypatch.setitem(sys.modules, "xbench.selftest", module)
    done = CliRunner().invoke(app, ["selftest", "--json", "-"])
    assert done.exit_code == status
    assert json.loads(done.stdout) == document
    assert ("distrust comparisons" in done.stderr) is (status == 1)
