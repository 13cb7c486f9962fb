"""Pure functions over samples: percentiles, intervals, verdicts, ranks, orders.

No BLAS is called from here: the idle threads of OpenBLAS spin, and a matrix product in the
parent would slow the next epoch of the process that is measured.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from math import ceil, exp, floor, inf, isfinite, log1p
from statistics import fmean, median
from typing import TypeVar

from xbench.launches import launch_interval
from xbench.result import PERCENTILES, Interval, Latency, Verdict

K = TypeVar("K", bound=Hashable)

QUIET_FACTOR = 1.25  # a quiet canary scatters by a tenth; a shared core costs it half and more
FEWEST_QUIET = 4
LEAST_QUIET_SHARE = 0.2


def percentile(values: Sequence[float], q: float) -> float:
    """Return the ``q``-th percentile of ``values``, in the unit of ``values``.

    Interpolates linearly between the two nearest ranks (Hyndman and Fan type 7).

    Args:
        values: At least one observation, in any order.
        q: Percentile, from 0 (the minimum) to 100 (the maximum).
    """
    if not values or not 0 <= q <= 100:
        raise ValueError(f"need values and 0 <= q <= 100, got {len(values)} values, {q=}")
    return _percentile(sorted(values), q)


def _percentile(ordered: Sequence[float], q: float) -> float:
    low, fraction = divmod((len(ordered) - 1) * q / 100, 1)
    below, above = ordered[int(low)], ordered[min(int(low) + 1, len(ordered) - 1)]
    return min(above, below + (above - below) * fraction)  # rounding must not pass the neighbour


@lru_cache
def samples_needed(q: float, confidence: float = 0.99) -> int:
    """Return how many samples bound the ``q``-th percentile from above with ``confidence``.

    The smallest n for which at most one of n samples lies beyond the percentile with a
    probability of at most ``1 - confidence``: 64 for p90, 130 for p95, 662 for p99, 6636 for
    p99.9, as in the early stopping of MLPerf LoadGen.

    Args:
        q: Percentile, from 50 to below 100.
        confidence: Between 0 and 1, both excluded.
    """
    if not (50 <= q < 100 and 0 < confidence < 1):
        raise ValueError(f"need 50 <= q < 100 and 0 < confidence < 1, got {q=}, {confidence=}")
    below = q / 100

    def enough(n: int) -> bool:
        return below**n + n * (1 - below) * below ** (n - 1) <= 1 - confidence

    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def percentile_interval(
    values: Sequence[float], q: float, confidence: float = 0.99
) -> Interval | None:
    """Return the ``q``-th percentile and bounds that each hold with ``confidence``.

    The bounds are order statistics: the number of samples below a percentile is binomial,
    whatever the distribution. None with fewer than `samples_needed` samples.
    """
    return _percentile_interval(sorted(values), q, confidence)


def _percentile_interval(ordered: Sequence[float], q: float, confidence: float) -> Interval | None:
    n = len(ordered)
    if n < samples_needed(q, confidence):
        return None
    low, high = _bounding_ranks(n, q, confidence)
    return Interval(_percentile(ordered, q), ordered[low], ordered[high])


@lru_cache
def _bounding_ranks(n: int, q: float, confidence: float) -> tuple[int, int]:
    """Return the places, from 0, of the order statistics that bound the percentile.

    ``bdtrik`` inverts the binomial distribution: with B samples of n below the percentile, it
    gives the k with P(B <= k) = p, of which the next whole number on the safe side is taken.
    """
    from scipy.special import bdtrik

    high = ceil(float(bdtrik(confidence, n, q / 100)))
    low = floor(float(bdtrik(1 - confidence, n, q / 100)))
    return max(low, 0), min(high, n - 1)


def latency(values_ns: Sequence[float]) -> Latency:
    """Return the summary of latencies, in nanoseconds; a percentile without proof is None.

    Args:
        values_ns: At least one latency.
    """
    ordered = sorted(values_ns)
    return Latency(
        n=len(ordered),
        mean=fmean(ordered),
        min=ordered[0],
        max=ordered[-1],
        percentiles={
            name: _percentile_interval(ordered, q, 0.99) for name, q in PERCENTILES.items()
        },
        needed={name: samples_needed(q) for name, q in PERCENTILES.items()},
    )


def ratio_interval(
    log_ratios_by_launch: Sequence[Sequence[float]], confidence: float = 0.95
) -> Interval:
    """Return a ratio with its interval, from the logarithms of the ratios of the rounds.

    Args:
        log_ratios_by_launch: As in `launch_interval`.
        confidence: Probability that the interval holds the true ratio.

    Returns:
        The interval; from 0 to infinity where a single round tells no spread.
    """
    logs = launch_interval(log_ratios_by_launch, confidence)
    return Interval(exp(logs.value), _exp(logs.low), _exp(logs.high))


def _exp(value: float) -> float:
    return exp(value) if value < 709 else inf  # e to the 710 is more than a float holds


def half_width(ratio: Interval) -> float:
    """Return the half-width of a ratio's interval as a share: 0.01 is one per cent.

    Half of what the upper bound is above the lower one, relative to the lower one: the same for
    a ratio and for its inverse.
    """
    if ratio.low <= 0 or not isfinite(ratio.high):
        return inf
    return (ratio.high / ratio.low - 1) / 2


def verdict(ratio: Interval | None, margin: float) -> Verdict:
    """Return what the interval of a ratio allows to be said.

    With a margin of twice the half-width that a run aims at, a run that reaches its aim always
    ends decided. An interval with a half-width of w that holds 1 has ``high / low <= 1 + 2w``;
    as ``low <= 1 <= high``, neither bound is further from 1 than the factor ``1 + 2w``, so it
    is a tie. One that does not hold 1 is a tie, or faster, or slower.

    Args:
        ratio: Baseline latency over candidate latency; None where it is not known.
        margin: By how much, as a share, two rows may differ and still be as good as equal.
    """
    if ratio is None:
        return Verdict.UNDETERMINED
    if 1 / (1 + margin) <= ratio.low and ratio.high <= 1 + margin:
        return Verdict.TIE
    if ratio.low > 1:
        return Verdict.FASTER
    return Verdict.SLOWER if ratio.high < 1 else Verdict.UNDETERMINED


def seconds_needed(ratio: Interval, target: float, spent_s: float) -> float:
    """Return about how many more seconds bring the half-width to ``target``.

    An interval's width, on the logarithmic scale, falls with the square root of the time.
    Infinite where the width is not known.
    """
    width = half_width(ratio)
    if not isfinite(width):
        return inf
    return max(0.0, spent_s * ((log1p(2 * width) / log1p(2 * target)) ** 2 - 1))


def quiet_rounds(canary_ns: Mapping[K, float]) -> frozenset[K]:
    """Return the rounds in which the machine was undisturbed, as the canary's time tells.

    Where no quiet regime can be told (`quiet_limit`), all rounds are returned.

    Args:
        canary_ns: The canary's time in each round, in nanoseconds: its worst.
    """
    most_ns = quiet_limit(canary_ns.values())
    return frozenset(key for key, ns in canary_ns.items() if most_ns is None or ns <= most_ns)


def quiet_limit(canary_ns: Iterable[float]) -> float | None:
    """Return the longest canary time of the quiet regime, in the unit of the times.

    The regime is the lowest stretch, a factor of 1.25 wide, that holds at least a fifth of the
    times and four: lucky ones below it are too few to be one. Times up to 1.25 of its median
    belong to it. None where there is no such stretch: then the regimes cannot be told apart.
    """
    ordered = sorted(canary_ns)
    fewest = max(FEWEST_QUIET, ceil(LEAST_QUIET_SHARE * len(ordered)))
    for start, time_ns in enumerate(ordered):
        end = bisect_right(ordered, QUIET_FACTOR * time_ns)
        if end - start >= fewest:
            return QUIET_FACTOR * median(ordered[start:end])
    return None


def ranks(p50: Mapping[int, float], verdicts: Mapping[tuple[int, int], Verdict]) -> dict[int, int]:
    """Return competition ranks (1, 1, 3) by id, the smallest p50 first.

    A row shares the rank of its group's leader unless it was told apart from the leader.

    Args:
        p50: What to rank by, by id.
        verdicts: By pair of ids, in either order; a pair that is missing was not told apart.
    """
    apart = {Verdict.FASTER, Verdict.SLOWER}
    found: dict[int, int] = {}
    leader: int | None = None
    for place, row in enumerate(sorted(p50, key=lambda one: (p50[one], one)), 1):
        if leader is None or {verdicts.get((leader, row)), verdicts.get((row, leader))} & apart:
            leader, found[row] = row, place
        else:
            found[row] = found[leader]
    return found


@lru_cache
def williams(n: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Return a Williams square of ``n`` cells, as rows of orders.

    Over its rows (n if n is even, else 2n) every cell stands equally often in each place, and
    equally often right after each other cell (E. J. Williams, 1949). The seed shuffles the rows
    and the labels.
    """
    rng = random.Random(seed)  # noqa: S311 -- a balanced order, no secret
    zigzag = [i // 2 if i % 2 == 0 else n - 1 - i // 2 for i in range(n)]
    rows = [[(start + shift) % n for shift in zigzag] for start in range(n)]
    if n % 2 == 1 and n > 1:
        rows += [row[::-1] for row in rows]
    labels = list(range(n))
    rng.shuffle(labels)
    rng.shuffle(rows)
    return tuple(tuple(labels[i] for i in row) for row in rows)
