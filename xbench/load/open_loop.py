"""An open-loop server: requests come when the schedule says, whatever became of those before.

There is no thread that sends. With one queue, first come first served, each stream by itself takes
the next requests of the schedule, waits until they are due, and runs them: nothing is handed from
thread to thread, and the time of the schedule counts, not that of sending. A stream that is late
makes the latency of what waits for it longer; no request is left out because an earlier one was
slow (the "coordinated omission" of G. Tene, "How NOT to Measure Latency").

Since the whole schedule is known, so is the batch that a free stream will run: its first request,
and those that come before the batch is full or the first has waited as long as it may.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from xbench.load.clock import Clock, RealClock
from xbench.load.served import Batch, Served
from xbench.measure import no_garbage_collection

Run = Callable[[int], None]
"""Runs one batch of that many requests, to its end."""

LEAD_NS = 5_000_000  # for the threads to start before the first request is due
GRACE_SHARE = 0.25  # of the schedule's length; what then still waits is not waited for
LEAST_GRACE_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Batching:
    """How requests share a run.

    Attributes:
        most: Most requests of a batch.
        wait_ns: How long the first request of a batch waits, at most, for others to fill it.
    """

    most: int = 1
    wait_ns: int = 0


ALONE = Batching()


Taken = tuple[int, int, int]
"""A batch that a stream is to run: its first request, how many, and when it is to start."""


class Queue:
    """The requests of a schedule, in order, for whichever stream is free.

    Args:
        due_ns: When each request is due.
        batching: How requests share a run.
        end_ns: A stream that is free only later takes none.

    Attributes:
        take: Returns the next batch for a stream, given since when it has been free; or None.
    """

    def __init__(self, due_ns: Sequence[int], batching: Batching, end_ns: int) -> None:
        self._due_ns = due_ns
        self._count = len(due_ns)
        self._batching = batching
        self._end_ns = end_ns
        self._lock = threading.Lock()
        self._next = 0
        self._requests = enumerate(due_ns)
        self.take: Callable[[int], Taken | None] = self._one if batching.most == 1 else self._batch

    def close(self) -> None:
        """Hand out nothing more."""
        self._end_ns = -1

    def _one(self, free_ns: int) -> Taken | None:
        """Return the next request. Without a lock: `next` is one step of the interpreter."""
        if free_ns > self._end_ns:
            return None
        request = next(self._requests, None)
        if request is None:
            return None
        first, due_ns = request
        return first, 1, due_ns if due_ns > free_ns else free_ns

    def _batch(self, free_ns: int) -> Taken | None:
        """Return what has come, or will before the batch is full or its first has waited enough."""
        with self._lock:
            first = self._next
            if first >= self._count or free_ns > self._end_ns:
                return None
            start_ns = max(free_ns, self._due_ns[first] + self._batching.wait_ns)
            last = first + self._batching.most - 1
            if last < self._count:
                start_ns = min(start_ns, max(free_ns, self._due_ns[last]))
            beyond = min(last + 1, self._count)
            self._next = bisect_right(self._due_ns, start_ns, first, beyond)
            return first, self._next - first, start_ns


def serve(
    runs: Sequence[Run],
    schedule_ns: Sequence[int],
    batching: Batching = ALONE,
    clock: Clock | None = None,
    grace_ns: int | None = None,
) -> Served:
    """Return what became of each request of the schedule.

    Args:
        runs: For each stream, what runs a batch. One thread uses each.
        schedule_ns: When each request is due, in nanoseconds from the start, in order.
        batching: How requests share a run.
        clock: How time passes.
        grace_ns: How long after the last request was due a stream may still take one: a quarter
            of the schedule's length, at least a second. A server that cannot keep up ends there.
    """
    if not runs or not schedule_ns:
        raise ValueError("a server needs at least one stream and one request")
    clock = clock or RealClock()
    if grace_ns is None:
        grace_ns = max(int(GRACE_SHARE * schedule_ns[-1]), LEAST_GRACE_NS)
    origin_ns = clock.now_ns() + LEAD_NS
    due_ns = [origin_ns + one for one in schedule_ns]
    queue = Queue(due_ns, batching, due_ns[-1] + grace_ns)
    found: list[list[tuple[int, ...]]] = [[] for _ in runs]
    works = [
        partial(_stream, run, queue, clock, kept) for run, kept in zip(runs, found, strict=True)
    ]
    with no_garbage_collection():
        clock.together(works)
    batches = [
        Batch(first, size, stream, *(time_ns - origin_ns for time_ns in times_ns))
        for stream, kept in enumerate(found)
        for first, size, *times_ns in kept
    ]
    return Served(tuple(schedule_ns), len(runs), tuple(sorted(batches)))


def _stream(run: Run, queue: Queue, clock: Clock, kept: list[tuple[int, ...]]) -> None:
    """Serve requests until there are none; keep what a `Batch` is made of, but for the stream."""
    now, wait_until, take, keep = clock.now_ns, clock.wait_until, queue.take, kept.append
    free_ns = now()
    try:
        while (taken := take(free_ns)) is not None:
            first, size, due_ns = taken
            start_ns = free_ns
            if due_ns > free_ns:
                wait_until(due_ns)
                start_ns = now()
            run(size)
            end_ns = now()
            keep((first, size, free_ns, due_ns, start_ns, end_ns))
            free_ns = end_ns
    except BaseException:
        queue.close()  # the other streams end too, and this is raised where they are waited for
        raise
