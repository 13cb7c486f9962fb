"""What is said of a verification, before anyone draws it: a table, sentences, facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xbench.claims.claim import UNKNOWN, Claim, ClaimsFile, Kind, Source
from xbench.claims.decide import Decision, accepted
from xbench.claims.doubts import Code
from xbench.claims.judge import Judgement
from xbench.claims.verify import Verification
from xbench.report.numbers import fixed, latency_text, ratio_text
from xbench.report.text import clean, listed
from xbench.report.view import ABSENT
from xbench.result import Interval
from xbench.units import format_ns, format_share

HEADER = ("claim", "published", "accepted", "here", "verdict")
_COUNTS = (
    (Decision.HELD, "held", "held"),
    (Decision.FAILED, "failed", "failed"),
    (Decision.UNDETERMINED, "is undetermined", "are undetermined"),
    (Decision.NOT_COMPARABLE, "is not comparable", "are not comparable"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A claim as a line of the table; ``figures`` are published, accepted and measured."""

    id: str
    claim: str
    figures: tuple[str, str, str]
    verdict: str


def lines(found: Verification) -> tuple[Line, ...]:
    """Return the table, in the order of the file."""
    return tuple(
        Line(
            id=clean(one.claim.id),
            claim=clean(statement(one.claim)),
            figures=(_published(one.claim), _accepted(one.claim), _here(one)),
            verdict=one.decision.value,
        )
        for one in found.judgements
    )


def statement(claim: Claim) -> str:
    """Return what is claimed, without its number."""
    names = [str(side) for side in claim.sides]
    if claim.kind is Kind.AGREE:
        text = f"{listed(names)} agree" if len(names) > 1 else f"{names[0]} agrees"
    elif claim.kind is Kind.LATENCY:
        text = f"latency of {names[0]}"
    elif claim.kind is Kind.FASTER:
        text = f"{names[1]} faster than {names[0]}"
    else:
        text = f"speed of {names[1]} over {names[0]}"
    batch = f", batch {claim.batch}" if claim.batch not in (None, 1) else ""
    return f"{text}, {claim.subject.name}{batch}"


def sentences(found: Verification) -> tuple[str, ...]:
    """Return the counts, and what has to be said before anyone believes them."""
    total = len(found.judgements)
    parts = [
        f"{count} {word if count == 1 else words}"
        for decision, word, words in _COUNTS
        if (count := found.count(decision))
    ]
    said = [f"Of {total} claim{'s' if total != 1 else ''}, {listed(parts)} (95% intervals)."]
    rebuilt = {
        one.claim.id: doubt.text
        for one in found.judgements
        for doubt in one.doubts
        if doubt.code is Code.REBUILT and one.decision in (Decision.HELD, Decision.FAILED)
    }
    if rebuilt:
        which = f"{len(rebuilt)} of these verdicts {'are' if len(rebuilt) > 1 else 'is'}"
        said.append(f"{which} of a rebuilt model, not of the one that was published: see Doubts.")
    if found.interrupted:
        said.append("Interrupted. The same command goes on where this one stopped.")
    return tuple(map(clean, said))


def open_ends(found: Verification) -> tuple[tuple[str, str], ...]:
    """Return why claims were not decided or failed without a number, and what would help."""
    told: dict[str, list[str]] = {}
    for one in found.judgements:
        if one.reason:
            fix = f". {clean(one.fix)}" if one.fix else ""
            told.setdefault(f"{clean(one.reason)}{fix}", []).append(clean(one.claim.id))
    return tuple((", ".join(ids), text) for text, ids in told.items())


def shared(found: Verification) -> tuple[tuple[str, str], ...]:
    """Return each doubt once, with the claims that share it; no names where all do."""
    compared = [one for one in found.judgements if one.doubts]
    told: dict[tuple[str, str], list[str]] = {}
    for one in compared:
        for doubt in one.doubts:
            told.setdefault((doubt.code.value, clean(doubt.text)), []).append(one.claim.id)
    codes = list(Code)
    return tuple(
        (code, text if len(ids) == len(compared) else f"{text} ({clean(', '.join(ids))})")
        for (code, text), ids in sorted(told.items(), key=lambda one: codes.index(Code(one[0][0])))
    )


