"""The timed loop, and what comes before it: warm-up and the count of busy threads.

Runs in the worker. The harness owns the clock: a session only binds, runs and waits.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Protocol

from xbench.adapter import Session

WINDOW_NS = 100_000_000
WINDOW_INFERENCES = 3
STILL_IMPROVING = 0.98  # a window this much below the best before it means: not settled yet
BUSY_SHARE = 0.05  # a thread on a CPU for less than this share of the time only waited


class Runs(Protocol):
    """What is timed: a session, or several runs of one."""

    def run(self) -> None:
        """Start it."""
        ...

    def synchronize(self) -> None:
        """Return when it is done."""
        ...


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How a session came to its steady state.

    Attributes:
        latencies_ns: Latency of each inference, oldest first.
        steady: Whether latency had stopped falling before the time was up.
        busy_threads: Threads that did work at a time, by the kernel's accounts of the last window:
            those that take turns, a caller and whom it hands its work to, count once.
    """

    latencies_ns: tuple[int, ...]
    steady: bool
    busy_threads: int

    @property
    def settled_ns(self) -> float:
        """Return the median latency of the last third, in nanoseconds."""
        return median(self.latencies_ns[-max(1, len(self.latencies_ns) // 3) :])


def measure(
    session: Runs, iterations: int, clock: Callable[[], int] = perf_counter_ns
) -> list[int]:
    """Return the latency of each timed inference, in nanoseconds, oldest first.

    The clock stops only after ``synchronize``, so that queued device work counts.
    """
    run, synchronize = session.run, session.synchronize
    latencies_ns = [0] * iterations  # allocated before the first clock read
    with no_garbage_collection():
        for i in range(iterations):
            start_ns = clock()
            run()
            synchronize()
            latencies_ns[i] = clock() - start_ns
    return latencies_ns


def measure_events(session: Runs, device_ns: Callable[[], int], iterations: int) -> list[int]:
    """Return the time of each inference between the device's own events, in nanoseconds.

    Args:
        session: At a boundary where it records events around each run.
        device_ns: Returns the nanoseconds between those of the last run.
        iterations: How many.
    """
    latencies_ns = [0] * iterations
    with no_garbage_collection():
        for i in range(iterations):
            session.run()
            session.synchronize()
            latencies_ns[i] = device_ns()
    return latencies_ns


def warm_up(session: Session, max_s: float, clock: Callable[[], int] = perf_counter_ns) -> WarmUp:
    """Return how the bound session warmed up: until its latency falls no more.

    Latency is judged by windows of at least 100 ms and three inferences. It has settled when two
    windows in a row are no more than 2 % below the best one before them.
    """
    end_ns = clock() + int(max_s * 1e9)
    latencies_ns: list[int] = []
    best_ns, settled, busy = float("inf"), 0, 0
    while settled < 2 and (clock() < end_ns or not latencies_ns):
        before = _thread_times_ns()
        start_ns = clock()
        window = _window(session, clock)
        busy = _busy_threads(before, clock() - start_ns)
        latencies_ns += window
        settled = settled + 1 if median(window) >= STILL_IMPROVING * best_ns else 0
        best_ns = min(best_ns, median(window))
    return WarmUp(tuple(latencies_ns), settled >= 2, busy)


def overhead_ns(null: Session, iterations: int = 4000) -> float:
    """Return what the harness adds to one sample, in nanoseconds, from a session that does nothing.

    The median of the second half; the first warms the interpreter's caches.
    """
    return median(measure(null, iterations)[iterations // 2 :])


def _window(session: Session, clock: Callable[[], int]) -> list[int]:
    latencies_ns: list[int] = []
    start_ns = clock()
    while len(latencies_ns) < WINDOW_INFERENCES or clock() - start_ns < WINDOW_NS:
        latencies_ns += measure(session, 1, clock)
    return latencies_ns


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector out of the samples; what was there before is restored."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _thread_times_ns() -> dict[str, tuple[int, int]]:
    """Return how long each thread of this process ran, and how long it waited for a CPU.

    In nanoseconds, by thread id.
    """
    times = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            ran, waited, _ = map(int, (task / "schedstat").read_text().split())
        except (OSError, ValueError):
            continue  # the thread has just ended, or the kernel keeps no such account
        times[task.name] = (ran, waited)
    return times


def _busy_threads(before_ns: Mapping[str, tuple[int, int]], wall_ns: int) -> int:
    """Return how many threads worked at a time.

    No more than worked at all; and no more than were awake together on average, whether they
    had a CPU or waited for one, so that neither turns nor neighbours make them seem more. The
    average is rounded: a thread that wakes another may wait for the CPU before it sleeps.
    """
    ran_ns, awake_ns = [], 0
    for thread, (ran, waited) in _thread_times_ns().items():
        ran_before, waited_before = before_ns.get(thread, (0, 0))
        ran_ns.append(ran - ran_before)
        awake_ns += ran - ran_before + waited - waited_before
    worked = sum(one > BUSY_SHARE * wall_ns for one in ran_ns)
    return min(worked, max(1, round(awake_ns / max(1, wall_ns))))


def thread_cpus() -> tuple[int, ...]:
    """Return every CPU that some thread of this process may run on, in order."""
    cpus: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            cpus |= os.sched_getaffinity(int(task.name))
        except OSError:
            continue  # the thread has just ended
    return tuple(sorted(cpus))
