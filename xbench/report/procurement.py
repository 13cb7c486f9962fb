"""A procurement as text for a terminal, readable at 80 columns, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xbench.procurement.answer import CHEAPEST, TIE, Procurement
from xbench.procurement.doubts import doubts
from xbench.procurement.quotes import Refusal
from xbench.report.markdown import escape
from xbench.report.procurement_words import (
    Line,
    assumptions,
    header,
    lines,
    sentences,
    yearly,
    yearly_header,
)
from xbench.report.terminal import drawn
from xbench.report.text import clean, sentence, shorten

_LONGEST_NAME = 60


def render(found: Procurement, *, width: int = 80, colour: bool = False) -> str:
    """Return the whole answer as text, no line wider than ``width`` columns."""
    return drawn(_report(found), width=width, colour=colour)


def markdown(found: Procurement) -> str:
    """Return the whole answer as GitHub-flavoured Markdown."""
    first, *others = sentences(found)
    blocks = [f"## xbench procure: {escape(_what(found))}", f"**{escape(first)}**"]
    blocks += map(escape, others)
    if found.quotes:
        blocks += [_markdown_table(found), _drawn(yearly_header(found), yearly(found))]
    if found.refusals:
        refused = (f"- {escape(name)}: {escape(why)}" for name, why in _refusals(found))
        blocks.append("\n".join(["Not priced:", "", *refused]))
    told = (f"- {escape(label)}: {escape(text)}" for label, text in assumptions(found))
    blocks.append("\n".join(["Assumptions:", "", *told]))
    if cautions := doubts(found):
        blocks.append("\n".join(["Cautions:", "", *(f"- {escape(one)}" for one in cautions)]))
    return "\n\n".join(blocks) + "\n"


def _what(found: Procurement) -> str:
    """Return what is to be served: the model, the rate and the limit."""
    limit = f", {found.demand.slo}" if found.demand.slo else ""
    return f"{clean(found.evidence[0].model)} at {found.demand.rate_per_s:g} a second{limit}"


def _report(found: Procurement) -> RenderableType:
    first, *others = sentences(found)
    parts: list[RenderableType] = [Text(), Text(_what(found), "bold"), Text()]
    if found.quotes:
        parts += [_table(found), Text()]
    parts.append(Text(first, "bold"))
    parts += [Padding(Text(line), (1, 0, 0, 0)) for line in others]
    if found.quotes:
        parts += [Text(), _yearly(found)]
    if found.refusals:
        parts += [Text(), Text("Not priced", "bold"), *map(_refused, _refusals(found))]
    parts += [Text(), Text("Assumptions", "bold"), _facts(assumptions(found))]
    if cautions := doubts(found):
        parts += [Text(), Text("Cautions", "bold yellow")]
        parts += [Padding(Text(sentence(one)), (0, 0, 0, 2)) for one in cautions]
    return Group(*parts)


def _table(found: Procurement) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    first, *middle, last = header(found)
    table.add_column(first, overflow="fold", min_width=10)
    for title in middle:
        of_money = title == middle[1]
        table.add_column(title, justify="right", overflow="fold", no_wrap=of_money)
    table.add_column(last, overflow="fold")
    for line in lines(found):
        style = {CHEAPEST: "green", TIE: "yellow"}.get(line.verdict, "")
        name = Text(shorten(line.option, _LONGEST_NAME), "bold" if style else "")
        numbers = (line.devices, line.cost, line.per_joule, line.latency)
        table.add_row(name, *map(Text, numbers), Text(line.verdict, style))
        below = (shorten(line.row, _LONGEST_NAME), line.evidence, line.energy, "", "", line.fronts)
        table.add_row(*(Text(part, "dim") for part in below))
    return table


def _yearly(found: Procurement) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    first, *others = yearly_header(found)
    table.add_column(first, overflow="fold", min_width=10)
    for name in others:
        table.add_column(name, justify="right", overflow="fold", no_wrap=name in others[1:3])
    for name, *figures in yearly(found):
        table.add_row(Text(shorten(name, _LONGEST_NAME)), *map(Text, figures))
    return table


def _markdown_table(found: Procurement) -> str:
    first, *middle, last = header(found)
    heads = (first, "row", *middle, "evidence", "energy", last, "front")
    return _drawn(heads, map(_cells, lines(found)))


def _drawn(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    rule = ("---" for _ in heads)
    cells = (heads, tuple(rule), *(tuple(map(escape, row)) for row in rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _cells(line: Line) -> tuple[str, ...]:
    numbers = (line.devices, line.cost, line.per_joule, line.latency)
    fronts = line.fronts.removeprefix("front: ")
    return (line.option, line.row, *numbers, line.evidence, line.energy, line.verdict, fronts)


def _refusals(found: Procurement) -> Iterable[tuple[str, str]]:
    """Yield the rows that share a reason, and the reason with what helps."""
    shared: dict[tuple[str, str], list[str]] = {}
    for one in found.refusals:
        shared.setdefault(_why(one), []).append(clean(one.name))
    for (reason, fix), names in shared.items():
        yield "; ".join(dict.fromkeys(names)), f"{reason} {fix}".strip()


def _why(refusal: Refusal) -> tuple[str, str]:
    return sentence(refusal.reason), sentence(refusal.fix)


def _refused(told: tuple[str, str]) -> RenderableType:
    names, why = told
    return Group(Text(names, "bold"), Padding(Text(why), (0, 0, 0, 4)))


def _facts(told: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", overflow="fold", max_width=16)
    table.add_column(overflow="fold")
    for label, text in told:
        table.add_row(Text(shorten(label, _LONGEST_NAME)), Text(text))
    return table
