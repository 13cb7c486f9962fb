"""When requests come: a schedule drawn from the seed, the same for every backend."""

from __future__ import annotations

import numpy as np

from xbench.load.scenario import CONSTANT, Scenario

MOST_REQUESTS = 5_000_000  # more than a run of an hour at the rates of one machine


def schedule_ns(scenario: Scenario, seconds: float, seed: int) -> list[int]:
    """Return when each request is due, in nanoseconds from the start, in order.

    Gaps are exponential with mean ``1 / rate`` (a Poisson process) or all alike. The first comes
    after a gap too. How many there are is a matter of chance under Poisson: those before the end.

    Args:
        scenario: A server, with its rate and arrivals.
        seconds: Length of the window.
        seed: Draws the gaps. A longer window begins with the same requests, and another rate has
            the same gaps in its own measure, so that rates differ by nothing else.
    """
    rate_per_s = scenario.rate_per_s
    if not (rate_per_s > 0 and 0 < seconds * rate_per_s <= MOST_REQUESTS):
        raise ValueError(f"need 1 to {MOST_REQUESTS} requests, got {rate_per_s=} and {seconds=}")
    if scenario.arrivals == CONSTANT:
        due_s = np.arange(1, int(seconds * rate_per_s) + 1) / rate_per_s
    else:
        due_s = _poisson_s(rate_per_s, seconds, np.random.default_rng(seed))
    found: list[int] = np.rint(due_s * 1e9).astype(np.int64).tolist()
    return found


def _poisson_s(rate_per_s: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Return the arrivals of a Poisson process up to ``seconds``, drawn in blocks of one size."""
    blocks, end_s = [np.empty(0)], 0.0
    while end_s < seconds:
        blocks.append(end_s + np.cumsum(rng.exponential(1 / rate_per_s, 4096)))
        end_s = float(blocks[-1][-1])
    due_s = np.concatenate(blocks)
    return due_s[due_s <= seconds]
