"""A run as a table for a terminal: readable at 80 columns, and without colour."""

from __future__ import annotations

import shlex
from io import StringIO
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xbench.report.conditions import conditions
from xbench.report.costs import CostTable, cost_tables
from xbench.report.text import clean, sentence, shorten
from xbench.report.verdict import verdicts
from xbench.report.view import Group as Cells
from xbench.report.view import Row, SharedCaution, Unranked, groups, shared_cautions

if TYPE_CHECKING:
    from xbench.result import Run

_LONGEST_NAME = 40  # what a column can fold without hiding the row
_SPEED_WIDTH = 20  # "1.003 [0.999, 1.007]"; the name of the backend folds instead
_VERDICT_STYLES = {"faster": "green", "slower": "red", "undetermined": "yellow"}
_OUTPUT_STYLES = {"differ": "red", "vacuous": "yellow", "unchecked": "yellow"}


def render(run: Run, *, width: int = 80, colour: bool = False) -> str:
    """Return the whole report as text, no line wider than ``width`` columns."""
    return drawn(_report(run), width=width, colour=colour)


def drawn(what: RenderableType, *, width: int, colour: bool) -> str:
    """Return what rich makes of ``what``, no line wider than ``width`` columns."""
    out = StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
        legacy_windows=False,
        _environ={},  # NO_COLOR and COLUMNS are the caller's to read
    )
    console.print(what)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def _report(run: Run) -> RenderableType:
    parts: list[RenderableType] = [Text()]
    for cells in groups(run):
        parts += [*_cells(cells), Text()]
    parts += [Padding(Text(line, "bold"), (0, 0, 1, 0)) for line in verdicts(run)]
    for table in cost_tables(run):
        parts += [_costs(table), Text()]
    parts.append(_facts(conditions(run)))
    parts += _cautions(shared_cautions(run))
    parts += [Text(), *_closing(run)]
    return Group(*parts)


def _cells(cells: Cells) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if cells.title:
        parts += [Text(cells.title, "bold"), Text()]
    if cells.rows:
        parts.append(_table(cells))
    if cells.unranked:
        parts += [Text(), Text("Not ranked", "bold"), *map(_unranked, cells.unranked)]
    return parts


def _table(cells: Cells) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("#", no_wrap=True)
    table.add_column("backend", overflow="fold", min_width=8)
    for name in ("p50", "p99", "per s"):
        table.add_column(name, justify="right", no_wrap=True)
    against = f"speed vs {cells.baseline}" if cells.baseline else "speed"
    lines = wrap(against, _SPEED_WIDTH, break_long_words=False)
    header = "\n".join(shorten(line, _SPEED_WIDTH) for line in lines)
    table.add_column(Text(header), no_wrap=True)
    table.add_column("outputs", overflow="fold")
    for row in cells.rows:
        table.add_row(*_first_line(row))
        table.add_row(*_second_line(row))
    return table


def _first_line(row: Row) -> tuple[Text, ...]:
    name = Text(shorten(row.backend, _LONGEST_NAME), "bold" if row.rank in {"1", "1="} else "")
    numbers = (Text(row.p50), Text(row.p99), Text(row.throughput))
    speed = Text(row.ratio or row.verdict)
    outputs = Text(row.outputs, _OUTPUT_STYLES.get(row.outputs, ""))
    return (Text(row.rank), name, *numbers, speed, outputs)


def _second_line(row: Row) -> tuple[Text, ...]:
    verdict = Text(row.verdict if row.ratio else "", _VERDICT_STYLES.get(row.verdict, ""))
    version = Text(shorten(row.version, _LONGEST_NAME), "dim")
    return (Text(), version, Text(), Text(), Text(), verdict, Text(row.loss, "dim"))


def _unranked(row: Unranked) -> RenderableType:
    head = Text.assemble(
        (shorten(row.backend, _LONGEST_NAME), "bold"),
        f" {shorten(row.version, _LONGEST_NAME)}  " if row.version else "  ",
        (row.status, "red"),
        f"  (measured p50 {row.measured}, not to be compared)" if row.measured else "",
    )
    detail = [Text(sentence(part)) for part in (row.reason, row.fix) if part]
    return Group(head, *(Padding(part, (0, 0, 0, 4)) for part in detail))


def _costs(costs: CostTable) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(costs.header[0], overflow="fold", min_width=8)
    for name in costs.header[1:]:
        number = name in costs.numbers
        table.add_column(
            name,
            justify="right" if number else "left",
            no_wrap=number,
            overflow="ellipsis" if number else "fold",
        )
    for name, *figures in costs.rows:
        table.add_row(Text(shorten(name, _LONGEST_NAME)), *map(Text, figures))
    return table


def _facts(lines: tuple[tuple[str, str], ...]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in lines:
        table.add_row(label, Text(text))
    return table


def _cautions(cautions: tuple[SharedCaution, ...]) -> list[RenderableType]:
    if not cautions:
        return []
    return [Text(), Text("Cautions", "bold yellow"), *map(_caution, cautions)]


def _caution(shared: SharedCaution) -> RenderableType:
    rows = ", ".join(shorten(row, _LONGEST_NAME) for row in shared.rows)
    text = f"{f'{rows}: ' if rows else ''}{sentence(shared.caution.text)}"
    line = Text.assemble((clean(shared.caution.code), "yellow"), f"  {text}")
    if shared.caution.fix:
        line.append(f" {sentence(shared.caution.fix)}", "dim")
    return Padding(line, (0, 0, 0, 2))


def _closing(run: Run) -> list[RenderableType]:
    """Return where the run is kept, and how to finish it if it was interrupted."""
    if run.folder is None:
        return [Text("This run was not kept.", "yellow")]
    folder = clean(run.folder)
    if run.interrupted:
        return [
            Text("Interrupted: the numbers are of what was measured until then.", "yellow"),
            Text(f"Finish it with: xbench compare --resume {shlex.quote(folder)}"),
        ]
    return [Text(f"Everything measured is kept in {folder}", "dim")]
