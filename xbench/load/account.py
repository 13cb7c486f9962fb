"""What a server's requests say together: latency, lateness, queue, batches, and saturation.

The first tenth of each window is left out: caches and the queue fill meanwhile. A server whose
backlog grew over whole windows is saturated: its latency depends on how long one looks, so there
is none to report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xbench.load import tail
from xbench.load.search import Reading, Saturated
from xbench.load.served import Batch, Served
from xbench.result import Latency
from xbench.units import format_s

LEFT_OUT_SHARE = 0.1  # of a window's length, from its start
QUARTERS = 4
GREW = 3  # of so many windows one must show a wait that grows; of a busy server some do by chance
FEWEST_GREW = 2  # windows, where there are so many

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lateness:
    """By how much requests were sent late that found a stream free, in nanoseconds."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of the requests of a server, over all its windows.

    Attributes:
        requests: That were due after what is left out.
        left_out: Requests that were due before.
        unserved: Requests that still waited when their window's grace was over.
        rate_per_s: At which requests came.
        throughput_per_s: At which they were done, while they came.
        latency_ns: From when a request was due to its end; None where the server is saturated.
        saturated: What shows that it cannot keep up; None where it does.
        lateness_ns: None where no request found a stream free.
        busy_share: Of the streams' time.
        queue: ``mean`` and ``max`` of the requests that an arriving one finds waiting.
        batch_sizes: How many batches there were of each size.
    """

    requests: int
    left_out: int
    unserved: int
    rate_per_s: float
    throughput_per_s: float
    latency_ns: Latency | None
    saturated: str | None
    lateness_ns: Lateness | None
    busy_share: float
    queue: Mapping[str, float]
    batch_sizes: Mapping[int, int]

    def to_json(self) -> dict[str, Any]:
        """Return this as lists, maps and numbers."""
        latency = self.latency_ns.to_json() if self.latency_ns else None
        sizes = {str(size): count for size, count in self.batch_sizes.items()}
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        lateness = asdict(self.lateness_ns) if self.lateness_ns else None
        return {**own, "latency_ns": latency, "lateness_ns": lateness, "batch_sizes": sizes}


@dataclass(frozen=True, slots=True)
class _Window:
    """One window as arrays; times from its start, in nanoseconds.

    Attributes:
        due: Of every request.
        start: Of every request that was served; these are the first of the schedule.
        end: Of every request that was served.
        from_ns: Since when requests count.
    """

    served: Served
    due: Times
    start: Times
    end: Times
    from_ns: int

    @classmethod
    def of(cls, served: Served) -> _Window:
        sizes = [batch.size for batch in served.batches]
        start = np.repeat([batch.start_ns for batch in served.batches], sizes)
        end = np.repeat([batch.end_ns for batch in served.batches], sizes)
        due = np.asarray(served.schedule_ns, dtype=np.int64)
        return cls(served, due, start, end, int(LEFT_OUT_SHARE * served.schedule_ns[-1]))

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Return which requests count."""
        return self.due >= self.from_ns

    @property
    def latencies(self) -> Times:
        """Return from when each request was due to its end, of those that were served."""
        return self.end - self.due[: len(self.end)]

    @property
    def begins(self) -> NDArray[np.bool_]:
        """Return whether each request that was served found every stream free, nobody waiting."""
        busy_until = np.maximum.accumulate(self.end)
        return np.concatenate(([True], busy_until[:-1] <= self.due[1 : len(self.end)]))

    @property
    def queue(self) -> NDArray[np.intp]:
        """Return how many requests each found waiting: due before, and not started."""
        started = np.searchsorted(np.sort(self.start), self.due, side="right")
        found: NDArray[np.intp] = np.maximum(0, np.arange(len(self.due)) - started)
        return found

    @property
    def span_ns(self) -> int:
        """Return from when requests count to when the last one came."""
        return max(1, self.served.schedule_ns[-1] - self.from_ns)

    @property
    def busy_ns(self) -> int:
        """Return how long streams were busy within that, all together."""
        last_ns = self.served.schedule_ns[-1]
        return sum(
            max(0, min(batch.end_ns, last_ns) - max(batch.start_ns, self.from_ns))
            for batch in self.served.batches
        )

    @property
    def done(self) -> int:
        """Return how many requests ended within that."""
        return int(((self.end > self.from_ns) & (self.end <= self.served.schedule_ns[-1])).sum())


