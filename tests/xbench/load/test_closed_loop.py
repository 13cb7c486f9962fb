"""Closed loops, on simulated time."""

from __future__ import annotations

import threading

import pytest

from tests.xbench.load.simulated import SimulatedClock, constant, server
from xbench.load.closed_loop import closed_loop

MS = 1_000_000


def test_each_stream_runs_back_to_back_until_the_time_is_up() -> None:
    """One inference that began in time is finished: 10 of 10 ms, 4 of 30 ms."""
    clock = SimulatedClock()
    found = closed_loop(
        [server(clock, constant(10 * MS)), server(clock, constant(30 * MS))], 0.1, clock
    )
    assert found.latencies_ns == ((10 * MS,) * 10, (30 * MS,) * 4)
    assert found.spans_ns == (100 * MS, 120 * MS)


def test_throughput_is_that_of_all_streams_together() -> None:
    """100 and 33.3 a second; not less because one stream ends after the others."""
    clock = SimulatedClock()
    found = closed_loop(
        [server(clock, constant(10 * MS)), server(clock, constant(30 * MS))], 0.1, clock
    )
    assert found.throughput_per_s == pytest.approx(100 + 1000 / 30)


def test_an_inference_longer_than_the_time_is_run_once() -> None:
    clock = SimulatedClock()
    found = closed_loop([server(clock, constant(5000 * MS))], 0.1, clock)
    assert found.latencies_ns == ((5000 * MS,),)


def test_on_the_real_clock_streams_run_at_once() -> None:
    """Each inference waits for one of the other stream: only together do they end."""
    both = threading.Barrier(2, timeout=60)
    counts = [0, 0]

    def run(stream: int) -> None:
        counts[stream] += 1
        if counts[stream] == 1:
            both.wait()

    found = closed_loop([lambda _: run(0), lambda _: run(1)], 0.001)
    assert [len(one) for one in found.latencies_ns] == counts
    assert min(counts) >= 1
    assert found.throughput_per_s > 0


def test_a_closed_loop_without_streams_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        closed_loop([], 1.0)