def facts(found: Verification) -> tuple[tuple[str, str], ...]:
    """Return where the claims come from, and what they were verified on."""
    used = {one.claim.source.name: one.claim.source for one in found.judgements}
    told = list(origins(used.values()))
    notes = {one.claim.subject.name: one.claim.subject for one in found.judgements}
    told += [(s.name, f"{s.published}; here {s.run}") for s in notes.values()]
    cpu = found.machine.devices.get("cpu") or "an unnamed processor"
    told.append(("here", f"{cpu}, {found.machine.architecture}"))
    for one in found.comparisons:
        when = "measured before" if one.reused else "measured now"
        told.append(("run", f"{one.document.get('folder')} ({when})"))
    if found.file.note:
        told.append(("note", found.file.note))
    return tuple((clean(label), clean(text)) for label, text in told)


def about(file: ClaimsFile) -> tuple[str, ...]:
    """Return what a file is about, in two lines."""
    backends = dict.fromkeys(side.backend for claim in file.claims for side in claim.sides)
    count = f"{len(file.claims)} claims" if len(file.claims) > 1 else "1 claim"
    return clean(file.title), clean(f"{count}, of {listed(list(backends))}")


def claimed(file: ClaimsFile) -> tuple[tuple[str, str, str], ...]:
    """Return the claims of a file: id, what is claimed, and its number."""
    return tuple(
        (clean(one.id), clean(statement(one)), clean(_published(one))) for one in file.claims
    )


def origins(sources: Iterable[Source]) -> tuple[tuple[str, str], ...]:
    """Return where claims come from."""
    return tuple((clean(k), clean(v)) for source in sources for k, v in _source(source))


def _source(source: Source) -> Iterable[tuple[str, str]]:
    hardware, software = source.hardware, source.software
    date = "of an unknown date" if source.date == UNKNOWN else source.date
    yield source.name, f"{source.title}, {date}, read {source.retrieved}: {source.url}"
    cores = f", {hardware.cores} cores" if hardware.cores else ""
    name = hardware.model or "a processor that is not named"
    yield "", f"on {name}, {hardware.architecture}{cores}"
    if software:
        yield "", f"with {', '.join(f'{name} {version}' for name, version in software.items())}"
    if source.conditions:
        yield "", "; ".join(source.conditions)
    if source.note:
        yield "", source.note


def _published(claim: Claim) -> str:
    if claim.kind is Kind.AGREE:
        most = claim.most_relative
        return f"within {most:g}" if most is not None else "agree"
    if claim.kind is Kind.FASTER and claim.value is None:
        return "faster"
    bound = {Kind.AT_LEAST: "at least ", Kind.AT_MOST: "at most "}.get(claim.kind, "")
    return f"{bound}{_number(claim, claim.value)}"


def _accepted(claim: Claim) -> str:
    within = accepted(claim)
    if claim.kind is Kind.FASTER:
        return f"above 1, no tie ({format_share(claim.tolerance)})"
    if within is None:
        return ABSENT
    if claim.kind is Kind.AT_LEAST:
        return f"from {_number(claim, within.low)}"
    if claim.kind is Kind.AT_MOST:
        return f"up to {_number(claim, within.high)}"
    return f"{_number(claim, within.low)} to {_number(claim, within.high)}"


def _here(one: Judgement) -> str:
    if one.relative is not None:
        return f"off {one.relative:.2g}"
    if one.measured is None:
        return ABSENT
    if one.claim.kind is Kind.LATENCY:
        return _latency(one.measured)
    return ratio_text(one.measured)


def _latency(measured: Interval) -> str:
    bounds = ", ".join(format_ns(bound) for bound in (measured.low, measured.high))
    return f"{latency_text(measured)} [{bounds}]"


def _number(claim: Claim, value: float | None) -> str:
    if value is None:
        return ABSENT
    if claim.kind is Kind.LATENCY:
        return format_ns(value)
    return _ratio(value)


def _ratio(value: float) -> str:
    """Return a published ratio with the three digits that tables have."""
    whole = len(str(int(value))) if value >= 1 else 0
    return fixed(value, max(0, 3 - whole))
