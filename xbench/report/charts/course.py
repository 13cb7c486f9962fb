"""The course of a run in time: each turn's median, what disturbed it, and where a launch began."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median
from typing import Any

from xbench.load.scenario import Kind
from xbench.report.charts import look
from xbench.report.charts.canvas import Canvas
from xbench.report.charts.figure import (
    Drawing,
    Figure,
    Material,
    Missing,
    Table,
    fewer,
)
from xbench.report.text import clean
from xbench.result import CellResult
from xbench.samples import Epoch
from xbench.units import format_share

KEY, TITLE = "course", "Course of the run"
IN_TIME = ("not_steady", "unstable", "drift", "throttled", "few_rounds", "few_samples")
"""Cautions that are about how a row behaved in time."""
MOST_PANELS = 12
PANEL_PX = 46
AXIS_PX = 48  # beside a panel, for its scale
_LOWEST, _HIGHEST = 0.5, 3.0
_STATES = {
    "disturbed": ("triangle-up", "doubt"),
    "GPU throttled": ("triangle-down", "bad"),
}
_CAPTION = (
    "The median of each turn over the row's own median: flat and at 1 is steady. Turns in rounds"
    " that other programs, the canary or heat disturbed are marked, and are not in {of}. A"
    " dotted line is a new launch: a new process."
)
_OF_SUSTAINED = "the ratios; a row's own numbers are of all turns of launches that ran to the end"
NO_COURSE = "The turns of a search are at one rate after another, so they have no course."


def courses(material: Material) -> Iterator[Figure | Missing]:
    """Yield a figure for each group that has samples; for a search, why there is none."""
    load = material.scenario
    if load.searches:
        yield Missing(KEY, TITLE, NO_COURSE)
        return
    of = _OF_SUSTAINED if load.kind is Kind.SUSTAINED else "the numbers"
    for group in material.sampled(KEY, TITLE):
        if isinstance(group, Missing):
            yield group
            continue
        own, setting = group.rows, group.setting
        shown = own[:MOST_PANELS]
        yield Figure(
            key=KEY,
            title=TITLE,
            setting=setting,
            caption=_CAPTION.format(of=of),
            note=fewer(len(own), len(shown)),
            table=_table(material, own),
            draw=partial(_draw, material, shown),
        )


def doubts(cell: CellResult) -> list[str]:
    """Return the codes of a row's cautions about its course, as words."""
    codes = [clean(caution.code) for caution in cell.cautions]
    return [code.replace("_", " ") for code in codes if code in IN_TIME]


def state(material: Material, turn: Epoch) -> str:
    """Return whether a turn was quiet, and if not, what disturbed it."""
    if turn.gpu and turn.gpu.throttled_by:
        return "GPU throttled"
    quiet = not material.quiet or (turn.launch, turn.round) in material.quiet
    return "quiet" if quiet else "disturbed"


def _table(material: Material, cells: Sequence[CellResult]) -> Table:
    header = ("row", "launches", "rounds", "disturbed", "lowest", "highest", "cautions")
    rows = []
    for cell in cells:
        turns = material.epochs[cell.id]
        medians = [median(turn.latencies_ns) for turn in turns]
        centre = median(medians)
        disturbed = sum(state(material, turn) != "quiet" for turn in turns) / len(turns)
        rows.append(
            (
                material.names[cell.id],
                f"{len({turn.launch for turn in turns})}",
                f"{len(turns)}",
                format_share(disturbed),
                f"{min(medians) / centre:.2f}",
                f"{max(medians) / centre:.2f}",
                ", ".join(doubts(cell)) or "none",
            )
        )
    return Table(header, tuple(rows), frozenset(header[1:-1]))


