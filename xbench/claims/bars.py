"""Why a claim cannot be compared with what this machine can measure, or measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from xbench.claims.claim import REBUILT, Claim, Kind
from xbench.claims.evidence import Row
from xbench.claims.machine import Machine
from xbench.claims.settings import device_of
from xbench.errors import UnknownNameError
from xbench.registry import expand

_VACUOUS = {
    "degenerate": "the model's outputs carry no information, so agreement means nothing",
    "not_checked": "its outputs were not compared",
}
_MATTERS: Mapping[Kind, tuple[str, ...]] = {
    Kind.AGREE: ("architecture", "weights"),
    Kind.LATENCY: ("architecture", "input"),
}
"""What must not be rebuilt for a claim to be comparable; a speed ratio carries a doubt."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Why something is not comparable, and what would help."""

    reason: str
    fix: str = ""


def before(claim: Claim, machine: Machine) -> Bar | None:
    """Return why a claim cannot be compared here, whatever is measured; None if it may be."""
    return (
        _other_hardware(claim, machine)
        or _other_model(claim)
        or _other_processor(claim, machine)
        or _no_such_backend(claim)
    )


def _other_hardware(claim: Claim, machine: Machine) -> Bar | None:
    hardware = claim.source.hardware
    if hardware.architecture != machine.architecture:
        what = f"published for {hardware.architecture}, and this machine is {machine.architecture}"
        return Bar(f"other hardware: {what}", "Verify it on a machine of that kind")
    if device_of(claim) not in machine.devices:
        return Bar(f"no device {device_of(claim)} here", "`xbench devices` says which there are")
    return None


def _other_model(claim: Claim) -> Bar | None:
    differs = [one for one in claim.subject.rebuilt if one in _MATTERS.get(claim.kind, ())]
    if not differs:
        return None
    what = "agreement of outputs" if claim.kind is Kind.AGREE else "a latency by itself"
    reason = f"the model was rebuilt with {REBUILT[differs[0]]}, and {what} depends on it"
    return Bar(reason, "Name the published file itself in the claims")


def _other_processor(claim: Claim, machine: Machine) -> Bar | None:
    """Return why a latency by itself says nothing here: it belongs to one processor."""
    if claim.kind is not Kind.LATENCY:
        return None
    named, own = claim.source.hardware.model, machine.devices.get(device_of(claim))
    if named is None:
        return Bar("a latency by itself, and the source names no processor")
    if own is None or not fnmatchcase(own.lower(), f"*{named.lower()}*"):
        reason = f"a latency by itself, of {named}; this machine has {own or 'an unknown one'}"
        return Bar(f"other hardware: {reason}", "Verify it on such a machine")
    return None


def _no_such_backend(claim: Claim) -> Bar | None:
    try:
        expand([side.backend for side in claim.sides])
    except UnknownNameError as error:
        return Bar(error.reason, error.fix)
    return None


def after(claim: Claim, rows: tuple[Row | None, ...]) -> Bar | None:
    """Return why what was measured does not decide a claim; None if it may.

    Args:
        claim: The claim.
        rows: The row of each of its sides; None where the run has none.
    """
    for side, row in zip(claim.sides, rows, strict=True):
        if row is None:
            return Bar(f"the run has no row of {side}")
        if bar := _row(claim, str(side), side.precision, row):
            return bar
    return None


def _row(claim: Claim, name: str, precision: str, row: Row) -> Bar | None:
    usable = ("ok", "parity_failed") if claim.kind is Kind.AGREE else ("ok",)
    if row["status"] not in usable:
        status = str(row["status"]).replace("_", " ")
        return Bar(f"{name}: {status}: {_first(row['reason'])}", row.get("fix") or "")
    effective = (row.get("precision") or {}).get("effective")
    if effective is not None and effective != precision:
        return Bar(f"other precision: {name} computed in {effective}, and {precision} is claimed")
    if claim.kind is Kind.AGREE:
        return _agreement(claim, name, row.get("parity") or {})
    broken = (row.get("caps") or {}).get("broken")
    return Bar(f"{name}: its caps did not hold: {_first(broken[0])}") if broken else None


def _agreement(claim: Claim, name: str, parity: Mapping[str, Any]) -> Bar | None:
    status = parity.get("status")
    if status in ("agrees", "disagrees"):
        unknown = parity.get("max_rel") is None and status == "agrees"
        by_number = claim.most_relative is not None
        return Bar(f"{name}: how far it differs is not known") if by_number and unknown else None
    why = parity.get("reason") or _VACUOUS.get(str(status), "its agreement is not known")
    return Bar(f"{name}: {_first(why)}")


def _first(text: object) -> str:
    return str(text or "no reason was told").rstrip(".")
