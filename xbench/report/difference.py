"""A difference as text for a terminal, readable at 80 columns, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xbench.difference.answer import Difference
from xbench.difference.fields import Differing
from xbench.difference.judge import Judged
from xbench.difference.matching import Alone
from xbench.difference.sides import Row, Side
from xbench.report.difference_words import closing, sentences
from xbench.report.markdown import escape
from xbench.report.numbers import latency_text, ratio_text
from xbench.report.terminal import drawn
from xbench.report.text import clean, sentence, shorten

_LONGEST_NAME, _LONGEST_VALUE, _LONGEST_PLACE = 40, 40, 60
_STYLES = {"faster": "green", "slower": "red", "undetermined": "yellow"}
_HEADER = ("row", "first", "second", "speed, first is 1", "verdict")


def render(found: Difference, *, width: int = 80, colour: bool = False) -> str:
    """Return the whole difference as text, no line wider than ``width`` columns."""
    return drawn(_report(found), width=width, colour=colour)


def markdown(found: Difference) -> str:
    """Return the whole difference as GitHub-flavoured Markdown."""
    first, *others = sentences(found)
    blocks = [f"## xbench diff: {escape(found.second.model)}", f"**{escape(first)}**"]
    blocks += map(escape, others)
    blocks.append("\n".join(f"- {name}: {escape(text)}" for name, text in _sides(found)))
    if found.rows:
        blocks.append(_markdown_table(found))
    for title, lines in _lists(found):
        blocks.append("\n".join([f"{title}:", "", *(f"- {escape(line)}" for line in lines)]))
    blocks += map(escape, closing(found))
    return "\n\n".join(blocks) + "\n"


def _report(found: Difference) -> RenderableType:
    first, *others = sentences(found)
    parts: list[RenderableType] = [Text(), Text(clean(found.second.model), "bold")]
    parts += [_facts(_sides(found)), Text()]
    if found.rows:
        parts += [_table(found), Text()]
    parts.append(Text(first, "bold red" if found.alarms else "bold"))
    parts += [Padding(Text(line), (1, 0, 0, 0)) for line in others]
    for title, lines in _lists(found):
        parts += [Text(), Text(title, "bold")]
        parts += [Padding(Text(line), (0, 0, 0, 2)) for line in lines]
    parts += [Padding(Text(line, "dim"), (1, 0, 0, 0)) for line in closing(found)]
    return Group(*parts)


def _sides(found: Difference) -> Iterator[tuple[str, str]]:
    """Yield what each side is, with the doubts about its run as a whole."""
    for name, side in (("first", found.first), ("second", found.second)):
        yield name, _side(side)


def _side(side: Side) -> str:
    told = f", {', '.join(map(clean, side.cautions))}" if side.cautions else ""
    return f"{shorten(side.place, _LONGEST_PLACE)}{told}"


def _facts(lines: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in lines:
        table.add_row(label, Text(text))
    return table


def _table(found: Difference) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(_HEADER[0], overflow="fold", min_width=10)
    for title in _HEADER[1:3]:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column(_HEADER[3], no_wrap=True)
    table.add_column(_HEADER[4], no_wrap=True)
    for row in found.rows:
        name, *numbers, verdict, below = _cells(found, row)
        style = _STYLES.get(row.verdict.value, "")
        table.add_row(Text(name), *map(Text, numbers), Text(verdict, style))
        alarm = row.alarm and found.terms.fail_slower
        if below or alarm:
            table.add_row(Text(below, "dim"), "", "", "", Text("alarm" if alarm else "", "red"))
    return table


def _cells(found: Difference, row: Judged) -> tuple[str, ...]:
    """Return name, both times, ratio, verdict, and the change of version if there was one."""
    a, b = row.pair.first, row.pair.second
    changed = [one for one in row.pair.differing if one.name == "version"]
    below = f"{_value(changed[0].first)} → {_value(changed[0].second)}" if changed else ""
    name = shorten(found.names[b.key], _LONGEST_NAME)
    return name, _time(a), _time(b), ratio_text(row.ratio), row.verdict.value, below


def _time(row: Row) -> str:
    return latency_text(row.time_ns) if row.time_ns else "-"


def _markdown_table(found: Difference) -> str:
    cells: list[Sequence[str]] = [
        (*_HEADER, "version"),
        ("---", "---:", "---:", "---", "---", "---"),
    ]
    for row in found.rows:
        name, *numbers, verdict, below = _cells(found, row)
        alarm = row.alarm and found.terms.fail_slower
        said = f"**{verdict}, alarm**" if alarm else verdict
        cells.append((escape(name), *map(escape, numbers), said, escape(below)))
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _lists(found: Difference) -> Iterator[tuple[str, list[str]]]:
    """Yield what stands below the table: a title and its lines, none of them empty."""
    titled = (
        ("Differs, and forbids the comparison", map(_field, found.forbidding)),
        ("Differs", (_field(one) for one in found.differing if one not in found.forbidding)),
        ("Differs in a row", _of_rows(found)),
        ("Not compared", _refused(found)),
        ("Only in the first run", (_alone(found, one) for one in found.only_first)),
        ("Only in the second run", (_alone(found, one) for one in found.only_second)),
    )
    for title, lines in titled:
        if told := list(lines):
            yield title, told


def _of_rows(found: Difference) -> Iterator[str]:
    for row in found.rows:
        told = [one for one in row.pair.differing if one.name != "version"]
        if told:
            yield f"{_name(found, row.pair.second)}: {'; '.join(map(_field, told))}"


def _refused(found: Difference) -> Iterator[str]:
    for one in found.refused:
        fields = "; ".join(map(_field, one.forbidding))
        name = _name(found, one.pair.second)
        yield f"{name}: {sentence(one.reason)}{f' {fields}' if fields else ''}"


def _alone(found: Difference, one: Alone) -> str:
    near = "; ".join(map(_field, one.nearest))
    if not near:
        return _name(found, one.row)
    word = one.nearest[0].allow
    return f"{_name(found, one.row)}: the other run has it with {near} (--allow {word} compares)"


def _name(found: Difference, row: Row) -> str:
    return shorten(found.names[row.key], _LONGEST_NAME)


def _field(one: Differing) -> str:
    return f"{shorten(one.name, _LONGEST_NAME)} {_value(one.first)} → {_value(one.second)}"


def _value(text: str) -> str:
    return shorten(text, _LONGEST_VALUE)
