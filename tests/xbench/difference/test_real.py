"""Real runs against each other, and the plug-in that experiments plant a slow-down with."""

from __future__ import annotations

import json
import os
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import xbench
from scripts import planted
from xbench.cli.main import app
from xbench.result import Status
from xbench.testing import RecordingSession

SHORT: dict[str, Any] = {"launches": 1, "time_budget_s": 1.0}


@pytest.mark.usefixtures("test_adapters")
def test_real_runs_are_read_matched_and_compared(tiny_model: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs"
    for name in ("one", "two"):
        xbench.compare(tiny_model, ("busy", "busy:2000"), out=store / name, **SHORT)
    words = ["diff", "one", "two", "--store", str(store), "--format", "json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [row["name"] for row in told["rows"]] == ["busy", "busy:2000"]
    assert told["not_compared"] == told["only_first"] == told["only_second"] == []
    assert told["forbidding"] == []
    other = CliRunner().invoke(app, ["diff", "one", "two", "--store", str(store)])
    assert "busy:2000" in other.output


def test_the_plug_in_is_found_and_agrees(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its entry point, in this process and in workers; slowed, it still gives right outputs."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    planted.install(tmp_path / "plugin")
    with planted.slower(0.05):
        run = xbench.compare(tiny_model, (planted.NAME,), out=tmp_path / "run", **SHORT)
    (row,) = run.results
    assert row.status is Status.OK, row.reason
    assert row.parity.status == "agrees"
    assert planted.SHARE not in os.environ


def test_a_slowed_inference_lasts_its_share_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes 1000 ns a reading: 20 readings for a share of 20 of one."""
    ticks = count(step=1000)
    readings: list[int] = []

    def clock() -> int:
        readings.append(next(ticks))
        return readings[-1]

    monkeypatch.setattr(planted, "perf_counter_ns", clock)
    inner = RecordingSession()
    planted.SlowedSession(inner, 20.0).run()
    assert readings[1] - readings[0] == 1000
    assert readings[-1] - readings[1] == 20 * 1000
    assert inner.calls == ["run", "synchronize"]
