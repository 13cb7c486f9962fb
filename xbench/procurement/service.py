"""How long a run takes, as a distribution, from what a row tells of its latency.

A row is taken at three ends: at its own values, at its best (throughput high, latency low) and at
its worst.
"""

from __future__ import annotations

from itertools import pairwise

from xbench.procurement.evidence import Row
from xbench.procurement.queueing import Service, from_knots
from xbench.result import PERCENTILES

ENDS = ("value", "best", "worst")


def service_of(row: Row, end: str) -> Service:
    """Return the distribution of a run's service time, from a row's latency.

    Linear between the percentiles that are known, and from the last of them to a point chosen so
    that the mean is that of the throughput; the slowest of n was seen once, and counts 1/n. The
    bounds of percentiles come from inferences alone; those of the throughput know launches too, so
    at the best and the worst end the whole is stretched to the mean that those allow.

    Args:
        row: With a latency.
        end: ``value``, ``best`` or ``worst``.
    """
    assert row.extremes_s is not None
    least_s, most_s = row.extremes_s
    side = {"value": "value", "best": "low", "worst": "high"}[end]
    known = [(q / 100, row.latency_s.get(name)) for name, q in PERCENTILES.items()]
    knots = [(0.0, least_s), *((q, float(getattr(one, side))) for q, one in known if one)]
    mean_s = row.batch / throughput_per_s(row, end)
    knots = _with_tail(knots, most_s, mean_s, row.timed)
    service = from_knots([one for _, one in knots], [one for one, _ in knots])
    stretch = mean_s / service.mean_s
    if (end == "best" and stretch < 1) or (end == "worst" and stretch > 1):
        return from_knots([one * stretch for one in service.times_s], service.shares)
    return service


def _with_tail(
    knots: list[tuple[float, float]], most_s: float, mean_s: float, timed: int
) -> list[tuple[float, float]]:
    """Return knots, each a share and a time, with two more beyond the last: see `service_of`."""
    once = 1 / max(timed, 1)
    share, last_s = knots[-1]
    end = (1.0, max(most_s, last_s))
    if 1 - share <= once:
        return [*knots, end]
    before_s = sum((q - p) * (a + b) / 2 for (p, a), (q, b) in pairwise(knots))
    tail_s = 2 * (mean_s - before_s) - (1 - share - once) * last_s - once * most_s
    return [*knots, (1 - once, min(max(tail_s / (1 - share), last_s), end[1])), end]


def throughput_per_s(row: Row, end: str) -> float:
    """Return inferences a second of one device that never waits."""
    told = row.throughput_per_s
    assert told is not None  # rows without one have a problem, and get no fleet
    return {"value": told.value, "best": told.high, "worst": told.low}[end]
