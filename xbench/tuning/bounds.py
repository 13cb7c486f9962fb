"""How good a configuration can be at most that was not measured, from those that were.

Four things are taken for granted, each with some slack; docs/tune.md says where they fail:

- A larger batch takes no less time, so twice the batch has at most twice the throughput.
- Each doubling of the batch gains no more than the last one did, or a tenth more; after a fall, no
  further one is sure. Nor does it gain more with fewer threads than with many, or 15 % more.
- Twice the threads are at most twice as good, or a tenth more; half of them may be better by a
  quarter, for a model so small that threads cost more than they do.
- Twice the streams have at most twice the throughput, or a tenth more; half of them may have more
  by a quarter.

All numbers are natural logarithms, relative to the best configuration: 0 is as good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import inf, log, log2

from xbench.result import Interval
from xbench.tuning.goal import Aim
from xbench.tuning.space import Configuration, Space

SLACK = log(1.10)
OTHER_ARM_SLACK = log(1.15)
FEWER_GAIN = log(1.25)  # from half of the threads, or of the streams
SMALL_GAIN = log(1.02)  # of a batch: two in a row that gain less end the ladder

Difference = Callable[[int, int], Interval | None]
"""How much better the first configuration is than the second, as measured."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How good a measured configuration is, and how good it may be at most."""

    value: float
    high: float


def reaches(
    space: Space, aim: Aim, measured: Mapping[int, Reached], difference: Difference
) -> dict[int, float]:
    """Return how good each configuration can be at most; infinite where nothing tells.

    Args:
        space: All configurations.
        aim: What is to be good.
        measured: By id.
        difference: Between two that were measured.
    """
    most = {
        one.id: measured[one.id].high if one.id in measured else inf for one in space.configurations
    }
    rungs = _gains(space, measured, difference) if aim is Aim.THROUGHPUT else {}
    waiting = [one for one in space.configurations if one.id not in measured]
    changed = True
    while changed:
        changed = False
        for one in waiting:
            bound = min((_from(aim, one, other, most) for other in space.kin(one)), default=inf)
            bound = min(bound, _by_gains(space, one, most, rungs))
            if bound < most[one.id] - 1e-9:
                most[one.id], changed = bound, True
    return most


def ladder_ends(
    space: Space, arm: tuple[str, int, int], measured: Mapping[int, Reached], difference: Difference
) -> int | None:
    """Return the batch after which an arm gains nothing more, or None.

    It is the second of two in a row that each gained less than 2 %.
    """
    rungs = [one for one in space.ladder(arm) if one.id in measured]
    small = [
        gain is not None and gain.value < SMALL_GAIN
        for lower, upper in pairwise(rungs)
        for gain in [difference(upper.id, lower.id)]
    ]
    for place, (first, second) in enumerate(pairwise(small)):
        if first and second:
            return rungs[place + 2].size
    return None


def _from(aim: Aim, one: Configuration, other: Configuration, most: Mapping[int, float]) -> float:
    """Return what ``one`` can reach at most, going by what ``other`` can."""
    base = most[other.id]
    if other.size != one.size:
        if other.size > one.size:
            return inf
        return base + (log(one.size / other.size) if aim is Aim.THROUGHPUT else 0.0)
    if other.threads != one.threads:
        ratio = one.threads / other.threads
        return base + (log(ratio) + SLACK if ratio > 1 else FEWER_GAIN * -log2(ratio))
    ratio = one.streams / other.streams
    if aim is Aim.LATENCY:  # the others only take from one stream
        return base if ratio > 1 else inf
    return base + (log(ratio) + SLACK if ratio > 1 else FEWER_GAIN * -log2(ratio))


Gains = dict[tuple[str, int], dict[int, dict[tuple[int, int], float]]]
"""By backend and streams, by threads, by two batches: what each doubling gains at most."""


def _gains(space: Space, measured: Mapping[int, Reached], difference: Difference) -> Gains:
    found: Gains = {}
    for arm in space.arms:
        rungs = [one for one in space.ladder(arm) if one.id in measured]
        for lower, upper in pairwise(rungs):
            gain = difference(upper.id, lower.id)
            if gain is not None:
                doublings = log2(upper.size / lower.size)
                of_arm = found.setdefault((arm[0], arm[2]), {}).setdefault(arm[1], {})
                of_arm[lower.size, upper.size] = gain.high / doublings
    return found


def _by_gains(space: Space, one: Configuration, most: Mapping[int, float], gains: Gains) -> float:
    """Return what ``one`` can reach at most, going by what smaller batches gained."""
    bound = inf
    alike = gains.get((one.backend, one.streams), {})
    mine = alike.get(one.threads, {})
    for lower in space.ladder(one.arm):
        if lower.size >= one.size:
            break
        base, doublings = most[lower.id], log2(one.size / lower.size)
        for (_, upper), gain in mine.items():
            if upper == lower.size:
                bound = min(bound, base + _grown(gain + SLACK, doublings))
        for threads, of_arm in alike.items():
            step = of_arm.get((lower.size, one.size))
            if threads > one.threads and step is not None:
                bound = min(bound, base + step * doublings + OTHER_ARM_SLACK)
    return bound


def _grown(gain: float, doublings: float) -> float:
    """Return what so many doublings gain at most; after a fall, no further one is sure."""
    first = min(1.0, doublings)
    return gain * first + max(gain, 0.0) * (doublings - first)
