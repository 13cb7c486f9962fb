"""How good a configuration is likely to be: a guess, by which looks are put in order.

Nothing is dropped for a guess; `xbench.tuning.bounds` has what is.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, log, log2
from statistics import fmean

from xbench.tuning.goal import Aim
from xbench.tuning.space import Configuration, Space

BEFORE_ANY = {"batch": log(1.2), "threads": log(1.5), "streams": log(1.5)}
"""What a doubling is taken to gain before any was measured, where throughput is the aim."""

Gains = Mapping[str, float]


class Prospects:
    """Guesses from what was measured of the same backend, and of others where that tells nothing.

    Args:
        space: All configurations.
        aim: What is to be good.
        worth: By id, how good those are that were measured: logarithms.
    """

    def __init__(self, space: Space, aim: Aim, worth: Mapping[int, float]) -> None:
        self._worth = worth
        self._measured = [space.configurations[id_] for id_ in worth]
        usual = BEFORE_ANY if aim is Aim.THROUGHPUT else dict.fromkeys(BEFORE_ANY, 0.0)
        every = self._gains(space, self._measured, usual)
        backends = {one.backend for one in self._measured}
        self._gain = {
            name: self._gains(space, [o for o in self._measured if o.backend == name], every)
            for name in backends
        }

    def of(self, one: Configuration) -> float:
        """Return how good a configuration is likely to be; infinite of an unknown backend."""
        alike = [other for other in self._measured if other.backend == one.backend]
        if not alike:
            return inf
        nearest = min(alike, key=lambda other: (_distance(one, other), -self._worth[other.id]))
        gain = self._gain[one.backend]
        doublings = _doublings(one, nearest)
        return self._worth[nearest.id] + sum(gain[what] * n for what, n in doublings.items())

    def _gains(self, space: Space, among: list[Configuration], usual: Gains) -> Gains:
        """Return what a doubling gained on average; of the batch, the last of each arm."""
        found: dict[str, list[float]] = {what: [] for what in usual}
        for one in among:
            lower = [o for o in space.kin(one) if o.id in self._worth and _is_less(o, one)]
            for what in found:
                below = [o for o in lower if _doublings(one, o)[what]]
                if below:
                    near = min(below, key=lambda o: _distance(one, o))
                    gained = self._worth[one.id] - self._worth[near.id]
                    found[what].append(gained / _distance(one, near))
        return {what: fmean(gains) if gains else usual[what] for what, gains in found.items()}


def _doublings(one: Configuration, other: Configuration) -> dict[str, float]:
    """Return how often each of the other's numbers is doubled to become those of ``one``."""
    return {
        "batch": log2(one.size / other.size),
        "threads": log2(one.threads / other.threads),
        "streams": log2(one.streams / other.streams),
    }


def _distance(one: Configuration, other: Configuration) -> float:
    return sum(map(abs, _doublings(one, other).values()))


def _is_less(one: Configuration, other: Configuration) -> bool:
    return all(number <= 0 for number in _doublings(one, other).values())
