"""Throughput against latency, over batch sizes and threads, and who is beaten by nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from xbench.report.charts import look
from xbench.report.charts.canvas import AXIS_PX, Canvas, apart, lines, log_axis, series
from xbench.report.charts.distribution import unit_of
from xbench.report.charts.figure import Drawing, Figure, Material, Missing, Table
from xbench.report.charts.ticks import padded
from xbench.report.numbers import latency_text, rounded
from xbench.result import CellResult, Interval

PLOT_PX = 320
KEY, TITLE = "tradeoff", "Throughput against latency"
_CAPTION = (
    "Up is more inferences a second, left is a shorter wait for a whole batch. Each mark is a row,"
    " its number the batch size; a line joins the sizes of one backend. A ring marks the Pareto"
    " front: rows that no other row beats in both, intervals considered. Batch sizes, and runs,"
    " were measured one after the other: what lies between them is less sure than what lies within"
    " one."
)
SAME = (
    "All rows have one batch size and as many threads, so throughput says no more than latency."
    " Measure with --batch 1,8 to see what batches bring."
)


@dataclass(frozen=True, slots=True)
class Point:
    """A row by what it gives and what one waits for.

    Attributes:
        name: Of the line that it is on.
        place: Of the line's colour, shape and dash.
        label: Of the row in the table.
        latency_ns: Median, of a batch.
        throughput_per_s: Of single inferences.
    """

    name: str
    place: int
    label: str
    batch: int
    threads: int | None
    latency_ns: Interval
    throughput_per_s: Interval


def tradeoff(material: Material) -> Iterator[Figure | Missing]:
    """Yield one figure where a run's rows differ in batch size."""
    points = points_of(material, material.ranked())
    if len({(one.batch, one.threads) for one in points}) < 2:
        yield Missing(KEY, TITLE, SAME if points else "No row that is ranked has a throughput.")
        return
    yield _figure("", points)


def over_threads(materials: Sequence[Material]) -> Iterator[Figure]:
    """Yield a figure for each model and host of which runs have different threads."""
    together: dict[tuple[Any, Any], list[Material]] = {}
    for one in materials:
        own = one.run.model.get("sha256"), one.run.host.get("host_id")
        together.setdefault(own, []).append(one)
    for (model, host), some in together.items():
        points: list[Point] = []
        for one in some if model and host else ():
            points += points_of(one, one.ranked(), with_threads=True)
        points.sort(key=lambda point: (point.place, point.threads or 0, point.batch))
        if len({point.threads for point in points}) > 1:
            names = {name: at for at, name in enumerate(dict.fromkeys(p.name for p in points))}
            placed = [_placed(point, names) for point in points]
            yield _figure("over threads", placed)


def _placed(point: Point, names: Mapping[str, int]) -> Point:
    own = {name: getattr(point, name) for name in point.__dataclass_fields__}
    return Point(**{**own, "place": names[point.name]})


def points_of(
    material: Material, cells: Sequence[CellResult], *, with_threads: bool = False
) -> list[Point]:
    """Return the rows that have both figures; ``with_threads`` in their names."""
    found = []
    for cell in cells:
        p50 = cell.latency_ns.percentiles.get("p50") if cell.latency_ns else None
        per_s, threads = cell.throughput_per_s, cell.threads.get("requested")
        if p50 and per_s and p50.value > 0 and per_s.value > 0:
            more = f", {threads or '?'} thr." if with_threads else ""
            name, place = f"{material.names[cell.id]}{more}", material.places[cell.id]
            label = f"{material.label(cell)}{more}"
            found.append(Point(name, place, label, cell.batch or 1, threads, p50, per_s))
    return found


def front(points: Sequence[Point]) -> frozenset[int]:
    """Return by place the points that none beats: by a shorter wait and by more, beyond doubt."""

    def beaten(one: Point) -> bool:
        return any(
            other.latency_ns.high < one.latency_ns.low
            and other.throughput_per_s.low > one.throughput_per_s.high
            for other in points
        )

    return frozenset(place for place, one in enumerate(points) if not beaten(one))


def _figure(setting: str, points: Sequence[Point]) -> Figure:
    best = front(points)
    rows = tuple(
        (
            one.label,
            f"{one.threads or '-'}",
            latency_text(one.latency_ns),
            rounded(one.throughput_per_s),
            "on it" if place in best else "beaten",
        )
        for place, one in enumerate(points)
    )
    header = ("row", "threads", "p50", "per s", "Pareto front")
    names = list(dict.fromkeys(one.name for one in points))[: look.SERIES]
    shown = [(one, place in best) for place, one in enumerate(points) if one.name in names]
    left_out = f"{len(points) - len(shown)} further rows are in the table."
    return Figure(
        key=KEY,
        title=TITLE,
        setting=setting,
        caption=_CAPTION,
        note=left_out if len(shown) < len(points) else "",
        table=Table(header, rows, frozenset(header[1:4])),
        draw=partial(_draw, shown),
    )


def _draw(points: Sequence[tuple[Point, bool]], width: int) -> Drawing:
    import altair as alt

    canvas = Canvas(width)
    unit, size = unit_of([one.latency_ns.value for one, _ in points])
    values: list[dict[str, Any]] = [
        {
            "row": one.name,
            "line": one.name,
            "x": one.latency_ns.value / size,
            "y": one.throughput_per_s.value,
            "batch": one.batch,
            "best": best,
        }
        for one, best in points
    ]
    styles = {one.name: one.place for one, _ in points}
    waits, rates = [one["x"] for one in values], [one["y"] for one in values]
    x_ends, y_ends = padded(min(waits), max(waits)), padded(min(rates), max(rates), 0.09)
    x = log_axis("x", f"median latency of a batch, {unit}", x_ends, width - AXIS_PX)
    y = log_axis("y", "inferences per second", y_ends, PLOT_PX, upright=True)
    colour = series(styles, "color", width)
    base = canvas.chart(values)
    joined = base.mark_line(strokeWidth=1.5).encode(
        x=x,
        y=y,
        **lines(styles),
        order=alt.Order("batch:Q"),
    )
    rings = (
        base.transform_filter("datum.best")
        .mark_point(filled=False, size=230, strokeWidth=1.5, color=look.STAND_IN["ink"])
        .encode(x=x, y=y)
    )
    marks = base.mark_point().encode(x=x, y=y, color=colour, shape=series(styles, "shape", width))
    sizes = base.mark_text(dx=10, dy=-10, align="left").encode(x=x, y=y, text=alt.Text("batch:N"))
    return canvas.fitted(apart(alt.layer(joined, rings, marks, sizes)), PLOT_PX)
