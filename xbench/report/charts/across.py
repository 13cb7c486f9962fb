"""Several runs beside each other: the median latency of each backend, run by run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from xbench.report.charts import look
from xbench.report.charts.canvas import ROW_PX, ROWS_SHARE, Canvas, log_axis, rows_axis, series
from xbench.report.charts.distribution import unit_of
from xbench.report.charts.figure import (
    MOST_ROWS,
    Drawing,
    Figure,
    Material,
    Missing,
    Table,
    best_first,
    drawable,
    fewer,
)
from xbench.report.charts.ticks import padded
from xbench.report.charts.tradeoff import over_threads
from xbench.report.numbers import latency_text
from xbench.report.text import shorten
from xbench.report.view import ABSENT
from xbench.result import CellResult, Interval

KEY = "across"
_CAPTION = (
    "Median latency, the line its bounds. Runs were not interleaved: other hosts, other settings"
    " and other hours are in what lies between them. `xbench diff` judges two runs of one host."
)
Row = tuple[int, Material, tuple[CellResult, ...]]


def across(materials: Sequence[Material]) -> Iterator[Figure | Missing]:
    """Yield a figure for each model that has several runs, and those over threads."""
    models: dict[str, list[tuple[int, Material]]] = {}
    for number, one in enumerate(materials, 1):
        models.setdefault(str(one.run.model.get("sha256")), []).append((number, one))
    for some in models.values():
        if len(some) > 1:
            yield from _by_run(some)
    yield from over_threads(materials)


def _by_run(some: Sequence[tuple[int, Material]]) -> Iterator[Figure]:
    """Yield the figure at the batch size that most of the runs have."""
    sizes = Counter(batch for _, one in some for batch, cells in one.batches() if _known(cells))
    if not sizes:
        return
    batch = sizes.most_common(1)[0][0]
    rows: list[Row] = []
    for number, one in some:
        cells = tuple(_known(dict(one.batches()).get(batch, ())))
        rows += [(number, one, cells)] if cells else []
    names = list(dict.fromkeys(one.names[c.id] for _, one, cells in rows for c in cells))
    shown, drawn = names[: look.SERIES], rows[:MOST_ROWS]
    model = shorten(some[0][1].run.model.get("name") or "the model", 40)
    size = f", batch {batch}" if batch else ""
    left_out = "" if len(shown) == len(names) else f" {len(shown)} of {len(names)} backends."
    yield Figure(
        key=KEY,
        title=f"Median latency of {model} by run{size}",
        caption=_CAPTION,
        note=f"{fewer(len(rows), len(drawn))}{left_out}".strip(),
        table=_table(rows, names),
        draw=partial(_draw, drawn, shown),
    )


def _known(cells: Sequence[CellResult]) -> list[CellResult]:
    """Return the cells with a median; that of a search is at a rate of its own."""
    return [cell for cell in best_first(cells) if _p50(cell) and not _searched(cell)]


def _searched(cell: CellResult) -> bool:
    return "search" in (cell.load or {})


def _p50(cell: CellResult) -> Interval | None:
    return cell.latency_ns.percentiles.get("p50") if cell.latency_ns else None


def _label(number: int, material: Material) -> str:
    devices = material.run.host.get("devices") or ()
    model = next((one.get("model") for one in devices if one.get("model")), None)
    return f"{number}. {drawable(model or material.run.host.get('host_id') or 'a host', 34)}"


def _table(rows: Sequence[Row], names: Sequence[str]) -> Table:
    lines = []
    for number, material, cells in rows:
        told = {material.names[cell.id]: _p50(cell) for cell in cells}
        texts = (latency_text(one) if (one := told.get(name)) else ABSENT for name in names)
        lines.append((_label(number, material), *texts))
    return Table(("run", *names), tuple(lines), frozenset(names))


def _draw(rows: Sequence[Row], names: Sequence[str], width: int) -> Drawing:
    import altair as alt

    canvas = Canvas(width)
    told = [
        (_label(number, material), material.names[cell.id], interval)
        for number, material, cells in rows
        for cell in cells
        if (interval := _p50(cell)) and material.names[cell.id] in names
    ]
    unit, size = unit_of([interval.value for _, _, interval in told])
    values: list[dict[str, Any]] = [
        {
            "run": run,
            "row": name,
            "x": one.value / size,
            "low": max(one.low, one.value / 10) / size,
            "high": one.high / size,
        }
        for run, name, one in told
    ]
    styles = {name: place for place, name in enumerate(names)}
    ends = padded(min(v["low"] for v in values), max(v["high"] for v in values))
    x = log_axis("x", f"median latency, {unit}", ends, ROWS_SHARE * width)
    y = rows_axis([_label(number, one) for number, one, _ in rows], width, "run")
    colour = series(styles, "color", width)
    base = canvas.chart(values)
    lines = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q"), x2=alt.X2("high"), y=y, color=colour
    )
    marks = base.mark_point().encode(
        x=x,
        y=y,
        color=colour,
        shape=series(styles, "shape", width),
    )
    return canvas.fitted(alt.layer(lines, marks), ROW_PX * len(rows))
