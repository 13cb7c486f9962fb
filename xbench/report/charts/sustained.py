"""Load that is sustained for minutes: what becomes of each row's speed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from xbench.report.charts import look
from xbench.report.charts.canvas import Canvas, apart, lines, log_axis, series
from xbench.report.charts.distribution import PLOT_PX, unit_of
from xbench.report.charts.figure import Drawing, Figure, Material, Missing, Table, fewer
from xbench.report.charts.ticks import padded
from xbench.result import CellResult
from xbench.units import format_ns, format_s

KEY, TITLE = "sustained", "Latency over minutes of load"
MARKS = 6  # on a curve: enough to tell it by its shape
_CAPTION = (
    "Each curve is a row's median latency, stretch by stretch, while it ran without a pause. Flat"
    " is sustained; a rise is a device that grew warm, or was disturbed. Rows ran one after the"
    " other."
)


def sustained(material: Material) -> Iterator[Figure | Missing]:
    """Yield one figure where the run's load was sustained; nothing where it was not meant to be."""
    told = [cell for cell in material.ranked() if points_of(cell)]
    if not told:
        return
    shown = told[: look.SERIES]
    yield Figure(
        key=KEY,
        title=TITLE,
        caption=_CAPTION,
        note=fewer(len(told), len(shown)),
        table=_table(material, told),
        draw=partial(_draw, material, shown),
    )


def points_of(cell: CellResult) -> Sequence[Mapping[str, Any]]:
    """Return the stretches of a row's curve; none where it has no curve."""
    found = (cell.load or {}).get("points") or ()
    return [one for one in found if one.get("p50_ns")]


def _table(material: Material, cells: Sequence[CellResult]) -> Table:
    rows = tuple(
        (material.label(cell), format_s(one["at_s"]), format_ns(one["p50_ns"]))
        for cell in cells
        for one in points_of(cell)
    )
    return Table(("row", "after", "p50"), rows, frozenset(("after", "p50")))


def _draw(material: Material, cells: Sequence[CellResult], width: int) -> Drawing:
    import altair as alt

    canvas = Canvas(width)
    every = [one["p50_ns"] for cell in cells for one in points_of(cell)]
    unit, size = unit_of(every)
    curves: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    styles = {material.label(cell): material.places[cell.id] for cell in cells}
    for cell in cells:
        own, name = points_of(cell), material.label(cell)
        placed = [{"x": one["at_s"] / 60, "y": one["p50_ns"] / size} for one in own]
        curves += [{"line": name, **one} for one in placed]
        marks += [{"row": name, **one} for one in placed[:: max(1, len(placed) // MARKS)]]
    x = alt.X("x:Q", title="minutes of load", axis=alt.Axis(tickCount=width // 90))
    ends = padded(min(every) / size, max(every) / size, 0.1)
    y = log_axis("y", f"median latency, {unit}", ends, PLOT_PX, upright=True)
    drawn = canvas.chart(curves).mark_line().encode(x=x, y=y, **lines(styles))
    points = (
        canvas.chart(marks)
        .mark_point()
        .encode(
            x=x,
            y=y,
            color=series(styles, "color", width),
            shape=series(styles, "shape", width),
        )
    )
    return canvas.fitted(apart(alt.layer(drawn, points)), PLOT_PX)
