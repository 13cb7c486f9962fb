"""From a claim and the run that was made for it to a judgement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xbench.claims.bars import Bar, after
from xbench.claims.claim import Claim, Kind
from xbench.claims.decide import Decision, accepted, decide, decide_order, more_seconds
from xbench.claims.doubts import Doubt, doubts_of
from xbench.claims.evidence import (
    Document,
    Row,
    cut_short,
    launches,
    mean_latency_ns,
    ratio_of,
    rows_of,
    spent_s,
)
from xbench.claims.machine import Machine
from xbench.pairs import FEWEST_TO_FORESEE
from xbench.result import Interval
from xbench.units import format_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is said of a claim.

    Attributes:
        measured: The ratio or, of a latency, nanoseconds; with its 95 % interval.
        relative: Of an agreement: the largest relative difference of an output of its rows.
        doubts: What the verdict leaves open.
        folder: The run folder that it rests on, or None.
    """

    claim: Claim
    decision: Decision
    reason: str = ""
    fix: str = ""
    measured: Interval | None = None
    relative: float | None = None
    doubts: tuple[Doubt, ...] = ()
    folder: str | None = None


def barred(claim: Claim, bar: Bar, folder: str | None = None) -> Judgement:
    """Return the judgement of a claim that cannot be compared."""
    return Judgement(
        claim=claim,
        decision=Decision.NOT_COMPARABLE,
        reason=bar.reason,
        fix=bar.fix,
        folder=folder,
    )


def judge(claim: Claim, document: Document, machine: Machine) -> Judgement:
    """Return what a run says of a claim.

    Args:
        claim: One that `xbench.claims.bars.before` found comparable.
        document: Of the run that was made for it, as `--json` writes it.
        machine: This one.
    """
    found = rows_of(document, claim)
    folder = document.get("folder")
    if bar := after(claim, found):
        return barred(claim, bar, folder)
    rows = tuple(row for row in found if row is not None)
    doubts = doubts_of(claim, document, rows, machine)
    if claim.kind is Kind.AGREE:
        return _agreement(claim, rows, doubts, folder)
    return _speed(claim, document, rows, doubts)


def _agreement(
    claim: Claim, rows: Sequence[Row], doubts: tuple[Doubt, ...], folder: str | None
) -> Judgement:
    differences = [row["parity"].get("max_rel") for row in rows]
    known = [one for one in differences if one is not None]
    worst = max(known) if known else None
    wrong = [row["backend"] for row in rows if not _agrees(claim, row)]
    reason = f"the outputs of {', '.join(wrong)} differ" if wrong else ""
    return Judgement(
        claim=claim,
        decision=Decision.FAILED if wrong else Decision.HELD,
        reason=reason,
        relative=worst,
        doubts=doubts,
        folder=folder,
    )


def _agrees(claim: Claim, row: Row) -> bool:
    parity = row["parity"]
    relative, by_size = parity.get("max_rel"), not parity.get("structural")
    if claim.most_relative is not None and relative is not None and by_size:
        return bool(relative <= claim.most_relative)
    return bool(parity["status"] == "agrees")


def _speed(
    claim: Claim, document: Document, rows: Sequence[Row], doubts: tuple[Doubt, ...]
) -> Judgement:
    if claim.kind is Kind.LATENCY:
        measured = mean_latency_ns(rows[0])
    else:
        measured = ratio_of(document, rows[0], rows[1])
    within = accepted(claim)
    decision = decide(measured, within) if within else decide_order(measured, claim.tolerance)
    reason, fix = "", ""
    if cut := cut_short(document, rows):
        decision, reason, fix = Decision.UNDETERMINED, cut, _longer(document)
    elif decision is Decision.UNDETERMINED:
        reason, fix = _open(claim, measured, document, rows)
    return Judgement(
        claim=claim,
        decision=decision,
        reason=reason,
        fix=fix,
        measured=measured,
        doubts=doubts,
        folder=document.get("folder"),
    )


def _open(
    claim: Claim, measured: Interval | None, document: Document, rows: Sequence[Row]
) -> tuple[str, str]:
    """Return why a claim is undetermined, and what would decide it."""
    longer = _longer(document)
    if measured is None:
        return "too few rounds were measured to tell an interval", longer
    reason = "its interval holds 1 and is too wide for a tie"
    if accepted(claim):
        reason = "its interval reaches over a bound of what is accepted"
    measured_s = spent_s(document)
    if document["spec"].get("quick") or not measured_s or launches(rows) < FEWEST_TO_FORESEE:
        return reason, longer
    needed_s = more_seconds(claim, measured, measured_s)
    if needed_s is None:
        return reason, "An hour more would not decide it: it lies too close to the bound"
    total_s = float(f"{measured_s + needed_s:.2g}")
    return reason, f"A --time-budget of about {format_s(total_s)} would decide it"


def _longer(document: Document) -> str:
    return (
        "Leave out --quick" if document["spec"].get("quick") else "Give it a longer --time-budget"
    )
