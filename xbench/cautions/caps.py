"""Doubts about whether a row had only what it was given: `xbench.caps` proves it."""

from __future__ import annotations

from xbench.caps import prove
from xbench.cautions.evidence import RowEvidence, Words


def threads_over_cap(row: RowEvidence) -> Words:
    """Return that it used more threads or CPU time than it was given."""
    found = prove(row.cell.limits, row.launched, row.epochs).time
    return (found, "Do not compare it with rows that held the cap") if found else None


def affinity_not_held(row: RowEvidence) -> Words:
    """Return that it could run on CPUs that it was not given."""
    found = prove(row.cell.limits, row.launched, row.epochs).place
    return (found, "Do not compare it with rows that stayed on their CPUs") if found else None


def cap_not_held(row: RowEvidence) -> Words:
    """Return that its cap on memory, or its quota of CPU time, was not in force or was passed."""
    found = prove(row.cell.limits, row.launched, row.epochs).other
    return ("; ".join(found), "Do not take it for a device of that size") if found else None


def memory_cap_coarse(row: RowEvidence) -> Words:
    """Return that its memory was capped by address space, which is more than what is held."""
    by = [one.caps["by"].get("memory", "") for one in row.launched if one.caps]
    if not any(one.startswith("RLIMIT_AS") for one in by):
        return None
    text = "its memory was capped by address space, of which programs reserve more than they hold"
    return text, "Run where a control group can be written; docs/caps.md says how"
