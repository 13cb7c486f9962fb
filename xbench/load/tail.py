"""Percentiles of latencies that hang together, as those of a queue do.

One slow request delays those that come after it, so the slow ones come in clusters, and a
thousand requests say less about p99 than a thousand independent ones. Bounds that take no notice
are far too narrow: at a utilisation of 80 % a p99 hangs on a handful of busy spells.

Requests that find the server empty cut the run into cycles that are independent of each other
(the regenerative method: Crane and Lemoine 1977; for percentiles Iglehart 1976, "Simulating stable
stochastic systems VI"). The variance of the share of slow requests, taken over cycles, over that
of as many independent requests is the variance inflation; the number of requests over it is the
effective number, with which the binomial bounds of `xbench.stats` are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtrik

from xbench.result import PERCENTILES, Interval, Latency
from xbench.stats import percentile, samples_needed

CONFIDENCE = 0.99  # of each bound
NEARER = (5.0, 10.0, 20.0)
"""Times the share beyond the percentile: there the inflation is taken, the largest of these.

The share beyond p99 itself is a few clusters, too few to tell how they vary.
"""

SAFETY = 1.4
"""By which the effective number is lowered for the bounds.

A run that happens to miss the longest busy spells underrates both the percentile and how its
requests cluster. Simulated M/M/1 and M/D/1 servers at utilisations of 30 to 80 %, with just enough
requests and with four times as many: the bounds miss the true p99 in 1 to 3 % of runs, and without
this in up to 8 %.
"""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Known:
    """A percentile with its proof, or what it would need.

    Attributes:
        interval: The percentile and its bounds, or None with too few effective samples.
        effective: How many independent samples would say as much.
        needed: How many samples like these would give one.
    """

    interval: Interval | None
    effective: float
    needed: int


def latency(latencies_ns: ArrayLike, begins: ArrayLike) -> Latency:
    """Return the summary of latencies in nanoseconds; a percentile without proof is None.

    Args:
        latencies_ns: In the order in which the requests were due; at least one.
        begins: For each, whether it found the server empty: a new cycle begins with it.
    """
    values = np.asarray(latencies_ns, dtype=np.float64)
    known = {name: _known(values, _cycles(begins), q) for name, q in PERCENTILES.items()}
    return Latency(
        n=len(values),
        mean=float(values.mean()),
        min=float(values.min()),
        max=float(values.max()),
        percentiles={name: one.interval for name, one in known.items()},
        needed={name: one.needed for name, one in known.items()},
    )


def known(latencies_ns: ArrayLike, begins: ArrayLike, q: float) -> Known:
    """Return the ``q``-th percentile of latencies, with bounds that each hold with 99 % confidence.

    Args:
        latencies_ns: As in `latency`.
        begins: As in `latency`.
        q: Percentile, from 50 to below 100.
    """
    return _known(np.asarray(latencies_ns, dtype=np.float64), _cycles(begins), q)


def _cycles(begins: ArrayLike) -> NDArray[np.intp]:
    """Return the number of each request's cycle; the first begins one in any case."""
    first = np.array(begins, dtype=bool)
    first[:1] = True
    return np.cumsum(first) - 1


def _known(values: Numbers, cycles: NDArray[np.intp], q: float) -> Known:
    n, beyond, p = len(values), 1 - q / 100, q / 100
    shares = {min(0.5, beyond * factor) for factor in NEARER}
    effective = n / max(_inflation(values, cycles, share) for share in shares)
    effective = min(effective, _spells(values, cycles, q) / beyond)
    least = samples_needed(q, CONFIDENCE)
    if effective < least:
        return Known(None, effective, ceil(least * n / max(effective, 1.0)))
    trusted = effective if len(cycles) == cycles[-1] + 1 else effective / SAFETY
    low = floor(float(bdtrik(1 - CONFIDENCE, trusted, p)) * n / trusted)
    high = ceil(float(bdtrik(CONFIDENCE, trusted, p)) * n / trusted)
    ordered = np.sort(values).tolist()
    bounds = ordered[max(low, 0)], ordered[min(high, n - 1)]
    return Known(Interval(percentile(ordered, q), *bounds), effective, least)


def _inflation(values: Numbers, cycles: NDArray[np.intp], share: float) -> float:
    """Return the variance of the share of slow requests over that of independent ones, at least 1.

    Over cycles with ``N`` requests of which ``Y`` are slow, the share ``p = sum Y / sum N`` is a
    ratio, with the variance ``sum (Y - p N)^2 / (sum N)^2``.
    """
    slow = values > np.quantile(values, 1 - share)
    count = int(cycles[-1]) + 1
    p = float(slow.mean())
    if count < 2 or not 0 < p < 1:
        return 1.0  # tells nothing; `_spells` does
    own = np.bincount(cycles, weights=slow, minlength=count)
    off = own - p * np.bincount(cycles, minlength=count)
    variance = float(off @ off) / len(values) ** 2
    return max(1.0, variance * len(values) / (p * (1 - p)))


def _spells(values: Numbers, cycles: NDArray[np.intp], q: float) -> float:
    """Return in how many cycles latency reached the percentile; each says at most one thing."""
    slow = values >= np.quantile(values, q / 100)
    return float(len(np.unique(cycles[slow])))
