"""What rows moved together, and which rows the others are held against.

What a machine does from one day to the next, all its rows do; so where backends of several
adapters were measured, their common movement is taken out. Rows of one adapter are one witness:
they have its software in common, and may all have become slower with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import pi
from statistics import median

from xbench.difference.matching import Pair


class Basis(StrEnum):
    """Why rows are the reference of the others."""

    NAMED = "named"  # by the user
    SAME_SOFTWARE = "same software"  # while that of others differs
    ALL = "all"  # nobody knows which of them changed


USUAL = 2.0  # standard deviations of the machine's movement: further is another state of it
UNEVEN = 0.3
"""Standard deviation of a row's part in what lies beyond, as a share of that. On a virtual machine
whose host changed its state, ONNX Runtime became slower by 33 % while OpenVINO and LiteRT became
slower by 21 % and 19 % (`scripts/diff-experiment`; docs/diff.md)."""


@dataclass(frozen=True, slots=True)
class Common:
    """What rows moved together.

    Attributes:
        value: Logarithm of their times in the second run over those in the first.
        sd: Of one row's own movement between two runs.
        uneven: Standard deviation of a row's own part in what all moved further than is usual.
        rows: The places of those that it was taken from.
        families: The movement of each of their adapters.
        basis: Why of these.
    """

    value: float
    sd: float
    uneven: float
    rows: frozenset[int]
    families: Mapping[str, float]
    basis: Basis

    @property
    def variance(self) -> float:
        """Return the variance of the value."""
        return self.sd**2 * variance_of_median(len(self.families))

    def is_reference(self, place: int) -> bool:
        """Return whether a row is held against nothing, as others are held against it."""
        return self.basis is not Basis.ALL and place in self.rows

    def against(self, family: str) -> tuple[float, float]:
        """Return the movement that a row of an adapter is held against, and its variance.

        Of two adapters of which nobody knows which changed, each is held against the other.
        """
        if self.basis is not Basis.ALL:
            return self.value, self.variance + self.uneven**2
        others = [value for name, value in self.families.items() if name != family]
        value = others[0] if len(others) == 1 else self.value
        return value, self.sd**2 * variance_of_median(len(others)) + self.uneven**2


def variance_of_median(n: int) -> float:
    """Return the variance of the median of n values whose own is 1; 0 for none.

    That of a mean is 1/n; that of the median of many is pi/2n.
    """
    return (1.0 if n < 3 else pi / 2) / n if n else 0.0


def common_of(
    pairs: Sequence[Pair],
    values: Sequence[float],
    sd: float,
    machine_sd: float,
    references: frozenset[str],
) -> Common | None:
    """Return what those rows moved together that are not thought to have changed; None for nothing.

    Those that the user named; or those whose software is the same in both runs while another's is
    not; or all, where there are two adapters or more.

    Args:
        pairs: The rows.
        values: The movement of each.
        sd: Of a row's own movement between two runs.
        machine_sd: Of the machine's between two runs.
        references: Names of rows or backends that are known not to have changed.
    """
    every = range(len(pairs))
    named = [p for p in every if {pairs[p].second.name, pairs[p].second.key.backend} & references]
    if named:
        families = _families(pairs, values, named)
        middle = median(families.values())
        uneven = _uneven(middle, machine_sd)
        return Common(middle, sd, uneven, frozenset(named), families, Basis.NAMED)
    same = [place for place in every if not pairs[place].changed]
    basis = Basis.SAME_SOFTWARE if 0 < len(same) < len(pairs) else Basis.ALL
    taken = same if basis is Basis.SAME_SOFTWARE else list(every)
    families = _families(pairs, values, taken)
    if basis is Basis.ALL and len(families) < 2:
        return None
    value = common_movement(list(families.values()), sd, machine_sd)
    return Common(value, sd, _uneven(value, machine_sd), frozenset(taken), families, basis)


def _uneven(value: float, machine_sd: float) -> float:
    """Return how far rows part where all moved by ``value``, beyond what earlier runs tell of."""
    return UNEVEN * max(0.0, abs(value) - USUAL * machine_sd)


def _families(
    pairs: Sequence[Pair], values: Sequence[float], places: Sequence[int]
) -> dict[str, float]:
    """Return the movement of each adapter: the median of its rows."""
    found: dict[str, list[float]] = defaultdict(list)
    for place in places:
        found[pairs[place].second.key.family].append(values[place])
    return {name: median(own) for name, own in found.items()}


def common_movement(values: Sequence[float], sd: float, machine_sd: float) -> float:
    """Return what adapters moved together: their median, with one more that did not move.

    That one stands for the machine as it usually is, and has the weight of a row's own scatter over
    the machine's: less than half where machines move more than rows do, and at most one. So
    adapters that all moved alike are never thought to have changed all at once. It is the posterior
    mode where rows and machine move as Laplace has it: mostly little, and now and then by much.

    Args:
        values: The movement of each adapter; at least one.
        sd: Of a row's own movement between two runs.
        machine_sd: Of the machine's between two runs.
    """
    weights = [(value, 1.0) for value in values] + [(0.0, min(1.0, sd / machine_sd))]
    return _weighted_median(weights)


def _weighted_median(weights: Sequence[tuple[float, float]]) -> float:
    """Return the value with as much weight above as below it; of several, the nearest to 0."""
    ordered = sorted(weights)
    half = sum(weight for _, weight in ordered) / 2
    low = _reached(ordered, half)
    high = _reached(ordered[::-1], half)
    return min(max(0.0, low), high)


def _reached(ordered: Sequence[tuple[float, float]], half: float) -> float:
    """Return the first value at which the weights so far are half of all."""
    so_far = 0.0
    for value, weight in ordered:
        so_far += weight
        if so_far >= half - 1e-12:
            return value
    return ordered[-1][0]
