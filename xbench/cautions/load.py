"""Doubts about rows under load: requests sent late, and speed that did not last."""

from __future__ import annotations

from xbench.cautions.evidence import RowEvidence, Words
from xbench.load.scenario import Kind
from xbench.units import format_ns, format_s

LATE_NS = 100_000  # at p99: beyond it latency holds what the harness added


def late(row: RowEvidence) -> Words:
    """Return the doubt about a server whose requests were not sent when they were due."""
    told = (row.load or {}).get("lateness_ns")
    if not told or told["p99"] <= LATE_NS:
        return None
    text = f"a request that finds a stream free starts up to {format_ns(told['p99'])} late (p99)"
    return text, "Close other programs: latency counts from when a request was due"


def not_sustained(row: RowEvidence) -> Words:
    """Return the doubt about a row whose speed has changed within the time it was sustained."""
    told = row.load or {}
    if row.cell.load.kind is not Kind.SUSTAINED or told.get("verdict") not in {"slower", "faster"}:
        return None
    at_s, speed = told["changed_at_s"], told["speed"]["value"]
    how = f"at once, after {format_s(at_s)}" if at_s is not None else "by and by"
    text = f"at the end its speed was {speed:.2f} times that of the start; it changed {how}"
    return text, "Judge it by its speed at the end; look at clocks and temperature"


def unfinished_curve(row: RowEvidence) -> Words:
    """Return the doubt about a sustained row that tells no start from an end."""
    why = (row.load or {}).get("missing")
    return (f"its speed over time cannot be told: {why}", "Sustain it longer") if why else None
