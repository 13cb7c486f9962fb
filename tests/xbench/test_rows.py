"""Which of a row's samples its numbers come from, by how it was loaded."""

from __future__ import annotations

from typing import Any

import pytest

from tests.xbench.report.runs import cell
from xbench.adapter import Limits
from xbench.plan import Cell, Spec, Target, plan_cells
from xbench.result import CellResult, Status
from xbench.rows import OfCell, with_load
from xbench.samples import Epoch

MS = 1_000_000


def of_one(scenario: str) -> Cell:
    spec = Spec(model="m.onnx", scenario=scenario, slo="p99=1s" if "server" in scenario else None)
    (one,) = plan_cells(spec, [Target(Limits(threads=1), ("busy",))])
    return one


def epochs(launch: int, times_ms: list[float], **own: Any) -> tuple[Epoch, ...]:
    """Return a launch with an epoch of ten inferences for each time."""
    return tuple(
        Epoch(
            cell=0,
            launch=launch,
            round=number,
            position=0,
            feed=0,
            latencies_ns=(round(time_ms * MS),) * 10,
            wall_ns=round(10 * time_ms * MS),
            cpu_ns=0,
            canary_ns=None,
            others_cpus=None,
            **own,
        )
        for number, time_ms in enumerate(times_ms)
    )


def loaded(scenario: str, *launches: tuple[Epoch, ...], told: Any = None) -> CellResult:
    every = tuple(one for launch in launches for one in launch)
    row = cell(0, "busy", status=Status.OK)
    return with_load(row, of_one(scenario), OfCell((), every, every, None), told)


COLD, HOT = [1.0] * 30, [2.0] * 30


def test_a_curve_is_of_the_last_launch_that_ran_to_the_end() -> None:
    """A launch that was cut short, and one after the other, have a cold start in the middle."""
    whole, short = COLD + HOT, COLD[:12]
    for launches in (
        [whole],
        [short, whole],
        [whole, short],
        [[3.0] * 60, whole],
        [short, [3.0] * 60, whole],
    ):
        row = loaded("sustained:1min", *(epochs(n, one) for n, one in enumerate(launches)))
        assert row.load
        assert row.load["speed"]["value"] == pytest.approx(0.5)
        assert row.load["shape"] == "step"
        assert row.load["points"][-1]["at_s"] == pytest.approx(0.9, rel=0.01)  # of 0.3 and 0.6 s


def test_the_latency_of_a_sustained_row_is_of_all_that_ran_to_the_end() -> None:
    whole, short = epochs(0, COLD + HOT), epochs(1, COLD[:12])
    row = loaded("sustained:1min", whole, short)
    assert row.latency_ns
    assert (row.latency_ns.n, row.latency_ns.mean) == (600, 1.5 * MS)
    row = loaded("sustained:1min", whole, epochs(1, [3.0] * 60))
    assert row.latency_ns
    assert (row.latency_ns.n, row.latency_ns.mean) == (1200, 2.25 * MS)


def test_a_search_that_was_stopped_has_no_numbers() -> None:
    """Its windows are of many rates, and none of them is known to hold."""
    served = {
        "schedule_ns": [0, 10 * MS],
        "streams": 1,
        "batches": [[n, 1, 0, 0, 10 * n * MS, 10 * n * MS, (10 * n + 1) * MS] for n in (0, 1)],
        "rate_per_s": 100.0,
    }
    row = loaded("server", epochs(0, [1.0, 1.0], served=served))
    assert (row.status, row.latency_ns, row.throughput_per_s) == (Status.INTERRUPTED, None, None)
    assert "--resume" in (row.fix or "")
    assert not row.ranked
    at_a_rate = loaded("server:100", epochs(0, [1.0, 1.0], served=served))
    assert at_a_rate.status is Status.OK
    assert at_a_rate.latency_ns