def account(windows: Sequence[Served]) -> Account:
    """Return what the requests of one server say, over all its windows.

    Args:
        windows: At least one, each with at least one request that was served.
    """
    if not windows or not all(one.batches for one in windows):
        raise ValueError("an account needs windows in which requests were served")
    each = [_Window.of(one) for one in windows]
    saturated = saturation(windows)
    queue = np.concatenate([one.queue[one.kept] for one in each])
    every, span_ns = sum(len(one.due) for one in each), sum(one.span_ns for one in each)
    sizes = Counter(batch.size for one in windows for batch in one.batches)
    return Account(
        requests=len(queue),
        left_out=every - len(queue),
        unserved=sum(one.unserved for one in windows),
        rate_per_s=len(queue) * 1e9 / span_ns,
        throughput_per_s=sum(one.done for one in each) * 1e9 / span_ns,
        latency_ns=None if saturated else _latency(each),
        saturated=saturated,
        lateness_ns=_lateness(windows),
        busy_share=sum(one.busy_ns for one in each)
        / sum(one.span_ns * one.served.streams for one in each),
        queue={"mean": float(queue.mean()), "max": float(queue.max())},
        batch_sizes=dict(sorted(sizes.items())),
    )


def latencies_ns(served: Served) -> list[int]:
    """Return from when each request was due to its end, in nanoseconds.

    Those of the window's first tenth are left out, and those that were not served; of a window in
    which nothing else was served, all that was.
    """
    window = _Window.of(served)
    kept = window.latencies[window.kept[: len(window.end)]]
    found: list[int] = (kept if len(kept) else window.latencies).tolist()
    return found


def reading(found: Account, percentile: str = "p99") -> Reading:
    """Return what the search for the largest rate needs of an account.

    Args:
        found: Of all windows at one rate.
        percentile: Of `xbench.result.PERCENTILES`.
    """
    if found.latency_ns is None:
        return Saturated(found.saturated or "")
    return found.latency_ns.percentiles[percentile]


def saturation(windows: Sequence[Served]) -> str | None:
    """Return what shows that a server could not keep up, or None.

    Either requests of a window still waited when its grace was over; or the wait grew in a third of
    the windows, and in two where there are two.
    """
    if left := next((why for one in windows if (why := _left_over(one))), None):
        return left
    grew = [why for one in windows if (why := _growth(one))]
    if len(grew) < max(min(FEWEST_GREW, len(windows)), ceil(len(windows) / GREW)):
        return None
    return grew[0] if len(windows) == 1 else f"{grew[0]}, in {len(grew)} of {len(windows)} windows"


def _left_over(served: Served) -> str | None:
    """Return how many requests of a window were not served, or None."""
    if not served.unserved:
        return None
    waited = f"{served.unserved} of {len(served.schedule_ns)} requests still waited"
    return f"{waited} long after the last one had come"


def _growth(served: Served) -> str | None:
    """Return how the wait grew over a window, or None.

    It did if none of the second half found a stream free, and the mean wait grew from each quarter
    of the requests to the next.
    """
    half_ns = served.schedule_ns[len(served.schedule_ns) // 2]
    if any(_found_free(one, served) and one.due_ns >= half_ns for one in served.batches):
        return None
    window = _Window.of(served)
    waits_s = np.array_split((window.start - window.due) / 1e9, QUARTERS)
    means_s = [float(one.mean()) for one in waits_s if len(one)]
    if len(means_s) < QUARTERS or any(after <= before for before, after in pairwise(means_s)):
        return None
    first, last = format_s(means_s[0]), format_s(means_s[-1])
    return f"the mean wait grew from {first} in the first quarter of the requests to {last}"


def _found_free(batch: Batch, served: Served) -> bool:
    """Return whether the first request of a batch found a stream free."""
    return batch.free_ns <= served.schedule_ns[batch.first]


def _latency(windows: Sequence[_Window]) -> Latency:
    latencies = [one.latencies[one.kept] for one in windows]
    begins = [one.begins[one.kept] for one in windows]
    for first in begins:
        first[:1] = True  # windows are independent
    return tail.latency(np.concatenate(latencies), np.concatenate(begins))


def _lateness(windows: Sequence[Served]) -> Lateness | None:
    """Return how late batches started whose first request found a stream free."""
    late_ns = [
        batch.start_ns - batch.due_ns
        for one in windows
        for batch in one.batches
        if _found_free(batch, one)
    ]
    if not late_ns:
        return None
    p50, p99 = (float(np.percentile(late_ns, q)) for q in (50, 99))
    return Lateness(p50, p99, float(max(late_ns)))
