"""Under which conditions a run was measured, in a few labelled lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from xbench.adapter import AS_GIVEN
from xbench.report.energy import energy_missing
from xbench.report.load import load_condition
from xbench.report.roofline import roofline_conditions
from xbench.report.text import clean
from xbench.report.view import groups
from xbench.units import format_ns, format_s, format_share

if TYPE_CHECKING:
    from xbench.result import CellResult, Run

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BOUNDARIES = {
    "host": "NumPy in, NumPy out",
    "device": "inputs and outputs on the device",
    "compute": "device events",
}


def conditions(run: Run) -> tuple[tuple[str, str], ...]:
    """Return label and text of each condition; what is not known is left out."""
    ran = [cell for cell in run.results if cell.latency_ns]
    lines = (
        ("model", _model(run.model)),
        ("machine", _machine(run.host, ran)),
        ("profile", _profile(run)),
        ("floor", _floor(run)),
        ("form", _form(ran)),
        ("precision", _precision(ran)),
        ("scenario", load_condition(run)),
        ("measured", _measured(ran)),
        ("rounds", _rounds(run)),
        ("disturbed", _disturbed(run)),
        ("limits", roofline_conditions(run)),
        ("energy", energy_missing(run)),
    )
    return tuple((label, text) for label, text in lines if text)


def _model(model: Mapping[str, Any]) -> str:
    sha256 = clean(model.get("sha256") or "")
    parts = [
        clean(model.get("name") or ""),
        f"opset {model['opset']}" if model.get("opset") else "",
        _counted(model.get("parameters"), " parameters"),
        _counted(model.get("flops"), "FLOP an inference"),
        f"sha256 {sha256[:12]}" if sha256 else "",
    ]
    return ", ".join(part for part in parts if part)


def _counted(count: float | None, of: str) -> str:
    """Return a count with three digits and a prefix, such as ``3.5 M parameters``."""
    if count is None:
        return ""
    size, prefix = next((one for one in _PREFIXES if count >= one[0]), (1.0, ""))
    return f"{count / size:.3g} {prefix}{of if prefix else of.lstrip()}"


def _machine(host: Mapping[str, Any], ran: list[CellResult]) -> str:
    """Return the devices that ran something by their makers' names, and the threads."""
    used = {cell.device for cell in ran} or {"cpu"}
    threads = sorted({n for cell in ran if (n := cell.threads.get("requested")) is not None})
    parts = [
        *(
            f"{device['name']} {device['model'] or '(model unknown)'}"
            for device in host.get("devices") or ()
            if device["name"] in used
        ),
        host.get("virtualisation") or "",
        f"{_range(threads)} {'thread' if threads == [1] else 'threads'}" if threads else "",
    ]
    return ", ".join(clean(part) for part in parts if part)


def _profile(run: Run) -> str:
    """Return what was imitated: by caps on this host, which do not make it that device."""
    capped = [cell.caps for cell in run.results if cell.caps and cell.caps["profile"]]
    words = _unique(caps["words"] for caps in capped)
    if not capped:
        return ""
    return clean(f"{capped[0]['profile']}: {', '.join(words)}; no latency of the device itself")


def _floor(run: Run) -> str:
    """Return the least time of the device that is imitated, by precision: computed, not measured.

    Rows of one precision and batch size have one floor; nothing where its profile tells too little.
    """
    found: dict[str, str] = {}
    several = len({cell.batch for cell in run.results}) > 1
    for cell in run.results:
        told = (cell.caps or {}).get("floor")
        if told and told["latency_ns"] is not None:
            batch = f", batch {cell.batch or 'of its own'}" if several else ""
            what = f"{told['precision']}{batch}"
            found[what] = f"at least {format_ns(told['latency_ns'])} ({what})"
            device = f"{told['device']}, by its peak figures ({told['confidence']})"
    if not found:
        return ""
    return clean(f"computed, not measured: {device}: {', '.join(found.values())}")


def _form(ran: Iterable[CellResult]) -> str:
    """Return who ran the model in the form that it was given in, where that is not ONNX."""
    own: dict[bool, list[str]] = {True: [], False: []}
    for cell in ran:
        own[(cell.importer or "").startswith(AS_GIVEN)].append(clean(cell.name))
    if not own[True]:
        return ""
    as_given = f"{', '.join(_unique(own[True]))} ran it as it was given"
    rest = ", ".join(_unique(own[False]))
    return f"{as_given}; {rest} its ONNX export" if rest else as_given


def _precision(ran: Iterable[CellResult]) -> str:
    """Return the precision asked for, and each row's own where it is another or unknown."""
    ran = list(ran)
    if not ran:
        return ""
    asked = [f"{cell.precision.get('requested')}" for cell in ran]
    told = [cell.precision.get("effective") or "not told by the runtime" for cell in ran]
    requested = ", ".join(sorted(set(asked)))
    if asked == told and len(set(asked)) == 1:
        return f"{requested} asked for and held by every row"
    effective: dict[str, list[str]] = {}
    for cell, own in zip(ran, told, strict=True):
        effective.setdefault(own, []).append(clean(cell.name))
    by_row = "; ".join(f"{own} ({', '.join(_unique(names))})" for own, names in effective.items())
    if asked == told:
        return clean(f"held by every row: {by_row}")
    return clean(f"{requested} asked for; effective: {by_row}")


def _measured(ran: list[CellResult]) -> str:
    if not ran:
        return ""
    inferences = [cell.latency_ns.n for cell in ran if cell.latency_ns]
    boundary = ran[0].boundary
    overheads = [cell.overhead_ns for cell in ran if cell.overhead_ns is not None]
    parts = [
        f"{_range(inferences)} timed inferences a row",
        f"boundary {clean(boundary)} ({_BOUNDARIES.get(boundary, clean(ran[0].scenario))})",
        f"harness adds {max(overheads):.0f} ns" if overheads else "",
    ]
    return ", ".join(part for part in parts if part)


def _rounds(run: Run) -> str:
    ran = [cell for cell in run.results if cell.latency_ns]
    if not ran:
        return ""
    launches, rounds = [cell.launches for cell in ran], [cell.rounds for cell in ran]
    quiet = [one.quiet_share for one in run.comparisons if one.quiet_share is not None]
    total_s = run.timing.get("total_s")
    parts = [
        f"{_range(rounds)} in {_range(launches)} {_launches(launches)} a row",
        f"{format_share(min(quiet))} quiet" if quiet else "",
        f"seed {run.spec['seed']}" if run.spec.get("seed") is not None else "",
        f"{format_s(total_s)} in all" if total_s else "",
    ]
    return ", ".join(part for part in parts if part)


def _launches(numbers: list[int]) -> str:
    return "launch" if max(numbers) == 1 else "launches"


def _disturbed(run: Run) -> str:
    """Return the ratios of the rounds that the verdict leaves out, where there are such."""
    ratios = [
        f"{clean(one.candidate)} {f'({group.title}) ' if group.title else ''}{shown:.2f}"
        for group in groups(run)
        for one in group.comparisons
        if (shown := one.disturbed_ratio) is not None
    ]
    return f"ratio in the rounds that were not quiet: {', '.join(ratios)}" if ratios else ""


def _range(numbers: Iterable[int]) -> str:
    ordered = sorted(numbers)
    low, high = ordered[0], ordered[-1]
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
