"""What queueing theory says of a server: utilisation, mean and percentiles of the time in it.

Requests come as a Poisson process, wait in one queue, and are served first come first served by
one of ``servers`` alike. Times are sojourn times: from arrival to the end of service. A server that
cannot keep up has infinite ones.

Sources, by their names in the functions:

- Erlang 1909, "The theory of probabilities and telephone conversations", and 1917, "Solution of
  some problems in the theory of probabilities of significance in automatic telephone exchanges".
- Crommelin 1932, "Delay probability formulae when the holding times are constant".
- Pollaczek 1930 and Khinchine 1932: the mean wait for any distribution of service times.
- Franx 2001, "A simple solution for the M/D/c waiting time distribution", Operations Research
  Letters 29.
- Kleinrock 1975, "Queueing Systems, Volume 1": M/M/1 (chapter 3), M/M/c (3.5), M/G/1 (5.7).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import exp, floor, inf, isfinite, log

import numpy as np
from numpy.typing import NDArray

LARGEST_UTILISATION = 0.999  # of M/D/1: its states grow with 1 / (1 - utilisation)
MOST_STATES = 2**15
CLOSE = 1e-9
NEARLY_ALL = 1 - 1e-12  # beyond, rounding decides


def utilisation(rate_per_s: float, service_s: float, servers: int = 1) -> float:
    """Return the share of the servers' time that the requests ask for; from 1 on it is too much.

    Args:
        rate_per_s: Mean arrivals a second.
        service_s: Mean service time of a request.
        servers: How many serve at once.
    """
    if not (
        rate_per_s >= 0 and service_s > 0 and servers >= 1 and isfinite(rate_per_s * service_s)
    ):
        raise ValueError(f"need a rate, a time above 0 and a server: {rate_per_s=}, {service_s=}")
    return rate_per_s * service_s / servers


def mg1_mean_s(rate_per_s: float, service_s: float, squared_variation: float) -> float:
    """Return the mean time in an M/G/1 server, in seconds.

    Pollaczek and Khinchine: the mean wait is ``rho S (1 + c2) / (2 (1 - rho))``.

    Args:
        rate_per_s: Mean arrivals a second.
        service_s: Mean service time.
        squared_variation: Variance of the service time over its mean squared: 0 where it is
            constant (M/D/1), 1 where it is exponential (M/M/1).
    """
    rho = utilisation(rate_per_s, service_s)
    if squared_variation < 0:
        raise ValueError(f"a variance is at least 0, got {squared_variation=}")
    if rho >= 1:
        return inf
    return service_s + rho * service_s * (1 + squared_variation) / (2 * (1 - rho))


def mm1_percentile_s(rate_per_s: float, service_s: float, q: float) -> float:
    """Return the ``q``-th percentile of the time in an M/M/1 server, in seconds.

    The time is exponential with rate ``1/S - rate`` (Kleinrock 1975, 3.2 and 5.7).
    """
    _check(q)
    if utilisation(rate_per_s, service_s) >= 1:
        return inf
    return -log(1 - q / 100) / (1 / service_s - rate_per_s)


def erlang_c(rate_per_s: float, service_s: float, servers: int) -> float:
    """Return the share of requests that find all servers of M/M/c busy and wait; 1 where too many.

    Erlang 1917; by the recursion of Erlang's loss formula, ``B(n) = a B(n-1) / (n + a B(n-1))``.
    """
    rho = utilisation(rate_per_s, service_s, servers)
    if rho >= 1:
        return 1.0
    load, loss = rate_per_s * service_s, 1.0
    for number in range(1, servers + 1):
        loss = load * loss / (number + load * loss)
    return loss / (1 - rho * (1 - loss))


def mmc_mean_s(rate_per_s: float, service_s: float, servers: int) -> float:
    """Return the mean time in an M/M/c server, in seconds (Erlang 1917; Kleinrock 1975, 3.5)."""
    if utilisation(rate_per_s, service_s, servers) >= 1:
        return inf
    return service_s + erlang_c(rate_per_s, service_s, servers) / (servers / service_s - rate_per_s)


def mmc_percentile_s(rate_per_s: float, service_s: float, servers: int, q: float) -> float:
    """Return the ``q``-th percentile of the time in an M/M/c server, in seconds.

    A request waits with probability C (`erlang_c`), then for an exponential time with rate
    ``c/S - rate``; its service is exponential with rate ``1/S``. The sum's distribution is theirs.
    """
    _check(q)
    if utilisation(rate_per_s, service_s, servers) >= 1:
        return inf
    waits = erlang_c(rate_per_s, service_s, servers)
    drain, served = servers / service_s - rate_per_s, 1 / service_s

    def beyond(time_s: float) -> float:
        own = exp(-served * time_s)
        if abs(drain - served) <= CLOSE * served:
            return own * (1 + waits * served * time_s)
        both = (drain * own - served * exp(-drain * time_s)) / (drain - served)
        return (1 - waits) * own + waits * both

    return _solve(lambda time_s: 1 - beyond(time_s), q / 100, service_s)


def md1_percentile_s(rate_per_s: float, service_s: float, q: float) -> float:
    """Return the ``q``-th percentile of the time in an M/D/1 server, in seconds.

    The service time itself and a wait with the distribution of `md1_wait_share`.

    Raises:
        ValueError: If the utilisation is above 0.999 and below 1.
    """
    _check(q)
    rho = utilisation(rate_per_s, service_s)
    if rho >= 1:
        return inf
    if 1 - rho >= q / 100:  # does not wait
        return service_s
    wait_s = _solve(
        lambda time_s: md1_wait_share(rate_per_s, service_s, time_s), q / 100, service_s
    )
    return service_s + wait_s


def md1_wait_share(rate_per_s: float, service_s: float, time_s: float) -> float:
    """Return the share of the requests of an M/D/1 server that wait at most ``time_s``.

    The formula of Erlang 1909 and Crommelin 1932, ``(1 - rho) sum_k (rate (k S - t))^k / k!
    e^(-rate (k S - t))`` over ``k <= t / S``, has terms of alternating sign that cancel. Franx 2001
    has the same as a sum of positive ones, over the distribution of the requests in the server:
    ``e^-x sum_j Q(k-1-j) x^j / j!`` with ``(k-1) S <= t < k S``, ``x = rate (k S - t)``, and Q(n)
    the share of time with at most n requests waiting.
    """
    rho = utilisation(rate_per_s, service_s)
    if rho > LARGEST_UTILISATION:
        raise ValueError(f"need a utilisation of at most {LARGEST_UTILISATION}, got {rho}")
    if time_s < 0:
        return 0.0
    steps = floor(time_s / service_s) + 1
    if steps >= MOST_STATES:
        raise ValueError(
            f"need a wait of less than {MOST_STATES} services, got {time_s / service_s}"
        )
    x = rate_per_s * (steps * service_s - time_s)
    waiting = np.cumsum(_md1_states(rho, 2 ** (steps + 1).bit_length()))[1 : steps + 1]
    weights = _poisson(x, steps)
    return min(1.0, float(weights @ waiting[::-1]))


@lru_cache(maxsize=8)
def _md1_states(rho: float, count: int) -> NDArray[np.float64]:
    """Return the share of time that an M/D/1 server holds 0, 1, ... requests.

    Across each level it is passed upwards as often as downwards: ``p(j+1) a(0) = p(0) A(j) +
    sum_i p(i) A(j+1-i)``, where ``a`` is the distribution of arrivals during a service and ``A(j)``
    the share of services with more than j. All terms are positive, so nothing cancels.
    """
    arrivals = _poisson(rho, count + 1)
    more = np.maximum(0.0, 1 - np.cumsum(arrivals))
    states = np.zeros(count)
    states[0] = 1 - rho
    for j in range(count - 1):
        up = states[0] * more[j] + states[1 : j + 1] @ more[j:0:-1]
        states[j + 1] = up / arrivals[0]
    return states


def _poisson(mean: float, count: int) -> NDArray[np.float64]:
    """Return the probabilities of 0 to ``count - 1`` of a Poisson distribution."""
    from scipy.special import gammaln

    if mean == 0:
        return np.array([1.0] + [0.0] * (count - 1))
    k = np.arange(count)
    found: NDArray[np.float64] = np.exp(k * log(mean) - mean - gammaln(k + 1))
    return found


def _check(q: float) -> None:
    if not 0 <= q < 100:
        raise ValueError(f"a percentile is from 0 to below 100, got {q=}")


def _solve(share: Callable[[float], float], wanted: float, step_s: float) -> float:
    """Return where a distribution reaches ``wanted``, in seconds, to a part in 10^12."""
    high_s = step_s
    while share(high_s) < min(wanted, NEARLY_ALL):
        high_s *= 2
    low_s = 0.0
    for _ in range(60):
        middle_s = (low_s + high_s) / 2
        low_s, high_s = (middle_s, high_s) if share(middle_s) < wanted else (low_s, middle_s)
    return high_s
