"""A verification of claims as text for a terminal, readable at 80 columns, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xbench.claims.claim import ClaimsFile
from xbench.claims.decide import Decision
from xbench.claims.verify import Verification
from xbench.report.claims_words import (
    HEADER,
    about,
    claimed,
    facts,
    lines,
    open_ends,
    origins,
    sentences,
    shared,
)
from xbench.report.markdown import escape
from xbench.report.terminal import drawn
from xbench.report.text import clean, sentence, shorten

_STYLES = {
    Decision.HELD.value: "green",
    Decision.FAILED.value: "red",
    Decision.UNDETERMINED.value: "yellow",
    Decision.NOT_COMPARABLE.value: "dim",
}
_LONGEST_NAME = 40


def render(found: Verification, *, width: int = 80, colour: bool = False) -> str:
    """Return the whole report as text, no line wider than ``width`` columns."""
    return drawn(_report(found), width=width, colour=colour)


def render_list(files: Iterable[ClaimsFile], *, width: int = 80, colour: bool = False) -> str:
    """Return the files by name, each with its title and what it is about."""
    return drawn(Group(*map(_listed, files)), width=width, colour=colour)


def render_file(file: ClaimsFile, *, width: int = 80, colour: bool = False) -> str:
    """Return the claims of a file, and where they come from."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("id", overflow="fold", min_width=16)
    table.add_column("claim", overflow="fold")
    table.add_column("published", justify="right", overflow="fold", min_width=9)
    for cells in claimed(file):
        table.add_row(*map(Text, cells))
    heading = Text(clean(file.title), "bold")
    origin = _facts(origins(file.sources))
    whole = Group(heading, Text(), table, Text(), origin)
    return drawn(whole, width=width, colour=colour)


def markdown(found: Verification) -> str:
    """Return the whole report as GitHub-flavoured Markdown."""
    first, *others = sentences(found)
    blocks = [f"## xbench verify: {escape(clean(found.file.title))}", f"**{escape(first)}**"]
    blocks += map(escape, others)
    rows = [(line.id, line.claim, *line.figures, line.verdict) for line in lines(found)]
    blocks.append(_table_of(("id", "claim", *HEADER[1:]), rows))
    for title, entries in (("Left open", open_ends(found)), ("Doubts", shared(found))):
        if entries:
            told = (f"- {escape(name)}: {escape(sentence(text))}" for name, text in entries)
            blocks.append("\n".join([f"{title}:", "", *told]))
    told = (f"- {escape(label)}: {escape(text)}" for label, text in facts(found))
    blocks.append("\n".join(["Where from, and where:", "", *told]))
    return "\n\n".join(blocks) + "\n"


def _table_of(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cells = (heads, tuple("---" for _ in heads), *(tuple(map(escape, row)) for row in rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _report(found: Verification) -> RenderableType:
    first, *others = sentences(found)
    parts: list[RenderableType] = [Text(), Text(clean(found.file.title), "bold"), Text()]
    parts += [_table(found), Text(), Text(first, "bold")]
    parts += [Padding(Text(line), (1, 0, 0, 0)) for line in others]
    for title, entries in (("Left open", open_ends(found)), ("Doubts", shared(found))):
        if entries:
            parts += [Text(), Text(title, "bold yellow")]
            parts += [_entry(name, text) for name, text in entries]
    parts += [Text(), _facts(facts(found))]
    return Group(*parts)


def _table(found: Verification) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("claim", overflow="fold", min_width=20)
    table.add_column("published\naccepted", overflow="fold", min_width=9)
    table.add_column("here\nverdict", overflow="fold", min_width=14)
    for line in lines(found):
        published, accepted, here = line.figures
        style = _STYLES.get(line.verdict, "")
        table.add_row(Text(line.id, "bold"), Text(published), Text(here))
        table.add_row(Text(line.claim, "dim"), Text(accepted, "dim"), Text(line.verdict, style))
    return table


def _entry(name: str, text: str) -> RenderableType:
    return Padding(Text.assemble((name, "yellow"), f"  {sentence(text)}"), (0, 0, 0, 2))


def _facts(told: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", overflow="fold", max_width=22)
    table.add_column(overflow="fold")
    for label, text in told:
        table.add_row(Text(shorten(label, _LONGEST_NAME)), Text(text))
    return table


def _listed(file: ClaimsFile) -> RenderableType:
    parts = [Padding(Text(line), (0, 0, 0, 2)) for line in about(file)]
    return Group(Text(clean(file.name), "bold"), *parts)
