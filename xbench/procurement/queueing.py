"""How long a request takes on a device that others use too: M/G/1 over a measured service time.

Requests come as a Poisson process, wait in one queue and are served one by one, in the order in
which they came. `xbench.load.theory` has closed forms for constant and exponential service times;
here the service time has whatever distribution was measured, so that a wide tail costs capacity.

Sources: the wait is a geometric number of residual service times (Pollaczek and Khinchine, in the
form of Benes; Kleinrock 1975, "Queueing Systems, Volume 1", 5.7). Such a sum is taken on a lattice
by the recursion of Panjer 1981, "Recursive evaluation of a family of compound distributions", ASTIN
Bulletin 12; its terms are positive, so that nothing cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.floating[Any]]

STEPS = 500  # of the lattice, at least, up to the time that is asked about
FINEST = 25  # steps of a mean service time
MOST_STEPS = 2_500
FIRST_SPAN = 20  # mean service times
HALVINGS = 40
CLOSE = 1e-6


@dataclass(frozen=True, slots=True)
class Service:
    """The distribution of a service time: linear between knots.

    Attributes:
        times_s: In order; equal ones are a step.
        shares: The share of service times up to each; from 0 to 1.
    """

    times_s: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        ordered = list(self.times_s) == sorted(self.times_s) and self.times_s[0] >= 0
        rising = list(self.shares) == sorted(self.shares) and len(self.shares) == len(self.times_s)
        if not (ordered and rising and self.shares[0] == 0 and self.shares[-1] == 1):
            raise ValueError(f"not a distribution: {self.times_s} {self.shares}")

    @property
    def mean_s(self) -> float:
        """Return the mean service time, in seconds."""
        return float(np.diff(self.shares) @ _middles(self.times_s))

    @property
    def squared_variation(self) -> float:
        """Return the variance over the mean squared; 0 for a constant time."""
        times = np.asarray(self.times_s)
        squares = (times[1:] ** 2 + times[1:] * times[:-1] + times[:-1] ** 2) / 3
        return max(0.0, float(np.diff(self.shares) @ squares) / self.mean_s**2 - 1)

    def within(self, times_s: Numbers) -> Numbers:
        """Return the share of service times up to each of ``times_s``."""
        return np.interp(times_s, self.times_s, self.shares, left=0.0, right=1.0)

    def residual(self, times_s: Numbers) -> Numbers:
        """Return the distribution of what is left of a service that a request comes upon.

        ``integral of (1 - F) / mean``: exact, as F is linear between knots.
        """
        knots, shares = np.asarray(self.times_s), np.asarray(self.shares)
        widths = np.diff(knots)
        up_to = knots[0] + np.concatenate(([0.0], np.cumsum(widths * (1 - _middles(self.shares)))))
        at = np.clip(np.searchsorted(knots, times_s, side="right") - 1, 0, len(knots) - 2)
        past = np.clip(times_s - knots[at], 0.0, widths[at])
        slopes = np.divide(np.diff(shares), widths, out=np.zeros_like(widths), where=widths > 0)
        whole = up_to[at] + past * (1 - shares[at]) - slopes[at] * past**2 / 2
        early = times_s < knots[0]
        return np.clip(np.where(early, np.maximum(times_s, 0.0), whole) / self.mean_s, 0.0, 1.0)


def from_knots(times_s: Sequence[float], shares: Sequence[float]) -> Service:
    """Return the distribution through knots whose times may be out of order by noise."""
    return Service(tuple(np.maximum.accumulate(times_s).tolist()), tuple(shares))


def sojourn_share(service: Service, rate_per_s: float, time_s: float) -> float:
    """Return the share of requests that are done within ``time_s`` of their arrival.

    Args:
        service: Of one request.
        rate_per_s: Mean arrivals a second.
        time_s: Wait and service together, in seconds.
    """
    if time_s <= 0 or rate_per_s * service.mean_s >= 1:
        return 0.0
    return _share(service, *_wait(service, rate_per_s, time_s), time_s)


def sojourn_percentile_s(
    service: Service, rate_per_s: float, share: float, longest_s: float
) -> float:
    """Return the time within which a ``share`` of the requests are done, in seconds.

    Infinite where it is beyond ``longest_s``, or the device cannot keep up.
    """
    if rate_per_s * service.mean_s >= 1:
        return inf
    span_s = min(longest_s, max(FIRST_SPAN * service.mean_s, 2 * service.times_s[-1]))
    wait, step_s = _wait(service, rate_per_s, span_s)
    while _share(service, wait, step_s, span_s) < share:
        if span_s == longest_s:
            return inf
        span_s = min(longest_s, 2 * span_s)
        wait, step_s = _wait(service, rate_per_s, span_s)
    low_s, high_s = 0.0, span_s
    for _ in range(HALVINGS):
        middle_s = (low_s + high_s) / 2
        enough = _share(service, wait, step_s, middle_s) >= share
        low_s, high_s = (low_s, middle_s) if enough else (middle_s, high_s)
    return high_s


@lru_cache(maxsize=1024)
def largest_utilisation(service: Service, share: float, limit_s: float, most: float) -> float:
    """Return the largest share of its time that a device may be busy, up to ``most``.

    At that load a ``share`` of the requests, such as 0.99, are done within ``limit_s``; 0 where
    that fails however few come.
    """
    # What comes later than a hundred service times needs no finer lattice, and is rarer than
    # what is looked at instead.
    limit_s = min(limit_s, max(MOST_STEPS / FINEST * service.mean_s, 2 * service.times_s[-1]))

    def spare(utilisation: float) -> float:
        return sojourn_share(service, utilisation / service.mean_s, limit_s) - share

    if spare(most) >= 0:
        return most
    if spare(0.0) <= 0:
        return 0.0
    from scipy.optimize import brentq

    return max(0.0, float(brentq(spare, 0.0, most, xtol=CLOSE)) - CLOSE)


def fill_s(batch: int, rate_per_s: float, share: float) -> float:
    """Return within what time a batch fills after its first request, for a ``share`` of batches.

    The sum of ``batch - 1`` exponential gaps has an Erlang distribution (Kleinrock 1975, 4.2).
    """
    if batch == 1:
        return 0.0
    from scipy.special import gammaincinv

    return float(gammaincinv(batch - 1, share)) / rate_per_s


def _wait(service: Service, rate_per_s: float, longest_s: float) -> tuple[Numbers, float]:
    """Return the probabilities of waits on a lattice from 0 to ``longest_s``, and its step.

    Residual times are rounded to the nearest point, which leaves their mean as it is.
    """
    finest = int(np.ceil(FINEST * longest_s / service.mean_s))
    count = min(max(STEPS, finest), MOST_STEPS)
    step_s = longest_s / count
    edges = service.residual((np.arange(count + 2) - 0.5) * step_s)
    residual = np.diff(edges)
    rho = rate_per_s * service.mean_s
    wait = np.zeros(count + 1)
    wait[0] = (1 - rho) / (1 - rho * residual[0])
    backwards = residual[::-1]  # so that both sides of the product lie in one direction
    scale = rho / (1 - rho * residual[0])
    for k in range(1, count + 1):
        wait[k] = scale * float(backwards[count - k : count] @ wait[:k])
    return wait, step_s


def _share(service: Service, wait: Numbers, step_s: float, time_s: float) -> float:
    """Return the share of requests whose wait and service together take at most ``time_s``."""
    left_s = time_s - np.arange(len(wait)) * step_s
    return float(wait @ np.where(left_s < 0, 0.0, service.within(left_s)))


def _middles(values: Sequence[float]) -> Numbers:
    array: Numbers = np.asarray(values)
    middles: Numbers = (array[1:] + array[:-1]) / 2
    return middles
