"""Whether a configuration keeps to a limit on latency, as far as its inferences tell."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from statistics import median

from xbench.load.slo import Slo
from xbench.result import PERCENTILES
from xbench.stats import percentile, percentile_interval

CONFIDENCE = 0.99
FEWEST_ROUNDS = 3


class Keeps(StrEnum):
    """What the inferences say of a limit."""

    HOLDS = "holds"
    BREAKS = "breaks"
    OPEN = "open"


def keeps(slo: Slo | None, rounds: Sequence[Sequence[int]]) -> Keeps:
    """Return whether the limit is kept; each answer but ``open`` holds with 99 % confidence.

    With enough inferences the bounds of the percentile tell. Before, a limit is broken where too
    many are beyond it to be chance (binomial), in the middle one of the rounds too: a stall of the
    machine makes slow inferences that come together.

    Args:
        slo: The limit; without one, it is kept.
        rounds: The latencies of each round, in nanoseconds.
    """
    every = [one for taken in rounds for one in taken]
    if slo is None:
        return Keeps.HOLDS
    if not every:
        return Keeps.OPEN
    limit_ns = slo.limit_s * 1e9
    bounds = percentile_interval(every, PERCENTILES[slo.percentile], CONFIDENCE)
    if bounds is not None:
        if bounds.low > limit_ns:
            return Keeps.BREAKS
        return Keeps.HOLDS if bounds.high <= limit_ns else Keeps.OPEN
    return Keeps.BREAKS if _too_many(slo, limit_ns, rounds) else Keeps.OPEN


def seems_to_keep(slo: Slo | None, latencies_ns: Sequence[int]) -> bool:
    """Return whether the percentile of so many inferences lies within the limit."""
    if slo is None:
        return True
    if not latencies_ns:
        return False  # nothing was measured, so nothing seems
    return percentile(latencies_ns, PERCENTILES[slo.percentile]) <= slo.limit_s * 1e9


def _too_many(slo: Slo, limit_ns: float, rounds: Sequence[Sequence[int]]) -> bool:
    from scipy.special import bdtrc

    beyond = [sum(one > limit_ns for one in taken) for taken in rounds]
    allowed = 1 - slo.share
    usual = median(over / len(taken) for over, taken in zip(beyond, rounds, strict=True) if taken)
    if len(rounds) < FEWEST_ROUNDS or usual <= allowed:
        return False
    timed = sum(map(len, rounds))
    return float(bdtrc(sum(beyond) - 1, timed, allowed)) <= 1 - CONFIDENCE
