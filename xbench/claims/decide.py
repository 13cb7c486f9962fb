"""From an interval and a claim to a verdict: pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import expm1, inf, isfinite, log, log1p

from xbench.claims.claim import Claim, Kind
from xbench.result import Interval, Verdict
from xbench.stats import seconds_needed, verdict

LONGEST_S = 3600.0  # nobody waits longer for one claim


class Decision(StrEnum):
    """What is said of a claim."""

    HELD = "held"
    FAILED = "failed"
    UNDETERMINED = "undetermined"
    NOT_COMPARABLE = "not comparable"


_OF_AN_ORDER = {
    Verdict.FASTER: Decision.HELD,
    Verdict.SLOWER: Decision.FAILED,
    Verdict.TIE: Decision.FAILED,
    Verdict.UNDETERMINED: Decision.UNDETERMINED,
}


@dataclass(frozen=True, slots=True)
class Band:
    """What a claim accepts, its bounds included, in the unit of its value."""

    low: float
    high: float


def band(kind: Kind, value: float, tolerance: float) -> Band:
    """Return what a claim accepts, in the unit of ``value``.

    The tolerance is a factor, so that a claim and its inverse accept the same: 25 % of 2 is from
    1.6 to 2.5, and of one half from 0.4 to 0.625.

    Args:
        kind: A ratio or a latency is bounded on both sides, `Kind.AT_LEAST` below only and
            `Kind.AT_MOST` above only.
        value: Above zero.
        tolerance: A share, 0.25 for 25 %.
    """
    low, high = value / (1 + tolerance), value * (1 + tolerance)
    return Band(0.0 if kind is Kind.AT_MOST else low, inf if kind is Kind.AT_LEAST else high)


def accepted(claim: Claim) -> Band | None:
    """Return what a claim accepts; None where it has no number, or is an order."""
    if claim.value is None or claim.kind in (Kind.FASTER, Kind.AGREE):
        return None
    return band(claim.kind, claim.value, claim.tolerance)


def decide(interval: Interval | None, within: Band) -> Decision:
    """Return whether the whole of an interval lies within a band, or outside, or neither.

    An interval that ends exactly at a bound still lies within; one that merely touches a bound
    from outside decides nothing.
    """
    if interval is None:
        return Decision.UNDETERMINED
    if within.low <= interval.low and interval.high <= within.high:
        return Decision.HELD
    if interval.high < within.low or within.high < interval.low:
        return Decision.FAILED
    return Decision.UNDETERMINED


def decide_order(ratio: Interval | None, margin: float) -> Decision:
    """Return whether the candidate is faster; a tie within ``margin`` is a failure.

    Args:
        ratio: Baseline latency over candidate latency.
        margin: By how much, as a share, two rows may differ and still be as good as equal.
    """
    return _OF_AN_ORDER[verdict(ratio, margin)]


def deciding_width(claim: Claim, value: float) -> float:
    """Return how narrow an interval around ``value`` has to be to decide a claim.

    Half of its width on the logarithmic scale: less than the distance to the nearest bound of what
    is accepted. An order is decided once the interval excludes 1, or lies within the margin of a
    tie: whichever comes first.
    """
    within = accepted(claim)
    if within:
        return min(abs(log(value / edge)) for edge in (within.low, within.high) if 0 < edge < inf)
    from_one = abs(log(value))
    return max(from_one, log1p(claim.tolerance) - from_one)


def more_seconds(claim: Claim, measured: Interval, spent_s: float) -> float | None:
    """Return about how many more seconds would decide a claim, or None where no hour would.

    Widths fall with the square root of the time.

    Args:
        claim: Undetermined so far.
        measured: What it was judged by.
        spent_s: Seconds that were measured so far.
    """
    if measured.low <= 0 or not isfinite(measured.high):
        return None
    width = deciding_width(claim, measured.value)
    if width <= 0:
        return None
    needed_s = seconds_needed(measured, expm1(2 * width) / 2, spent_s)
    return needed_s if needed_s <= LONGEST_S else None
