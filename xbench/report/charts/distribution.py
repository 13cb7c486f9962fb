"""Distributions of latency: how large a share of the inferences took longer than a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from xbench.report.charts import look
from xbench.report.charts.canvas import AXIS_PX, Canvas, apart, lines, log_axis, series
from xbench.report.charts.figure import (
    Drawing,
    Figure,
    Material,
    Missing,
    Table,
    fewer,
)
from xbench.report.charts.ticks import padded
from xbench.report.numbers import percentile_text
from xbench.result import PERCENTILES, CellResult
from xbench.units import format_ns

KEY, TITLE = "distribution", "Distribution of latency"
PLOT_PX = 300
STEPS = 90  # of a curve
_MARKED = (0.5, 0.1, 0.01, 0.001)
_CAPTION = (
    "Each curve rises from the fastest inference to the slowest: further left is faster. Each line"
    " of the grid is a percentile, and the scale gives the tail as much room as the middle. Marks"
    " stand at p50, p90, p99 and p99.9. Near its upper end a curve is made of single inferences:"
    " the table leaves out a percentile that they are too few for."
)
_AT_RATES = " Each row's inferences are those at the largest rate that it holds, and no others."
_UNITS = (("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0))


def distributions(material: Material) -> Iterator[Figure | Missing]:
    """Yield a figure for each group that has samples."""
    for group in material.sampled(KEY, TITLE):
        if isinstance(group, Missing):
            yield group
            continue
        with_samples, setting = group.rows, group.setting
        shown = with_samples[: look.SERIES]
        yield Figure(
            key=KEY,
            title=TITLE,
            setting=setting,
            caption=_CAPTION + (_AT_RATES if material.scenario.searches else ""),
            note=fewer(len(with_samples), len(shown)),
            table=_table(material, group.ranked),
            draw=partial(_draw, material, shown),
        )


def _table(material: Material, cells: Sequence[CellResult]) -> Table:
    header = ("row", "inferences", "least", *PERCENTILES, "most")
    rows = []
    for cell in cells:
        latency = cell.latency_ns
        if latency is not None:
            points = (percentile_text(latency, name) for name in PERCENTILES)
            ends = (format_ns(latency.min), format_ns(latency.max))
            rows.append((material.names[cell.id], f"{latency.n:,}", ends[0], *points, ends[1]))
    readable = tuple(name.replace("_", ".") for name in header)
    return Table(readable, tuple(rows), frozenset(readable[1:]))


def survival(latencies_ns: Sequence[float], steps: int = STEPS) -> list[tuple[float, float]]:
    """Return latency, and the share of inferences that took at least that; fewest points first.

    Shares are evenly spaced by their logarithm, from 1 to one inference, so that the tail, where
    each inference counts, keeps them all and the body is thinned.
    """
    ordered = sorted(latencies_ns, reverse=True)
    count = len(ordered)
    ranks = {round(math.exp(step / steps * math.log(count))) for step in range(steps + 1)}
    return [(ordered[rank - 1], rank / count) for rank in sorted(ranks, reverse=True)]


def _draw(material: Material, cells: Sequence[CellResult], width: int) -> Drawing:
    taken = {
        cell.id: [ns for turn in material.counted_turns(cell) for ns in turn.latencies_ns]
        for cell in cells
    }
    unit, size = unit_of([ns for own in taken.values() for ns in (min(own), max(own))])
    curves, marks = [], []
    for cell in cells:
        name, own = material.names[cell.id], taken[cell.id]
        points = survival(own)
        curves += [{"line": name, "x": ns / size, "y": share} for ns, share in points]
        for share in _MARKED:
            if share * len(own) >= 1:
                ns = sorted(own)[math.ceil((1 - share) * len(own)) - 1]
                marks.append({"row": name, "x": ns / size, "y": share})
    least = 1 / max(map(len, taken.values()))
    canvas = Canvas(width)
    layers = _layers(canvas, material.styles(cells), curves, marks, (unit, least))
    return canvas.fitted(layers, PLOT_PX)


def _layers(
    canvas: Canvas,
    styles: Mapping[str, int],
    curves: list[dict[str, Any]],
    marks: list[dict[str, Any]],
    of: tuple[str, float],
) -> Any:
    """Return curves and marks; ``of`` is the unit, and the least share that is drawn."""
    import altair as alt

    unit, least = of
    ticks = [
        share for share in (1, 0.5, 0.1, 0.05, 0.01, 0.001, 1e-4, 1e-5) if share >= least * 0.9
    ]
    y_axis = alt.Axis(
        values=ticks,
        labelExpr="datum.value >= 1 ? 'least' : 'p' + format(100 - 100 * datum.value, '~r')",
    )
    times = [point["x"] for point in curves]
    ends = padded(min(times), max(times), 0.02)
    y_scale = alt.Scale(type="log", domain=[1, min(least * 0.8, 0.4)], nice=False)
    x = log_axis("x", f"latency, {unit}", ends, canvas.width - AXIS_PX)
    y = alt.Y("y:Q", scale=y_scale, title="percentile", axis=y_axis)
    colour = series(styles, "color", canvas.width)
    drawn = (
        canvas.chart(curves)
        .mark_line(interpolate="step-before", clip=True)
        .encode(x=x, y=y, **lines(styles))
    )
    points = (
        canvas.chart(marks)
        .mark_point(clip=True)
        .encode(x=x, y=y, color=colour, shape=series(styles, "shape", canvas.width))
    )
    return apart(alt.layer(drawn, points))


def unit_of(times_ns: Sequence[float]) -> tuple[str, float]:
    """Return the unit that times are best told in, by their middle, and its size in ns."""
    middle_ns = math.sqrt(max(min(times_ns), 1.0) * max(times_ns))
    return next((unit for unit in _UNITS if middle_ns >= unit[1]), _UNITS[-1])
