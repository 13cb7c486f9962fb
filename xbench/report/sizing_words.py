"""What is said of a sizing, before anyone draws it: sentences, tables, reasons, assumptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from xbench.load.slo import WORDS
from xbench.procurement.fleet import MEASURED, Fleet
from xbench.report.sizing_figures import (
    devices_text,
    latency_text,
    left_text,
    names_text,
    plural,
    range_text,
    size_text,
    threads_text,
)
from xbench.report.sizing_notes import DISTURBED, cautions
from xbench.report.text import clean, listed, sentence
from xbench.report.view import ABSENT
from xbench.sizing.answer import Caps, Sizing
from xbench.sizing.judge import Answer
from xbench.sizing.rows import Measured
from xbench.sizing.trial import Verdict
from xbench.units import format_bytes, format_s, format_share

HEADER = ("profile", "devices", "p99", "memory", "verdict")
SHORT = {
    Verdict.FITS: ("fits", "modelled"),
    Verdict.MAY_FIT: ("may fit", "modelled"),
    Verdict.MISSES: ("misses", "modelled"),
    Verdict.FITS_CAPPED: ("fits here", "capped"),
    Verdict.MISSES_CAPPED: ("misses here", "capped"),
}
"""What stands in the table: the verdict, and what it rests on. Others are listed with a reason."""

COUNTED = {
    Verdict.FITS: "{} fit{s} by the model",
    Verdict.MAY_FIT: "{} may fit",
    Verdict.FITS_CAPPED: "{} fit{s} as bare caps on this host",
    Verdict.MISSES: "{} miss{es} it by the model",
    Verdict.MISSES_CAPPED: "{} miss{es} it as bare caps on this host",
    Verdict.NO: "{} do{es} not fit",
    Verdict.UNKNOWN: "{} {is} not known",
}
SERVER = "as a server"
MEASURED_HEADER = ("backend", "p50", "p99", "memory", "of limit", "")


@dataclass(frozen=True, slots=True)
class Line:
    """One or more sizes of a device, each cell as it is read; the second line is below."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    verdict: Verdict


def sentences(found: Sizing) -> tuple[str, ...]:
    """Return the answer, and what it must be read with."""
    demand, count = found.demand, Counter(one.verdict for one in found.answers)
    told = [plural(COUNTED[verdict], count[verdict]) for verdict in COUNTED if count[verdict]]
    many = len(found.answers)
    of = f"of {many} profiles {listed(told)}" if many > 1 else listed(told)
    host = clean(found.host or "this machine")
    busy = [code for code, _ in cautions(found) if code in DISTURBED]
    disturbed = (
        f"This host was at work for others meanwhile ({', '.join(busy)}), which is in every latency"
        " below, in the tails above all. Run it again when the host is idle.",
    )
    return (
        f"{demand.rate_per_s:g} a second at {demand.slo}: {of}.",
        "No device was at hand. `modelled` is a range for the device's own cores, scaled from what"
        f" this host ({host}, {found.cpus} CPUs) was measured to do; `capped` tells of this host"
        " alone; `does not fit` is sure.",
        *(disturbed if busy else ()),
    )


def lines(found: Sizing) -> tuple[Line, ...]:
    """Return the table, the best verdict and the fewest devices first.

    Memory sizes of a device of which all else is the same share a line.
    """
    shown = [one for one in found.answers if one.verdict in SHORT and one.trial]
    merged: dict[tuple[object, ...], list[Answer]] = {}
    for one in shown:
        assert one.trial
        key = (
            one.profile.family,
            one.verdict,
            one.trial.measured.name,
            devices_text(one),
            latency_text(one.trial),
        )
        merged.setdefault(key, []).append(one)
    every = sorted(merged.values(), key=lambda same: _order(same[0]))
    return tuple(_line(same) for same in every)


def header(found: Sizing) -> tuple[str, ...]:
    """Return the headers of the table."""
    return tuple(WORDS[found.demand.percentile] if one == "p99" else one for one in HEADER)


