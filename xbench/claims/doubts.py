"""What a verdict leaves open: a closed list of doubts about a comparable claim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from xbench.claims.claim import REBUILT, UNKNOWN, Claim
from xbench.claims.evidence import Document, Row
from xbench.claims.machine import Machine
from xbench.claims.settings import device_of


class Code(StrEnum):
    """What is doubtful."""

    REBUILT = "rebuilt"
    HARDWARE = "other-hardware"
    SOFTWARE = "other-versions"
    PRECISION = "precision-unread"
    CAUTIONS = "cautions"


@dataclass(frozen=True, slots=True)
class Doubt:
    """A code from the closed list, and what it means here."""

    code: Code
    text: str


def doubts_of(
    claim: Claim, document: Document, rows: tuple[Row, ...], machine: Machine
) -> tuple[Doubt, ...]:
    """Return what is doubtful about a claim that was compared."""
    return (
        *_rebuilt(claim, document),
        *_hardware(claim, rows, machine),
        *_software(claim, machine),
        *_precision(claim, rows),
        *_cautions(document, rows),
    )


def _rebuilt(claim: Claim, document: Document) -> Iterator[Doubt]:
    if claim.subject.rebuilt:
        what = ", ".join(REBUILT[one] for one in claim.subject.rebuilt)
        name = document["model"].get("name")
        yield Doubt(Code.REBUILT, f"run on {name}, published for {claim.subject.published}: {what}")


def _hardware(claim: Claim, rows: tuple[Row, ...], machine: Machine) -> Iterator[Doubt]:
    hardware, own = claim.source.hardware, machine.devices.get(device_of(claim))
    there = hardware.model or "a processor that the source does not name"
    here = own or "a processor that does not tell its name"
    same = hardware.model is not None and own is not None and hardware.model.lower() in own.lower()
    threads = (rows[0].get("threads") or {}).get("requested")
    if same and hardware.cores in (None, machine.cores):
        return
    cores = f" with {hardware.cores} cores" if hardware.cores else ""
    used = f" with {threads} threads" if threads else ""
    yield Doubt(Code.HARDWARE, f"published on {there}{cores}; run on {here}{used}")


def _software(claim: Claim, machine: Machine) -> Iterator[Doubt]:
    """Yield the versions that differ, of those that both tell."""
    told = claim.source.software
    differ = [
        f"{name} {told[name]} then, {machine.versions[name]} here"
        for name in told
        if name in machine.versions and told[name] not in (machine.versions[name], UNKNOWN)
    ]
    if differ:
        yield Doubt(Code.SOFTWARE, "; ".join(differ))
    if not told:
        yield Doubt(Code.SOFTWARE, "the source tells no versions")


def _precision(claim: Claim, rows: tuple[Row, ...]) -> Iterator[Doubt]:
    unread = [
        str(side)
        for side, row in zip(claim.sides, rows, strict=True)
        if row["precision"].get("effective") is None
    ]
    if unread:
        yield Doubt(Code.PRECISION, f"{', '.join(unread)}: it does not tell what it computed in")


def _cautions(document: Document, rows: tuple[Row, ...]) -> Iterator[Doubt]:
    every = [*(document.get("cautions") or ()), *(c for r in rows for c in r.get("cautions") or ())]
    if codes := dict.fromkeys(str(one["code"]) for one in every):
        yield Doubt(Code.CAUTIONS, f"the run has its own: {', '.join(codes)}")
