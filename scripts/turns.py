"""How scripts time ways to run one model against each other: in turns, in one process.

Each round times every side, in an order drawn from the seed, and gives one ratio a side: what
slows the machine for longer than a round slows all of them.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from xbench.result import Interval
from xbench.stats import percentile_interval

Run = Callable[[], Any]

TURN_NS = 300_000_000
"""About how long one side's turn in a round is."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One side's time over another's.

    Attributes:
        median: Over the rounds.
        bounds: What the median lies within with 95 % confidence; None from too few rounds.
    """

    median: float
    bounds: Interval | None

    def __str__(self) -> str:
        bounds = self.bounds
        said = f"{bounds.low:.3f} to {bounds.high:.3f}" if bounds else "too few rounds"
        return f"{self.median:7.3f}   {said}"


def ratio(side_ns: list[float], native_ns: list[float]) -> Ratio:
    """Return the ratio of two sides' times in the same rounds."""
    found = [side / native for side, native in zip(side_ns, native_ns, strict=True)]
    bounds = percentile_interval(found, 50, 0.975)  # each bound: together 95 %
    return Ratio(statistics.median(found), bounds)


def times(sides: list[Run], rounds: int, seed: int) -> list[list[float]]:
    """Return, for each side, the median nanoseconds of an inference in each round."""
    for run in sides * 3:
        run()
    start_ns = perf_counter_ns()
    sides[0]()
    count = max(TURN_NS // (perf_counter_ns() - start_ns), 1)
    order = random.Random(seed)  # noqa: S311 # an order of turns, not a secret
    found: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side in order.sample(range(len(sides)), len(sides)):
            found[side].append(turn(sides[side], count))
    return found


def turn(run: Run, count: int) -> float:
    """Return the median nanoseconds of ``count`` inferences, after one that is not timed."""
    run()
    spent_ns = []
    for _ in range(count):
        start_ns = perf_counter_ns()
        run()
        spent_ns.append(perf_counter_ns() - start_ns)
    return statistics.median(spent_ns)
