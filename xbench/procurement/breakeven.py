"""At which yearly volume two fleets cost the same: one dear to have, the other dear to use.

Both are sized for the same rate and limit; the volume is how much of the year that rate is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from xbench.result import Interval

Cost = Callable[[float], float]
HALVINGS = 100


class Outcome(StrEnum):
    """What two cost curves say of each other, up to the most that the fleets can serve."""

    CROSSES = "crosses"
    FIRST = "first"  # costs less at every volume
    SECOND = "second"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Costs:
    """Yearly cost as a function of inferences a year: at its value and at both ends."""

    value: Cost
    low: Cost
    high: Cost

    def at(self, inferences_per_year: float) -> Interval:
        """Return the yearly cost at that volume."""
        ends = [one(inferences_per_year) for one in (self.value, self.low, self.high)]
        return Interval(ends[0], min(ends), max(ends))


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Where two options cost the same.

    Attributes:
        outcome: What there is to say.
        inferences_per_year: The volume at which both cost the same; ``high`` is infinite where
            they may not meet. None where the outcome is another.
        below: The place, 0 or 1, of the option that costs less below it.
    """

    outcome: Outcome
    inferences_per_year: Interval | None = None
    below: int | None = None


def crossing(first: Cost, second: Cost, most: float) -> float | None:
    """Return the volume from 0 to ``most`` where two costs are equal, or None where one is less."""
    low, high = 0.0, most
    sign = first(low) - second(low)
    if sign * (first(high) - second(high)) > 0:
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        same = (first(middle) - second(middle)) * sign > 0
        low, high = (middle, high) if same else (low, middle)
    return high


def break_even(first: Costs, second: Costs, most: float) -> BreakEven:
    """Return at which volume, up to ``most`` inferences a year, two options cost the same.

    The ends pair the one's lowest cost with the other's highest, so that the true volume lies
    between wherever both true costs lie within theirs.
    """
    met = crossing(first.value, second.value, most)
    dearer_at_first = first.value(0.0) > second.value(0.0)
    if met is None or first.value(0.0) == second.value(0.0):
        return BreakEven(_throughout(first, second, most))
    upper, lower = (first, second) if dearer_at_first else (second, first)
    early = 0.0  # where at its ends the dearer one is not dearer even at the start
    if upper.low(0.0) > lower.high(0.0):
        early = crossing(upper.low, lower.high, most) or 0.0
    late = crossing(upper.high, lower.low, most)
    volume = Interval(met, min(early, met), inf if late is None else max(late, met))
    return BreakEven(Outcome.CROSSES, volume, 1 if dearer_at_first else 0)


def _throughout(first: Costs, second: Costs, most: float) -> Outcome:
    """Return who costs less at every volume; curves are straight, so that the ends decide."""
    ends = (0.0, most)
    if all(first.high(volume) < second.low(volume) for volume in ends):
        return Outcome.FIRST
    if all(second.high(volume) < first.low(volume) for volume in ends):
        return Outcome.SECOND
    return Outcome.UNDECIDED
