"""The `claims` part of a file: each entry to a `Claim`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import TypeVar

from xbench.claims.claim import OF_A_PAIR, Claim, Kind, Side, Source, Subject
from xbench.claims.tree import Field, Table
from xbench.plan import PRECISIONS

T = TypeVar("T")

AS_GOOD_AS_EQUAL = 0.02
"""What an order calls a tie where nothing else is said: what `xbench compare` does by default."""

MOST_ROUNDING = 0.01  # by which a ratio may differ from that of the figures beside it
_SHARED = ("source", "model", "batch", "threads", "precision", "tolerance")
_OF_KIND: Mapping[Kind, tuple[str, ...]] = {
    **dict.fromkeys(OF_A_PAIR, ("baseline", "candidate", "figures", "ratio")),
    Kind.AGREE: ("rows", "most_relative", "figures"),
    Kind.LATENCY: ("row", "figures"),
}
_UNITS_NS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}
_RATES = ("/s", "per s", "fps", "FPS")
_FIGURE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ns|us|µs|ms|s|/s|per s|fps|FPS)")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True)
class Named:
    """What claims refer to by name."""

    sources: Mapping[str, Source]
    models: Mapping[str, Subject]


def claims_of(top: Table, named: Named) -> tuple[Claim, ...]:
    """Return the claims of a file, in its order.

    Raises:
        UsageError: With the line and the field of the first that is wrong.
    """
    default = top.get("defaults")
    defaults = dict(default.table(_SHARED)) if default else {}
    entries = top.need("claims", "a list of claims").items()
    if not entries:
        raise top.need("claims", "").error("has no entry", "Write a claim after a dash")
    found: dict[str, Claim] = {}
    for entry in entries:
        claim = _Entry(entry, defaults, named).claim()
        if claim.id in found:
            first = found[claim.id].line
            raise entry.error(f"has the id of the claim in line {first}", "Give it another")
        found[claim.id] = claim
    return tuple(found.values())


class _Entry:
    """One claim while it is read."""

    def __init__(self, entry: Field, defaults: Mapping[str, Field], named: Named) -> None:
        table = entry.table()
        self._kind = Kind(table.need("kind", "ratio").choice([kind.value for kind in Kind]))
        self._table = entry.table(("id", "kind", "note", *_SHARED, *_OF_KIND[self._kind]))
        self._defaults = defaults
        self._named = named

    def claim(self) -> Claim:
        table, kind = self._table, self._kind
        batch, threads = self._shared("batch"), self._shared("threads")
        relative = table.get("most_relative")
        return Claim(
            id=self._id(),
            kind=kind,
            source=self._known("source", self._named.sources),
            subject=self._known("model", self._named.models),
            sides=self._sides(),
            value=self._value(),
            tolerance=self._tolerance(),
            most_relative=relative.number() if relative else None,
            figures={name: figure.text() for name, figure in self._figures()},
            batch=batch.count() if batch else None,
            threads=threads.count() if threads else None,
            note=table.text("note"),
            line=table.field.line,
        )

    def _shared(self, key: str) -> Field | None:
        """Return a field that may stand in ``defaults`` as well."""
        return self._table.get(key) or self._defaults.get(key)

    def _id(self) -> str:
        field = self._table.need("id", "onnx-over-pytorch")
        if not _ID.fullmatch(field.text()):
            fix = "Use up to 40 letters, digits, points, hyphens and underscores"
            raise field.wrong("an id", fix)
        return field.text()

    def _known(self, key: str, known: Mapping[str, T]) -> T:
        """Return what a field names; where there is but one thing, it need not be named."""
        field = self._shared(key)
        if field is None and len(known) == 1:
            return next(iter(known.values()))
        if field is None:
            field = self._table.need(key, next(iter(known)))
        return known[field.choice(tuple(known))]

    def _sides(self) -> tuple[Side, ...]:
        table = self._table
        if self._kind is Kind.LATENCY:
            return (self._side(table.need("row", "openvino")),)
        if self._kind is Kind.AGREE:
            rows = table.need("rows", "[onnxruntime, openvino]").items()
            if not rows:
                raise table.need("rows", "").error("names none", "Name a backend")
            return tuple(map(self._side, rows))
        baseline = self._side(table.need("baseline", "pytorch"))
        candidate = self._side(table.need("candidate", "onnxruntime"))
        if baseline == candidate:
            fix = "Name another row for one of the two"
            raise table.field.error("compares a row with itself", fix)
        return baseline, candidate

    def _side(self, field: Field) -> Side:
        """Return a row: a backend, or a mapping with its precision."""
        shared = self._shared("precision")
        precision = shared.choice(PRECISIONS) if shared else "fp32"
        if not field.is_table:
            return Side(_backend(field), precision)
        table = field.table(("backend", "precision"))
        own = table.get("precision")
        backend = _backend(table.need("backend", "openvino"))
        return Side(backend, own.choice(PRECISIONS) if own else precision)

    def _figures(self) -> Table | tuple[()]:
        field = self._table.get("figures")
        names = {Kind.LATENCY: ("row",), Kind.AGREE: None}
        return field.table(names.get(self._kind, ("baseline", "candidate"))) if field else ()

    def _value(self) -> float | None:
        """Return the ratio or the latency, from the figures or as it is written."""
        if self._kind is Kind.AGREE:
            return None
        if self._kind is Kind.LATENCY:
            row = self._table.need("figures", "{row: 31.8 ms}").table(("row",))
            return _latency_ns(row.need("row", "31.8 ms"))
        written = self._table.get("ratio")
        told = _ratio(self._figures())
        if written is None and told is None and self._kind is not Kind.FASTER:
            fix = "Write figures: {baseline: 127.6 ms, candidate: 69.3 ms}, or ratio: 1.84"
            raise self._table.field.error("has neither figures nor a ratio", fix)
        if written and told and abs(log(written.number() / told)) > MOST_ROUNDING:
            fix = "Correct one; it is baseline latency over candidate latency"
            raise written.wrong(f"the {told:.4g} of its figures", fix)
        return written.number() if written else told

    def _tolerance(self) -> float:
        field = self._shared("tolerance")
        if self._kind is Kind.FASTER:  # a tie is no matter of what other claims may miss
            field = self._table.get("tolerance")
        if field is None and self._kind in (Kind.FASTER, Kind.AGREE):
            return AS_GOOD_AS_EQUAL
        if field is None:
            field = self._table.need("tolerance", "25%")
        return field.share()


def _backend(field: Field) -> str:
    backend = field.text()
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*(:[\w.+-]+)?", backend) or backend in ("all", "all+"):
        raise field.wrong("a backend", "Write one as in `xbench backends`, such as openvino")
    return backend


def _ratio(figures: Table | tuple[()]) -> float | None:
    """Return baseline latency over candidate latency, from two latencies or two rates."""
    if not figures:
        return None
    baseline, candidate = (figures.need(name, "69.3 ms") for name in ("baseline", "candidate"))
    numbers, rates = zip(*map(_figure, (baseline, candidate)), strict=True)
    if rates[0] != rates[1]:
        raise candidate.wrong("of the unit of the baseline", "Write both as latencies or as rates")
    return float(numbers[1] / numbers[0] if rates[0] else numbers[0] / numbers[1])


def _latency_ns(field: Field) -> float:
    number, rate = _figure(field)
    if rate:
        raise field.wrong("a latency", "Write one, such as 31.8 ms")
    return number


def _figure(field: Field) -> tuple[float, bool]:
    """Return a latency in nanoseconds, or a rate per second, and whether it is a rate."""
    found = _FIGURE.fullmatch(field.text())
    if not found or not float(found[1]):
        raise field.wrong("a figure with its unit", "Write one, such as 69.34 ms or 14.4 /s")
    rate = found[2] in _RATES
    return float(found[1]) * (1.0 if rate else _UNITS_NS[found[2]]), rate
