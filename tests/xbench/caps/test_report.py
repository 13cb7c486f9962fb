"""A reader sees what was imitated and how, what is computed, and whose cap did not hold."""

from __future__ import annotations

from typing import Any

from tests.xbench.caps.test_proof import LIMITS, epochs, launched
from tests.xbench.report.runs import cell
from xbench.caps import of_row
from xbench.report.terminal import render
from xbench.result import CellResult, Run

FLOOR = {
    "latency_ns": 4e6,
    "computed": True,
    "device": "A board",
    "precision": "fp32",
    "threads": 1,
    "confidence": "estimate",
    "reason": None,
}


def shown(*rows: CellResult) -> str:
    run = Run(run_id="r", model={"name": "m"}, host={}, spec={}, results=rows, comparisons=())
    return " ".join(render(run).split())


def caps(**told: Any) -> dict[str, Any]:
    return {**of_row(LIMITS, (launched(**told),), epochs(0.99)), "floor": FLOOR}


def test_the_host_is_named_and_never_the_device() -> None:
    text = shown(cell(0, "honest", 1e6, 1, caps=caps()))
    assert "small: host, capped to 1 thread and 512 MiB; no latency of the device itself" in text
    assert "computed, not measured: A board, by its peak figures (estimate)" in text
    assert "at least 4.000 ms (fp32)" in text


def test_a_row_whose_cap_did_not_hold_is_shown_and_not_ranked() -> None:
    broken = caps(busy=3)
    row = cell(1, "cheat", 5e5, caps=broken, reason="; ".join(broken["broken"]))
    assert not row.ranked
    text = shown(cell(0, "honest", 1e6, 1, caps=caps()), row)
    assert "cheat cap not held (measured p50 500 µs, not to be compared)" in text
    assert "3 threads were busy" in text


def test_without_a_profile_nothing_is_imitated() -> None:
    text = shown(cell(0, "honest", 1e6, 1))
    assert "capped to" not in text
    assert "computed" not in text
