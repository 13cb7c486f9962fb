"""Rows beside the limits of their machine (the roofline), and beside the reference (parity)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from xbench.parity import TOLERANCE
from xbench.report.charts import look
from xbench.report.charts.canvas import AXIS_PX, ROW_PX, Canvas, log_axis, rows_axis, series
from xbench.report.charts.figure import MOST_ROWS, Drawing, Figure, Material, Missing, Table, fewer
from xbench.report.roofline import (
    ROOFLINE_HEADER,
    roofline_limits,
    roofline_missing,
    roofline_rows,
)
from xbench.report.text import clean, sentence
from xbench.report.view import ABSENT
from xbench.result import CellResult

NARROW_PX = 500
PLOT_PX = 280
EDGE = 1.3  # how far the axis goes on beyond what is at its edge
EXACT = 1e-9
"""Differences below this are drawn here: a logarithm has no place for none at all."""
_ROOF_CAPTION = (
    "The roof is what this machine was seen to reach: on its slope memory binds, on its flat part"
    " arithmetic does. A row lies at the FLOP/s that it reached, and its line spans what its"
    " operations per byte may be: from the hollow mark, with nothing fused and no cache, to the"
    " full one, where only what caches cannot keep is fetched anew (at the edge: nothing is)."
)
_PARITY_CAPTION = (
    "The largest difference between a row's outputs and the reference's, as a share of the"
    " reference's largest value; the upright bar is what is tolerated at the row's precision."
    " Differences below 1e-9 are drawn at 1e-9."
)
Mapped = dict[str, Any]


def roofline(material: Material) -> Iterator[Figure | Missing]:
    """Yield one figure for all rows that have a floor."""
    key, title = "roofline", "Roofline"
    told = [(cell, roof) for cell in material.ranked() if (roof := _roof(cell))]
    if not told:
        why = roofline_missing(material.run) or "The roofline was not asked for in this run."
        yield Missing(key, title, why)
        return
    names = list(dict.fromkeys(material.names[cell.id] for cell, _ in told))[: look.SERIES]
    shown = [(cell, roof) for cell, roof in told if material.names[cell.id] in names]
    limits = sentence(roofline_limits(material.run))
    yield Figure(
        key=key,
        title=title,
        caption=_ROOF_CAPTION,
        note=f"{fewer(len(told), len(shown))} The limits: {limits}".strip(),
        table=Table(
            ("row", *ROOFLINE_HEADER[1:]),
            roofline_rows(material.run),
            frozenset(ROOFLINE_HEADER[1:4]),
        ),
        draw=partial(_draw_roof, material, shown),
    )


def _roof(cell: CellResult) -> Mapping[str, Any] | None:
    """Return a row's roofline where it can be drawn."""
    told = cell.roofline
    needed = ("flops_per_s", "peak_flops_per_s", "bandwidth_bytes_per_s", "bound")
    return told if told and all(told.get(name) for name in needed) else None


def _draw_roof(
    material: Material, told: Sequence[tuple[CellResult, Mapping[str, Any]]], width: int
) -> Drawing:
    import altair as alt

    canvas = Canvas(width)
    low, high = _intensities([roof for _, roof in told])
    values = [_placed(material, cell, roof, (low, high)) for cell, roof in told]
    roofs = [
        point
        for limits in sorted({_limits(roof) for _, roof in told})
        for point in _roof_line(*limits, low, high)
    ]
    floor = min(min(v["y"] for v in values), *(point["y"] for point in roofs)) * 0.7
    top = max(max(v["y"] for v in values), *(point["y"] for point in roofs)) * 1.6
    styles = material.styles([cell for cell, _ in told])
    x = log_axis("x", "FLOP per byte of memory traffic", (low, high * EDGE), width - AXIS_PX)
    y = log_axis("y", "FLOP/s", (floor, top), PLOT_PX, upright=True)
    colour = series(styles, "color", width)
    roof_lines = (
        canvas.chart(roofs)
        .mark_line(strokeWidth=2, color=look.STAND_IN["ink"])
        .encode(x=x, y=y, detail=alt.Detail("roof:N"), order=alt.Order("x:Q"))
    )
    base = canvas.chart(values)
    spans = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("least:Q"), x2=alt.X2("x"), y=y, color=colour
    )
    shape = series(styles, "shape", width)
    ends = base.mark_point(filled=False, size=40).encode(
        x=alt.X("least:Q"), y=y, color=colour, shape=shape
    )
    marks = base.mark_point().encode(x=x, y=y, color=colour, shape=shape)
    return canvas.fitted(alt.layer(roof_lines, spans, ends, marks), PLOT_PX)