def _draw(material: Material, cells: Sequence[CellResult], width: int) -> Drawing:
    rounds = sorted({(t.launch, t.round) for c in cells for t in material.epochs[c.id]})
    place = {key: number for number, key in enumerate(rounds, 1)}
    first: dict[int, int] = {}
    for (launch, _), number in place.items():
        first.setdefault(launch, number)
    values: list[dict[str, Any]] = []
    for cell in cells:
        turns = material.epochs[cell.id]
        centre = median(median(turn.latencies_ns) for turn in turns)
        said = doubts(cell)
        marked = f" \N{WARNING SIGN} {', '.join(said)}" if said else ""
        name = f"{material.names[cell.id]}{marked}"
        for turn in turns:
            at = place[turn.launch, turn.round]
            began = at > 1 and at == first[turn.launch]
            share = median(turn.latencies_ns) / centre
            values.append(
                {
                    "row": name,
                    "x": at,
                    "y": round(min(_HIGHEST, max(_LOWEST, share)), 3),
                    "launch": turn.launch,
                    "state": state(material, turn),
                    "edge": at - 0.5 if began else None,
                }
            )
    return _panels(values, width)


def _panels(values: list[dict[str, Any]], width: int) -> Drawing:
    """Return a panel a row, one below the other on one scale."""
    import altair as alt

    canvas = Canvas(width)
    names = list(dict.fromkeys(value["row"] for value in values))
    low = min(0.9, *(value["y"] for value in values))
    high = max(1.1, *(value["y"] for value in values))
    last = max(value["x"] for value in values)
    x_scale = alt.Scale(domain=[0.5, last + 0.5], nice=False)
    x_axis = alt.Axis(grid=False, tickMinStep=1, format="d", tickCount=width // 70)
    x = alt.X("x:Q", scale=x_scale, title="round", axis=x_axis)
    y_scale = alt.Scale(type="log", domain=[low, high], nice=False)
    y_axis = alt.Axis(values=_ticks(low, high), format="~g", domain=False, ticks=False)
    y = alt.Y("y:Q", scale=y_scale, title=None, axis=y_axis)
    muted = look.STAND_IN["muted"]
    base = alt.Chart()
    lines = base.mark_line(strokeWidth=1, color=muted).encode(
        x=x, y=y, detail=alt.Detail("launch:N")
    )
    launches = (
        base.transform_filter("isValid(datum.edge)")
        .mark_rule(color=muted, strokeDash=[2, 2])
        .encode(x=alt.X("edge:Q", scale=x_scale, title="round", axis=x_axis))
    )
    header = alt.Header(labelOrient="top", labelAnchor="start", labelPadding=2, labelLimit=width)
    panels = (
        alt.layer(launches, lines, *_points(base, values, x, y))
        .properties(width=width - AXIS_PX, height=PANEL_PX)
        .facet(
            row=alt.Row("row:N", sort=names, title=None, header=header),
            data=canvas.named(values),
            spacing=10,
        )
    )
    return canvas.finished(panels)


def _points(base: Any, values: list[dict[str, Any]], x: Any, y: Any) -> list[Any]:
    """Return a mark for each turn that does not count; nothing where all do."""
    import altair as alt

    kinds = [kind for kind in _STATES if any(value["state"] == kind for value in values)]
    shapes = alt.Scale(domain=kinds, range=[_STATES[kind][0] for kind in kinds])
    colours = alt.Scale(domain=kinds, range=[look.STAND_IN[_STATES[kind][1]] for kind in kinds])
    marks = (
        base.transform_filter("datum.state != 'quiet'")
        .mark_point(size=42)
        .encode(
            x=x,
            y=y,
            shape=alt.Shape("state:N", scale=shapes, title=None),
            color=alt.Color("state:N", scale=colours, title=None),
        )
    )
    return [marks] if kinds else []


def _ticks(low: float, high: float) -> list[float]:
    """Return where the scale of a panel has a line: at 1, and where there is room beside it."""
    room = PANEL_PX / math.log(high / low)  # pixels of a factor of e
    upper = [one for one in (1.1, 1.2, 1.5, 2.0, 3.0) if one <= high and math.log(one) * room > 12]
    lower = [one for one in (0.9, 0.8, 0.6) if one >= low and -math.log(one) * room > 12]
    return [*lower[-1:], 1.0, *upper[-1:]]
