"""An inspection as text for a terminal: readable at 80 columns, and without colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xbench import costs
from xbench.costs import NodeCost, intensity, total
from xbench.inspection import Inspection, Stored, Tensor, spelled, unknown_nodes
from xbench.report.terminal import drawn
from xbench.report.text import clean, listed, sentence, shorten
from xbench.result import Status
from xbench.units import format_bytes

if TYPE_CHECKING:
    from xbench.acceptance import Answer, RefusedNode

UNKNOWN = "?"
_LONGEST_NAME = 60
_NAMED_NODES = 5
_MOST_TENSORS = 24  # a decoder's cache alone may be fifty inputs
_PREFIXES = ("", "k", "M", "G", "T", "P")
_HOW = {"loaded": "loads it", "checked": "has every operator that it needs"}
_NOT_RUN = "Nothing was run: whether outputs are right, and how fast, tells `xbench compare`."


def render(found: Inspection, *, width: int = 80, colour: bool = False) -> str:
    """Return all that is worth reading, no line wider than ``width`` columns."""
    return drawn(_report(found), width=width, colour=colour)


def count_text(count: int | None) -> str:
    """Return a count with three digits and a prefix, such as ``602 M``; ``?`` if not known."""
    if count is None:
        return UNKNOWN
    value, place = float(count), 0
    while value >= 999.5 and place < len(_PREFIXES) - 1:
        value, place = value / 1000, place + 1
    return f"{count}" if not place else f"{_three(value)} {_PREFIXES[place]}"


def _report(found: Inspection) -> RenderableType:
    parts: list[RenderableType] = [Text(), _facts(found), Text(), _tensors(found), Text()]
    parts += [_operators(found), Text(), *_notes(found)]
    if found.backends:
        parts += [Text(), Text("Backends", "bold"), Text(), _answers(found.backends)]
        parts += [Padding(Text(_NOT_RUN, "dim"), (1, 0, 0, 0))]
    return Group(*parts)


def _facts(found: Inspection) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in _lines(found):
        if text:
            table.add_row(label, Text(clean(text)))
    return table


def _lines(found: Inspection) -> Iterable[tuple[str, str]]:
    model = found.model
    made = f", made by {model.producer}" if model.producer else ""
    yield "model", f"{model.name}, sha256 {model.sha256[:12]}{made}"
    sets = sorted(model.opsets.items())
    yield "operator sets", ", ".join(f"{domain or 'ai.onnx'} {n}" for domain, n in sets)
    yield "lengths", ", ".join(f"{name} = {length}" for name, length in found.lengths.items())
    yield "parameters", ", ".join(map(_stored, found.parameters)) or "none"
    yield "nodes", f"{len(found.nodes):,}, of {len(found.operators)} operators"
    yield (
        "one inference",
        ", ".join(
            (
                _flop(found.flops),
                f"{_bytes(found.bytes)} moved",
                f"{_intensity(found.flops, found.bytes)} FLOP a byte",
            )
        ),
    )


def _stored(one: Stored) -> str:
    return f"{count_text(one.count)} {one.dtype} ({_bytes(one.bytes)})"


def _tensors(found: Inspection) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, tensors in (("input", found.inputs), ("output", found.outputs)):
        for one in tensors[:_MOST_TENSORS]:
            name = Text(shorten(one.name, _LONGEST_NAME))
            table.add_row(label, name, Text(one.dtype), Text(_shape(one)))
        if (more := len(tensors) - _MOST_TENSORS) > 0:
            table.add_row(label, Text(f"and {more} more, all of them in --json", "dim"))
    return table


def _operators(found: Inspection) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("operator", overflow="fold", min_width=8)
    for name in ("version", "nodes", "FLOP", "bytes moved", "FLOP/byte"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.operators:
        name = shorten(spelled(one.domain, one.operator), _LONGEST_NAME)
        table.add_row(Text(name), f"{one.version}", f"{one.nodes:,}", *_costs(one.flops, one.bytes))
    if len(found.operators) > 1:
        cells = ("in all", "", f"{len(found.nodes):,}", *_costs(found.flops, found.bytes))
        table.add_row(*(Text(cell, "bold") for cell in cells))
    return table


def _notes(found: Inspection) -> list[RenderableType]:
    lines = [f"FLOP: {costs.FLOPS}", f"Bytes: {costs.BYTES}"]
    notes: list[RenderableType] = []
    if unknown := unknown_nodes(found.nodes):
        notes.append(Text(_unknown(unknown, found.nodes), "yellow"))
    return [*notes, *(Text(line, "dim") for line in lines)]


def _unknown(unknown: tuple[NodeCost, ...], nodes: tuple[NodeCost, ...]) -> str:
    """Return how many costs are not known, of which nodes and why, and what the others make."""
    shown = [f"{shorten(one.name, 30)} ({clean(one.operator)})" for one in unknown[:_NAMED_NODES]]
    more = len(unknown) - len(shown)
    names = listed([*shown, *([f"{more} more"] if more > 0 else [])])
    flops = total(node.flops or 0 for node in nodes)
    moved = total(node.bytes or 0 for node in nodes)
    count = f"{len(unknown)} node" + ("" if len(unknown) == 1 else "s")
    return (
        f"? means not known: of {count} a cost cannot be told before a run, {names}."
        f" First: {sentence(unknown[0].unknown)}"
        f" What is known makes {_flop(flops)} and {_bytes(moved)}."
    )


def _answers(answers: tuple[Answer, ...]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for least in (8, 0, 20):
        table.add_column(overflow="fold", min_width=least)
    for one in answers:
        version = Text(shorten(one.backend_version or "", _LONGEST_NAME), "dim")
        table.add_row(Text(shorten(one.backend, _LONGEST_NAME), "bold"), version, _answer(one))
    return table


def _answer(one: Answer) -> Text:
    """Return what a backend said: a word, and below it why and what to do."""
    if one.status is Status.OK:
        return Text(_HOW.get(one.how or "", "takes it"), "green")
    said = [_refused(one.node)] if one.node else [sentence(one.reason), sentence(one.fix)]
    head = Text(one.status.value.replace("_", " "), "red")
    return Text("\n").join([head, *(Text(part) for part in said if part)])


def _refused(node: RefusedNode) -> str:
    version = f", version {node.version}" if node.version is not None else ""
    name, operator = shorten(node.name, _LONGEST_NAME), clean(node.operator)
    return f"node {name!r} ({operator}{version}): {sentence(node.detail)}"


def _flop(count: int | None) -> str:
    """Return operations with their unit, such as ``602 MFLOP``."""
    text = count_text(count)
    return f"{text}FLOP" if text[-1] in _PREFIXES else f"{text} FLOP"


def _costs(flops: int | None, moved_bytes: int | None) -> tuple[str, str, str]:
    return count_text(flops), _bytes(moved_bytes), _intensity(flops, moved_bytes)


def _bytes(size_bytes: int | None) -> str:
    return UNKNOWN if size_bytes is None else format_bytes(size_bytes)


def _intensity(flops: int | None, moved_bytes: int | None) -> str:
    """Return operations a byte; ``-`` where nothing is moved, ``?`` where it is not known."""
    ratio = intensity(flops, moved_bytes)
    if ratio is None:
        return UNKNOWN if flops is None or moved_bytes is None else "-"
    return "0" if not ratio else _three(ratio)


def _three(value: float) -> str:
    """Return a value with three significant digits, large ones without a power of ten."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def _shape(tensor: Tensor) -> str:
    if tensor.shape is None:
        return UNKNOWN
    return "x".join(UNKNOWN if n is None else f"{n}" for n in tensor.shape) or "scalar"
