"""Time that really passes: a thread beside what runs."""

from __future__ import annotations

import threading

import pytest

from xbench.telemetry.meter import MeterError
from xbench.telemetry.passage import RealPassage


def test_a_real_thread_polls_while_the_block_runs_and_ends_with_it() -> None:
    """Readings come beside what runs, and none after."""
    polled = threading.Semaphore(0)
    before = threading.active_count()

    def poll() -> float:
        polled.release()
        return 0.001

    with RealPassage().beside(poll):
        assert all(polled.acquire(timeout=60) for _ in range(3))

    assert threading.active_count() == before


def test_what_a_poll_raises_is_raised_where_the_block_ends() -> None:
    """A fault in a thread is not lost in it."""

    def poll() -> float:
        raise MeterError("broken")

    with pytest.raises(MeterError, match="broken"), RealPassage().beside(poll):
        pass
