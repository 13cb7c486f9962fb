"""A sizing as text for a terminal, readable at 80 columns, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xbench.report.markdown import escape
from xbench.report.sizing_notes import assumptions, cautions, commands, floors, legend
from xbench.report.sizing_words import (
    MEASURED_HEADER,
    Line,
    header,
    lines,
    measured_rows,
    not_run,
    reasons,
    sentences,
    shared,
)
from xbench.report.terminal import drawn
from xbench.report.text import clean, shorten
from xbench.sizing.answer import Caps, Sizing
from xbench.sizing.trial import Verdict

_LONGEST_NAME = 60
_STYLES = {
    Verdict.FITS: "green",
    Verdict.FITS_CAPPED: "green",
    Verdict.MAY_FIT: "yellow",
}
_LISTED = (
    ("Does not fit, and that is sure", Verdict.NO),
    ("Misses it as a server", Verdict.MISSES_CAPPED),
    ("Not as sure as the queue", Verdict.MAY_FIT),
    ("Not known", Verdict.UNKNOWN),
)


def render(found: Sizing, *, width: int = 80, colour: bool = False) -> str:
    """Return the whole answer as text, no line wider than ``width`` columns."""
    return drawn(_report(found), width=width, colour=colour)


def markdown(found: Sizing) -> str:
    """Return the whole answer as GitHub-flavoured Markdown."""
    first, *others = sentences(found)
    blocks = [f"## xbench size: {escape(_what(found))}", f"**{escape(first)}**"]
    blocks += map(escape, others)
    if every := lines(found):
        heads = (header(found)[0], "with", *header(found)[1:], "evidence")
        blocks += [_drawn(heads, map(_cells, every)), escape(" ".join(legend(found)))]
    for title, told in _listings(found):
        blocks.append(
            "\n".join([f"{title}:", "", *(f"- {escape(a)}: {escape(b)}" for a, b in told)])
        )
    if least := floors(found):
        blocks.append(f"Least time of one inference, computed. {escape(least)}")
    for caps in found.caps:
        rows = list(measured_rows(caps, found))
        blocks.append(f"Measured here, {escape(_capped(caps))}:")
        blocks.append(_drawn((*MEASURED_HEADER[:-1], "how"), rows))
    facts = (f"- {escape(label)}: {escape(text)}" for label, text in assumptions(found))
    blocks.append("\n".join(["Assumptions:", "", *facts]))
    if doubts := cautions(found):
        each = (f"- {escape(code)}: {escape(text)}" for code, text in doubts)
        blocks.append("\n".join(["Cautions:", "", *each]))
    if todo := commands(found):
        blocks.append("\n".join(["On the device itself:", "", "```bash", *todo, "```"]))
    return "\n\n".join(blocks) + "\n"


def _what(found: Sizing) -> str:
    load = f"{found.demand.rate_per_s:g} a second, {found.demand.slo}"
    return f"{clean(found.model)} at {load}, on CPU cores"


def _report(found: Sizing) -> RenderableType:
    first, *others = sentences(found)
    parts: list[RenderableType] = [Text(), Text(_what(found), "bold"), Text(), Text(first, "bold")]
    parts += [Padding(Text(line), (1, 0, 0, 0)) for line in others]
    if every := lines(found):
        parts += [Text(), _table(header(found), every), Text()]
        parts += [Text(one, "dim") for one in legend(found)]
    for title, told in _listings(found):
        parts += [Text(), Text(title, "bold"), *(_reason(names, why) for names, why in told)]
    if floor := floors(found):
        parts += [Text(), Text("Least time of one inference, computed", "bold"), Text(floor)]
    for caps in found.caps:
        parts += [Text(), _measured(caps, found)]
    failed = shared(pair for caps in found.caps for pair in not_run(caps))
    if failed:
        parts += [Text(), Text("Not sized by", "bold"), *(_reason(*one) for one in failed)]
    parts += [Text(), Text("Assumptions", "bold"), _facts(assumptions(found))]
    if doubts := cautions(found):
        parts += [Text(), Text("Cautions", "bold yellow"), _facts(doubts)]
    parts += _closing(found)
    return Group(*parts)


def _listings(found: Sizing) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
    """Yield what stands in lists, with the reasons, under its title."""
    for title, verdict in _LISTED:
        if told := list(reasons(found, verdict)):
            yield title, told


def _table(heads: Sequence[str], every: Sequence[Line]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(heads[0], overflow="fold", min_width=22)
    for title in heads[1:-1]:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column(heads[-1], no_wrap=True, min_width=max(len(one.first[-1]) for one in every))
    for line in every:
        style = _STYLES.get(line.verdict, "")
        name, *middle, verdict = line.first
        table.add_row(Text(name, "bold" if style else ""), *map(Text, middle), Text(verdict, style))
        table.add_row(*(Text(part, "dim") for part in line.second))
    return table


def _measured(caps: Caps, found: Sizing) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    first, *middle, last = MEASURED_HEADER
    table.add_column(first, overflow="fold", min_width=8)
    for title in middle:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column(last, overflow="fold")
    for backend, *cells in measured_rows(caps, found):
        table.add_row(Text(shorten(backend, _LONGEST_NAME)), *map(Text, cells))
    heading = Text(f"Measured here, on the {_capped(caps)}", "bold")
    return Group(heading, table if table.row_count else Text("Nothing that can be sized by."))


def _capped(caps: Caps) -> str:
    """Return what the rows were measured on, and for how many profiles they stand."""
    many = len(caps.profiles)
    words = next((one.words for one in caps.rows if one.words), "host")
    return f"{words}, for {many} profile{'' if many == 1 else 's'}"


def _reason(names: str, why: str) -> RenderableType:
    return Group(Text(names), Padding(Text(why, "dim"), (0, 0, 0, 4)))


def _facts(told: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in told:
        table.add_row(Text(label), Text(text))
    return table


def _closing(found: Sizing) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if told := commands(found):
        parts += [Text(), Text("On the device itself", "bold")]
        parts += [Padding(Text(one), (0, 0, 0, 2)) for one in told]
    if found.stopped:
        parts += [
            Text(),
            Text("Interrupted: what was not measured by then is not known.", "yellow"),
        ]
    if found.caps:
        parts += [Text(), Text(f"Every run is kept in {clean(found.folder)}", "dim")]
    return parts


def _cells(line: Line) -> tuple[str, ...]:
    name, *figures, verdict = line.first
    backend, *below, evidence = line.second
    both = [" ".join(filter(None, pair)) for pair in zip(figures, below, strict=True)]
    return (name, backend, *both, verdict, evidence)


def _drawn(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = (heads, ["---" for _ in heads], *([escape(cell) for cell in row] for row in rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