def measured_rows(caps: Caps, found: Sizing) -> Iterator[tuple[str, ...]]:
    """Yield what was measured under one number of threads, under `MEASURED_HEADER`."""
    ran = [one for one in caps.rows if one.row.problem is None]
    for one in sorted(ran, key=lambda one: one.median_s or 0.0):
        share = _share(one)
        yield (
            clean(one.name),
            _percentile(one, "p50"),
            _percentile(one, found.demand.percentile),
            format_bytes(one.peak_bytes) if one.peak_bytes else ABSENT,
            format_share(share) if share else ABSENT,
            "alone",
        )
    if caps.served:
        rate = caps.served.row.scenario.rate_per_s
        percentiles = (_percentile(caps.served, one) for one in ("p50", found.demand.percentile))
        name, much = clean(caps.served.name), ", too much" if caps.served.saturated else ""
        yield (name, *percentiles, "", "", f"as a server at {rate:.4g} a second{much}")


def _share(one: Measured) -> float | None:
    """Return how much of this host's limits a backend reached; None where more than all."""
    floor_ns = one.roofline.get("floor_ns")
    share = floor_ns / 1e9 / one.median_s if floor_ns and one.median_s else None
    return share if share and share <= 1 else None


def not_run(caps: Caps) -> Iterator[tuple[str, str]]:
    """Yield the backends that nothing can be sized by, and why."""
    for one in caps.rows:
        if one.row.problem:
            reason, fix = one.row.problem
            yield clean(one.name), f"{sentence(reason)} {sentence(fix)}".strip()


def reasons(found: Sizing, verdict: Verdict) -> Iterator[tuple[str, str]]:
    """Yield the profiles of a verdict that share a reason, and the reason with what helps."""
    shared: dict[str, list[str]] = {}
    for one in found.answers:
        # What stands in the table needs no reason but that of a server: the table shows the others.
        if one.verdict is verdict and (verdict not in SHORT or SERVER in (one.reason or "")):
            why = f"{sentence(one.reason)} {sentence(one.fix)} {_beside(one)}".strip()
            shared.setdefault(" ".join(why.split()), []).append(one.profile.name)
    for why, names in shared.items():
        yield ", ".join(map(clean, names)), why


def _line(same: Sequence[Answer]) -> Line:
    answer, trial = same[0], same[0].trial
    assert trial
    tight = min(same, key=lambda one: one.profile.memory_cap_bytes)
    left = tight.headroom
    short, evidence = SHORT[answer.verdict]
    served = isinstance(trial.here, Fleet) and trial.here.evidence == MEASURED
    if trial.scale is None and served:
        evidence = "capped, server"
    queued = answer.devices or SERVER in (answer.reason or "")
    alone = "alone" if trial.latency_s and not queued else ""
    used = tight.trial.memory.used if tight.trial else None
    cap = size_text(tight.profile.memory_cap_bytes)
    memory = f"{size_text(used) if used else '?'} of {'' if len(same) == 1 else '≥'}{cap} MiB"
    threads = threads_text(answer.profile.threads)
    if trial.scale is None and trial.measured.threads < answer.profile.threads:
        threads = f"{trial.measured.threads} of {threads}"
    return Line(
        first=(
            names_text([one.profile.name for one in same], answer.profile.family),
            devices_text(answer),
            latency_text(trial),
            memory,
            short,
        ),
        second=(
            f"{clean(trial.measured.name)}, {threads}",
            left_text(left.load),
            left_text(left.latency) or alone,
            left_text(left.memory),
            evidence,
        ),
        verdict=answer.verdict,
    )


def _order(answer: Answer) -> tuple[int, float, float, str]:
    many = float("inf")
    return (
        list(Verdict).index(answer.verdict),
        answer.devices or many,
        answer.devices_least or many,
        answer.profile.name,
    )


def _beside(answer: Answer) -> str:
    """Return what a device's accelerators could do at best, where its cores are ruled out."""
    if answer.verdict is not Verdict.NO or answer.floor_s is None:
        return ""
    told = [(name, floor_s) for name, floor_s in answer.accelerators if floor_s is not None]
    if not told or (answer.trial is None and "cores" not in (answer.reason or "")):
        return ""
    each = listed([f"{clean(name)} {format_s(floor_s)}" for name, floor_s in told])
    return f"Not sized, and computed at the least: {each}."


def _percentile(one: Measured, name: str) -> str:
    found = one.row.latency_s.get(name)
    if found is None:
        return ABSENT if one.saturated else "too few"
    return range_text(found.low, found.high, 3)


def shared(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return texts each once, with all the names that they are said of."""
    found: dict[str, list[str]] = {}
    for name, text in pairs:
        found.setdefault(text, []).append(name)
    return tuple((", ".join(dict.fromkeys(names)), text) for text, names in found.items())
