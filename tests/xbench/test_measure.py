"""The timed loop, warm-up and what is read back of the threads."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import count
from time import perf_counter_ns

import pytest

from xbench.adapter import Array, Facts
from xbench.measure import measure, overhead_ns, thread_cpus, warm_up
from xbench.testing import NullSession, RecordingSession


class Clock:
    """A clock that only moves when a session runs."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class Scripted(NullSession):
    """A session whose n-th run takes the n-th latency; the last one is repeated."""

    def __init__(self, clock: Clock, latencies_ns: list[int]) -> None:
        self.clock = clock
        self.latencies_ns = latencies_ns
        self.runs = 0

    def run(self) -> None:
        self.clock.now_ns += self.latencies_ns[min(self.runs, len(self.latencies_ns) - 1)]
        self.runs += 1


def test_the_clock_is_read_only_around_synchronised_runs() -> None:
    """Each reading follows a synchronisation, and nothing else lies between two readings."""
    session = RecordingSession()
    ticks = count(step=5)

    def clock() -> int:
        session.calls.append("clock")
        return next(ticks)

    latencies_ns = measure(session, 2, clock)

    assert session.calls == ["clock", "run", "synchronize", "clock"] * 2
    assert latencies_ns == [5, 5]


def test_the_garbage_collector_is_kept_out_and_put_back() -> None:
    """A collection in a sample is the harness's time, not the framework's."""
    seen: list[bool] = []

    class Watching(NullSession):
        def run(self) -> None:
            seen.append(gc.isenabled())

    assert gc.isenabled()
    measure(Watching(), 3)
    assert seen == [False] * 3
    assert gc.isenabled()


def test_warm_up_goes_on_while_latency_falls() -> None:
    """A session that gets faster for 40 runs is not steady before them."""
    clock = Clock()
    falling = [50_000_000 - 1_000_000 * i for i in range(40)]
    warm = warm_up(Scripted(clock, [*falling, 10_000_000]), 60.0, clock)
    assert warm.steady
    assert len(warm.latencies_ns) > 40
    assert warm.settled_ns == 10_000_000


def test_warm_up_ends_at_its_limit_and_says_that_it_did() -> None:
    """A session that never settles is measured all the same, with ``steady`` false."""
    clock = Clock()
    falling = [10_000_000_000 - 200_000_000 * i for i in range(40)]
    warm = warm_up(Scripted(clock, falling), 100.0, clock)
    assert not warm.steady
    assert sum(warm.latencies_ns) >= 100e9


def test_a_warm_up_of_no_time_still_runs_one_window() -> None:
    """The reference asks for no warm-up; it must have run before its outputs are read."""
    assert warm_up(NullSession(), 0.0).latencies_ns


def test_busy_threads_are_counted_by_the_kernel() -> None:
    """A session that computes in this thread keeps exactly one thread busy."""

    class Busy(NullSession):
        def run(self) -> None:
            end_ns = perf_counter_ns() + 2_000_000
            while perf_counter_ns() < end_ns:
                pass

    assert warm_up(Busy(), 1.0).busy_threads == 1


BLOCK = bytes(1 << 16)  # hashing it takes 0.1 ms without the interpreter's lock


class TwoThreads(NullSession):
    """Two threads that work: at once, or the one while the other waits for it."""

    def __init__(self, at_once: bool) -> None:
        super().__init__()
        self._helper = ThreadPoolExecutor(1)
        self._at_once = at_once

    def run(self) -> None:
        """Work for 2 ms in each."""
        helping = self._helper.submit(spin)
        if not self._at_once:
            helping.result()
        spin()
        helping.result()


def counted(session: TwoThreads) -> Iterator[int]:
    """Yield how many threads worked, a few times: one that waits for others' CPU is awake."""
    for _ in range(4):
        yield warm_up(session, 2.0).busy_threads


def spin() -> None:
    """Keep a CPU busy for 2 ms, the interpreter's lock not held."""
    end_ns = perf_counter_ns() + 2_000_000
    while perf_counter_ns() < end_ns:
        sha256(BLOCK).digest()


@pytest.mark.parametrize(("at_once", "busy"), [(True, 2), (False, 1)])
def test_threads_that_take_turns_count_once(at_once: bool, busy: int) -> None:
    assert busy in counted(TwoThreads(at_once))


def test_threads_that_share_a_cpu_are_counted_all_the_same() -> None:
    """One runs while the other waits for the CPU: more are at work than it has room for."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert 2 in counted(TwoThreads(at_once=True))
    finally:
        os.sched_setaffinity(0, allowed)


def test_every_thread_s_cpus_are_read_back() -> None:
    assert set(thread_cpus()) >= os.sched_getaffinity(0)


def test_the_overhead_is_what_a_null_session_costs() -> None:
    """Above nothing, and far below a microsecond's order on any machine that runs this."""
    assert 0 < overhead_ns(NullSession()) < 100_000


def test_a_session_gets_its_feeds_only_by_bind() -> None:
    """`measure` never binds: binding is not part of an inference."""
    bound: list[Mapping[str, Array]] = []

    class Binding(NullSession):
        def bind(self, feeds: Mapping[str, Array]) -> None:
            bound.append(feeds)

        def facts(self) -> Facts:
            return Facts()

    measure(Binding(), 5)
    assert not bound
