"""Where a timed run begins and ends: at the host's arrays, on the device, or at its own events.

Runs in the worker. A session on an accelerator may know all three (`xbench.adapter.Resident`); what
every other session takes and gives are the host's arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from time import perf_counter

from xbench.adapter import BOUNDARIES, Array, Resident, Session
from xbench.errors import UsageError
from xbench.measure import Runs, measure, measure_events

SPLIT_RUNS = 30
SPLIT_S = 0.3  # at each boundary, for models of which so many take longer
SPLIT_TURNS = 5  # at each: a disturbance, or a clock that rises, then strikes all of them


def enter(session: Session, boundary: str) -> None:
    """Have the next runs of ``session`` begin and end at ``boundary``; bind inputs after it.

    Raises:
        UsageError: If the session cannot.
    """
    if isinstance(session, Resident):
        session.at(boundary)
    elif boundary != "host":
        reason = f"it takes and gives the host's arrays, and knows no boundary {boundary!r}"
        raise UsageError(reason, "Use --boundary host, or another backend")


def timed(session: Runs, iterations: int, boundary: str) -> list[int]:
    """Return the latency of each timed inference at ``boundary``, in nanoseconds, oldest first."""
    if boundary == "compute":
        assert isinstance(session, Resident)  # `enter` made sure
        return measure_events(session, session.device_ns, iterations)
    return measure(session, iterations)


def split(
    session: Session, feeds: Mapping[str, Array], boundary: str
) -> dict[str, float | None] | None:
    """Return the median latency at each boundary, in nanoseconds; None for one it cannot have.

    None instead of all for a session that has the host's only. It is left at ``boundary``, bound.
    """
    if not isinstance(session, Resident):
        return None
    found: dict[str, list[int]] = {one: [] for one in BOUNDARIES}
    refused: set[str] = set()
    for _ in range(SPLIT_TURNS):
        for one in BOUNDARIES:
            if one in refused:
                continue
            try:
                session.at(one)
            except UsageError:
                refused.add(one)
                continue
            session.bind(feeds)
            found[one] += _some(session, one)
    session.at(boundary)
    session.bind(feeds)
    return {one: median(times_ns) if times_ns else None for one, times_ns in found.items()}


def _some(session: Session, boundary: str) -> list[int]:
    """Return a few latencies, once the first runs there have settled what they need."""
    timed(session, 2, boundary)
    latencies_ns: list[int] = []
    end_s = perf_counter() + SPLIT_S / SPLIT_TURNS
    most = SPLIT_RUNS // SPLIT_TURNS
    while len(latencies_ns) < most and (not latencies_ns or perf_counter() < end_s):
        latencies_ns += timed(session, 1, boundary)
    return latencies_ns
