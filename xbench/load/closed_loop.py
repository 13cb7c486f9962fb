"""Closed loops: each stream starts its next inference when its last one is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from xbench.load.clock import Clock, RealClock
from xbench.load.open_loop import LEAD_NS, Run
from xbench.measure import no_garbage_collection


@dataclass(frozen=True, slots=True)
class Looped:
    """What streams did that ran at once.

    Attributes:
        latencies_ns: For each stream, of each inference, oldest first.
        spans_ns: For each stream, from the common start to the end of its last inference.
    """

    latencies_ns: tuple[tuple[int, ...], ...]
    spans_ns: tuple[int, ...]

    @property
    def throughput_per_s(self) -> float:
        """Return inferences a second, of all streams.

        Each stream counts over its own span: the last inference of one may outlast the others.
        """
        counts = zip(self.latencies_ns, self.spans_ns, strict=True)
        return sum(len(of_stream) * 1e9 / span_ns for of_stream, span_ns in counts)


def closed_loop(runs: Sequence[Run], seconds: float, clock: Clock | None = None) -> Looped:
    """Return what each stream did from a common start on, for so many seconds.

    Args:
        runs: For each stream, what runs one inference. One thread uses each.
        seconds: No inference starts later; each stream runs one at least.
        clock: How time passes.
    """
    if not runs:
        raise ValueError("a closed loop needs at least one stream")
    clock = clock or RealClock()
    start_ns = clock.now_ns() + LEAD_NS
    end_ns = start_ns + round(seconds * 1e9)
    found: list[list[int]] = [[] for _ in runs]
    spans_ns = [0] * len(runs)

    def loop(number: int) -> None:
        now, run, keep = clock.now_ns, runs[number], found[number].append
        clock.wait_until(start_ns)
        before_ns = now()
        while True:
            run(1)
            after_ns = now()
            keep(after_ns - before_ns)
            before_ns = after_ns
            if after_ns >= end_ns:
                break
        spans_ns[number] = after_ns - start_ns

    with no_garbage_collection():
        clock.together([partial(loop, number) for number in range(len(runs))])
    return Looped(tuple(map(tuple, found)), tuple(spans_ns))
