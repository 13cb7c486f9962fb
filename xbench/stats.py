"""Pure functions over samples: percentiles, intervals, verdicts, ranks, orders.

No BLAS is called from here: the idle threads of OpenBLAS spin, and a matrix product in the
parent would slow the next epoch of the process that is measured.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from math import ceil, exp, inf, log, sqrt
from statistics import fmean, median, variance
from typing import TypeVar

from xbench.result import PERCENTILES, Interval, Latency, Verdict

K = TypeVar("K", bound=Hashable)

REGIME_GAP = 1.25  # rounds whose canary took this much longer than the quiet mode are disturbed
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
    return _sorted_percentile(sorted(values), q)


def _sorted_percentile(ordered: Sequence[float], q: float) -> float:
    low, fraction = divmod((len(ordered) - 1) * q / 100, 1)
    below, above = ordered[int(low)], ordered[min(int(low) + 1, len(ordered) - 1)]
    return below + (above - below) * fraction


@lru_cache
def samples_needed(q: float, confidence: float = 0.99) -> int:
    """Return how many samples bound the ``q``-th percentile from above with ``confidence``.

    The smallest n for which at most one of n samples lies beyond the percentile with a
    probability of at most ``1 - confidence``: 64 for p90, 130 for p95, 662 for p99, 6636 for
    p99.9, as in the early stopping of MLPerf LoadGen.
    """
    beyond = 1 - q / 100

    def at_most_one(n: int) -> float:
        return (1 - beyond) ** n + n * beyond * (1 - beyond) ** (n - 1)

    low, high = 1, 2
    while at_most_one(high) > 1 - confidence:
        low, high = high, 2 * high
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if at_most_one(middle) <= 1 - confidence else (middle, high)
    return high


def percentile_interval(
    values: Sequence[float], q: float, confidence: float = 0.99
) -> Interval | None:
    """Return the ``q``-th percentile and bounds that each hold with ``confidence``.

    The bounds are order statistics: the number of samples below a percentile is binomial,
    whatever the distribution. None with fewer than `samples_needed` samples.
    """
    return _sorted_interval(sorted(values), q, confidence)


def _sorted_interval(ordered: Sequence[float], q: float, confidence: float) -> Interval | None:
    from scipy.special import bdtrik

    n = len(ordered)
    if n < samples_needed(q, confidence):
        return None
    # bdtrik inverts the binomial distribution: the k with P(Bin(n, q) <= k) = confidence
    high = min(n - 1, ceil(float(bdtrik(confidence, n, q / 100))))
    low = max(0, ceil(float(bdtrik(1 - confidence, n, q / 100))) - 1)
    return Interval(_sorted_percentile(ordered, q), ordered[low], ordered[high])


def latency(values_ns: Sequence[float]) -> Latency:
    """Return the summary of latencies, in nanoseconds; a percentile without proof is None."""
    ordered = sorted(values_ns)
    return Latency(
        n=len(ordered),
        mean=fmean(ordered),
        min=ordered[0],
        max=ordered[-1],
        percentiles={name: _sorted_interval(ordered, q, 0.99) for name, q in PERCENTILES.items()},
        needed={name: samples_needed(q) for name, q in PERCENTILES.items()},
    )


def launch_interval(by_launch: Sequence[Sequence[float]], confidence: float = 0.95) -> Interval:
    """Return the mean over launches of each launch's median round, with its interval.

    Launches are the replicate: the interval is Student's t over their medians, with launches
    less one degrees of freedom, and never narrower than the rounds within the launches alone
    would make it. With one launch only the rounds speak. The median, since a neighbour's burst
    makes a few rounds arbitrarily bad.

    Args:
        by_launch: For each launch the values of its rounds, in one unit; at least one value.
        confidence: Probability that the interval holds the true value.
    """
    launches = [list(rounds) for rounds in by_launch if rounds]
    centres = [median(rounds) for rounds in launches]
    count = len(centres)
    within = sqrt(sum(_median_variance(rounds) for rounds in launches)) / count
    between = sqrt(variance(centres) / count) if count > 1 else 0.0
    freedom = count - 1 if count > 1 else max(1, len(launches[0]) - 1)
    half = _student(confidence, freedom) * max(between, within)
    centre = fmean(centres)
    return Interval(centre, centre - half, centre + half)


def _median_variance(values: Sequence[float]) -> float:
    """Return the variance of the median: pi/2 of the mean's, its scale from the middle half.

    The interquartile range over 1.349 estimates a normal's standard deviation and is deaf to
    the tails. Fewer than four values have no quartiles; their variance serves.
    """
    n = len(values)
    if n < 2:
        return 0.0
    if n < 4:
        return variance(values) / n
    ordered = sorted(values)
    spread = (_sorted_percentile(ordered, 75) - _sorted_percentile(ordered, 25)) / 1.349
    return 1.5708 * spread * spread / n


@lru_cache
def _student(confidence: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def ratio_interval(
    log_ratios_by_launch: Sequence[Sequence[float]], confidence: float = 0.95
) -> Interval:
    """Return a ratio with its interval, from the logarithms of the ratios of the rounds."""
    logs = launch_interval(log_ratios_by_launch, confidence)
    return Interval(exp(logs.value), _exp(logs.low), _exp(logs.high))


def _exp(value: float) -> float:
    return exp(min(value, 700.0))  # the largest power of e that a float holds


def half_width(ratio: Interval) -> float:
    """Return the relative half-width of a ratio's interval: 0.01 is one per cent."""
    if ratio.low <= 0:
        return inf
    return _exp((log(ratio.high) - log(ratio.low)) / 2) - 1


def verdict(ratio: Interval | None, margin: float) -> Verdict:
    """Return what the interval of a ratio allows to be said.

    With a margin of twice the half-width that a run aims at, a run that reaches its aim is
    always decided: an interval that narrow which holds 1 lies within the margin.
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

    An interval narrows with the square root of the time.
    """
    width = half_width(ratio)
    if width == inf:
        return inf
    return max(0.0, spent_s * ((width / target) ** 2 - 1))


def quiet_rounds(canary_ns: Mapping[K, float]) -> frozenset[K]:
    """Return the rounds in which the machine was undisturbed, as the canary's time tells.

    The quiet mode is the lower quartile's neighbourhood: the machine's fast regime, even if
    most rounds were slow, yet no single lucky round. Where fewer than a fifth of the rounds
    would be quiet, no regime can be told, and all are returned.
    """
    if not canary_ns:
        return frozenset()
    ordered = sorted(canary_ns.values())
    mode = _sorted_percentile(ordered, 25)
    quiet = frozenset(key for key, time in canary_ns.items() if time <= REGIME_GAP * mode)
    enough = len(quiet) >= max(FEWEST_QUIET, LEAST_QUIET_SHARE * len(ordered))
    return quiet if enough else frozenset(canary_ns)


def ranks(p50: Mapping[int, float], verdicts: Mapping[tuple[int, int], Verdict]) -> dict[int, int]:
    """Return competition ranks (1, 1, 3) by id, the smallest p50 first.

    A row shares the rank of its group's leader unless it was told apart from the leader.
    """
    open_verdicts = {Verdict.TIE, Verdict.UNDETERMINED}
    found: dict[int, int] = {}
    leader: int | None = None
    for place, row in enumerate(sorted(p50, key=lambda one: p50[one]), 1):
        said = None
        if leader is not None:
            said = verdicts.get((leader, row)) or verdicts.get((row, leader))
        if leader is None or said not in open_verdicts:
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
