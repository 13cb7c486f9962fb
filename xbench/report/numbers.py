"""Numbers with just the digits that their interval supports."""

from __future__ import annotations

import math

from xbench.result import Interval, Latency

MOST_DIGITS = 4  # a fifth digit of a latency is never the same twice
_UNITS_J = (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6), ("nJ", 1e-9))
_UNITS_NS = (("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0))


def latency_text(interval_ns: Interval) -> str:
    """Return the middle of an interval in nanoseconds, such as ``4.12 ms``."""
    unit, size = _unit(interval_ns.value, _UNITS_NS)
    return f"{rounded(_scaled(interval_ns, 1 / size))} {unit}"


def energy_text(interval_j: Interval) -> str:
    """Return an interval in joules with its bounds, such as ``41.2 mJ [40.9, 41.5]``."""
    unit, size = _unit(interval_j.value, _UNITS_J)
    scaled = _scaled(interval_j, 1 / size)
    places = decimals(scaled)
    value, low, high = (fixed(x, places) for x in (scaled.value, scaled.low, scaled.high))
    return f"{value} {unit} [{low}, {high}]"


def power_text(interval_w: Interval) -> str:
    """Return the middle of an interval in watts, such as ``61.4 W``."""
    return f"{rounded(interval_w)} W"


def percentile_text(latency: Latency, name: str) -> str:
    """Return a percentile with its unit, or how many inferences it would need."""
    interval = latency.percentiles.get(name)
    if interval is not None:
        return latency_text(interval)
    needed = latency.needed.get(name)
    return "-" if needed is None else f"needs {needed:,}"


def rounded(interval: Interval) -> str:
    """Return the middle of an interval with the digits that the interval supports."""
    return fixed(interval.value, decimals(interval))


def ratio_text(ratio: Interval) -> str:
    """Return a ratio and its bounds, such as ``1.32 [1.29, 1.35]``."""
    places = _ratio_decimals(ratio)
    value, low, high = (fixed(x, places) for x in (ratio.value, ratio.low, ratio.high))
    return f"{value} [{low}, {high}]"


def ratio_bounds(ratio: Interval) -> tuple[str, str]:
    """Return the lower and upper bound of a ratio, rounded alike."""
    places = _ratio_decimals(ratio)
    return fixed(ratio.low, places), fixed(ratio.high, places)


def inverse(ratio: Interval) -> Interval:
    """Return the ratio seen from the other side."""
    return Interval(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)


def within_text(ratio: Interval) -> str:
    """Return how far from 1 a ratio may lie, as a percentage rounded up, such as ``1.3%``."""
    percent = 100 * max(abs(ratio.low - 1), abs(ratio.high - 1))
    return f"{math.ceil(percent * 10 - 1e-9) / 10:g}%"


def decimals(interval: Interval, most_digits: int = MOST_DIGITS) -> int:
    """Return the decimals worth showing; negative where even whole numbers say too much."""
    half = (interval.high - interval.low) / 2
    largest = max(abs(x) for x in (interval.low, interval.value, interval.high))
    if not math.isfinite(half) or not math.isfinite(largest) or largest == 0:
        return 0
    by_digits = most_digits - 1 - math.floor(math.log10(largest))
    # The digit of half the half-width: one digit of a half-width of 0.19 would lose half of it.
    return min(by_digits, -math.floor(math.log10(half / 2))) if half > 0 else by_digits


def fixed(value: float, places: int) -> str:
    """Return ``value`` with ``places`` decimals; negative places round before the point.

    What is not 0 never reads as 0: it keeps its first digit, however wide its interval.
    """
    if not math.isfinite(value):
        return "-"
    if value and not round(value, places):
        places = -math.floor(math.log10(abs(value)))
    return f"{round(value, places):.{max(places, 0)}f}"


def _ratio_decimals(ratio: Interval) -> int:
    most = 3 if ratio.low >= 0.1 else 5  # wider than 1.003 [0.999, 1.007] breaks the table
    places = min(decimals(ratio), most)
    # A bound that is not 1 must not read as 1: whether 1 lies inside is the verdict.
    while places < most and any(_reads_as_one(bound, places) for bound in (ratio.low, ratio.high)):
        places += 1
    return places


def _reads_as_one(bound: float, places: int) -> bool:
    return bound != 1 and round(bound, places) == 1


def _unit(value: float, units: tuple[tuple[str, float], ...]) -> tuple[str, float]:
    return next((unit for unit in units if abs(value) >= unit[1]), units[-1])


def _scaled(interval: Interval, factor: float) -> Interval:
    return Interval(interval.value * factor, interval.low * factor, interval.high * factor)