def _intensities(roofs: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return the bounds of the axis, in FLOP per byte: around ridges and rows."""
    known = [
        one
        for roof in roofs
        for one in (roof["intensity"], (roof["unfused"] or {}).get("intensity"), _ridge(roof))
        if one
    ]
    return min(known) / 3, max(known) * 4


def _ridge(roof: Mapping[str, Any]) -> float:
    return float(roof["peak_flops_per_s"] / roof["bandwidth_bytes_per_s"])


def _limits(roof: Mapping[str, Any]) -> tuple[str, float, float]:
    own = clean(roof["precision"])
    return own, float(roof["peak_flops_per_s"]), float(roof["bandwidth_bytes_per_s"])


def _placed(
    material: Material, cell: CellResult, roof: Mapping[str, Any], ends: tuple[float, float]
) -> Mapped:
    most = roof["intensity"] or ends[1]
    least = (roof["unfused"] or {}).get("intensity") or most
    name = material.names[cell.id]
    return {"row": name, "x": most, "least": least, "y": roof["flops_per_s"]}


def _roof_line(name: str, peak: float, bandwidth: float, low: float, high: float) -> list[Mapped]:
    ridge = peak / bandwidth
    places = ((low, low * bandwidth), (ridge, peak), (high * EDGE, peak))
    return [{"roof": f"{name} {peak} {bandwidth}", "x": x, "y": y} for x, y in places]


def parity(material: Material) -> Iterator[Figure | Missing]:
    """Yield one figure for all rows whose outputs were compared."""
    key, title = "parity", "Agreement of the outputs, and precision"
    every = [cell for cell in material.run.results if cell.latency_ns]
    compared = [cell for cell in every if cell.parity.max_rel is not None]
    if not compared:
        yield Missing(key, title, "No row's outputs were compared with a reference.")
        return
    shown = compared[:MOST_ROWS]
    yield Figure(
        key=key,
        title=title,
        caption=_PARITY_CAPTION,
        note=fewer(len(compared), len(shown)),
        table=_parity_table(material, every),
        draw=partial(_draw_parity, material, shown),
    )


def _parity_table(material: Material, cells: Sequence[CellResult]) -> Table:
    header = (
        *("row", "outputs", "asked for", "computed in", "largest difference", "cosine"),
        *("worst output", "reference"),
    )
    rows = []
    for cell in cells:
        own, precision = cell.parity, cell.precision
        rows.append(
            (
                material.label(cell),
                clean(own.status).replace("_", " "),
                clean(precision.get("requested") or ABSENT),
                clean(precision.get("effective") or "not told"),
                ABSENT if own.max_rel is None else f"{own.max_rel:.2g}",
                ABSENT if own.cosine is None else f"{own.cosine:.6f}",
                clean(own.worst_output or ABSENT),
                clean(own.reference or ABSENT),
            )
        )
    return Table(header, tuple(rows), frozenset(("largest difference", "cosine")))


def _draw_parity(material: Material, cells: Sequence[CellResult], width: int) -> Drawing:
    import altair as alt

    canvas = Canvas(width)
    values: list[Mapped] = [
        {
            "row": material.label(cell),
            "x": max(EXACT, cell.parity.max_rel or 0.0),
            "tolerance": TOLERANCE.get(cell.precision.get("requested") or "", None),
            "outputs": "differ" if cell.parity.status == "disagrees" else "agree",
        }
        for cell in cells
    ]
    most = max(1.0, *(value["x"] for value in values))
    scale = alt.Scale(type="log", domain=[EXACT / 2, most * 2], nice=False)
    ticks = [10.0**power for power in range(-9, 1, 3 if width < NARROW_PX else 1)]
    axis = alt.Axis(values=ticks, format=".0e", labelOverlap=False)
    y = rows_axis([value["row"] for value in values], width)
    title = "largest difference, as a share"
    looks = {"agree": ("circle", "good"), "differ": ("cross", "bad")}
    kinds = [kind for kind in looks if any(value["outputs"] == kind for value in values)]
    shapes = alt.Scale(domain=kinds, range=[looks[kind][0] for kind in kinds])
    colours = alt.Scale(domain=kinds, range=[look.STAND_IN[looks[kind][1]] for kind in kinds])
    base = canvas.chart(values)
    tolerated = base.mark_tick(thickness=3, color=look.STAND_IN["ink"]).encode(
        x=alt.X("tolerance:Q", scale=scale, title=title, axis=axis), y=y
    )
    points = base.mark_point(size=80).encode(
        x=alt.X("x:Q", scale=scale, title=title, axis=axis),
        y=y,
        color=alt.Color("outputs:N", scale=colours, title=None),
        shape=alt.Shape("outputs:N", scale=shapes, title=None),
    )
    return canvas.fitted(alt.layer(tolerated, points), ROW_PX * len(values))
