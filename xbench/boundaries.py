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
    found: dict[str, float | None] = {}
    for one in BOUNDARIES:
        try:
            session.at(one)
        except UsageError:
            found[one] = None
            continue
        session.bind(feeds)
        found[one] = median(_some(session, one))
    session.at(boundary)
    session.bind(feeds)
    return found


def _some(session: Session, boundary: str) -> list[int]:
    """Return a few latencies, once the first runs there have settled what they need."""
    timed(session, 2, boundary)
    latencies_ns: list[int] = []
    end_s = perf_counter() + SPLIT_S
    while len(latencies_ns) < SPLIT_RUNS and (not latencies_ns or perf_counter() < end_s):
        latencies_ns += timed(session, 1, boundary)
    return latencies_ns
