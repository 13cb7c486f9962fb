"""What rows cost besides time: memory by phase, and energy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from xbench.report.charts import look
from xbench.report.charts.canvas import ROW_PX, Canvas, legend, rows_axis
from xbench.report.charts.figure import MOST_ROWS, Drawing, Figure, Material, Missing, Table, fewer
from xbench.report.energy import ENERGY_HEADER, energy_missing, energy_rows, interval
from xbench.report.view import ABSENT
from xbench.result import CellResult
from xbench.units import format_bytes

MIB = 2**20
PARTS = ("interpreter and framework", "inputs", "model, steady", "model, at its peak")
"""What adds up to the most that a process held, in the order in which it comes to be there."""
PHASES = ("interpreter", "import", "inputs", "load", "first", "warm", "steady")
_MEMORY_CAPTION = (
    "Resident memory of the process that runs the model, by what it is for, in the order in which"
    " it comes to be there; the end of a bar is the most that it held from the loading of the"
    " model to the steady state. Medians over the launches."
)
_ENERGY_CAPTION = "Joules of one inference with the 95% interval; nothing is subtracted for idling."


def memory(material: Material) -> Iterator[Figure | Missing]:
    """Yield one figure for all rows that tell of their memory by phase."""
    key, title = "memory", "Memory by phase"
    told = [(cell, parts) for cell in material.ranked() if (parts := parts_of(cell.memory_bytes))]
    if not told:
        yield Missing(key, title, "No row that is ranked has its memory told by phase.")
        return
    shown = told[:MOST_ROWS]
    yield Figure(
        key=key,
        title=title,
        caption=_MEMORY_CAPTION,
        note=fewer(len(told), len(shown)),
        table=_memory_table(material, [cell for cell, _ in told]),
        draw=partial(_draw_memory, material, shown),
    )


def parts_of(told: Mapping[str, Any]) -> tuple[int, int, int, int] | None:
    """Return the bytes of each of `PARTS`, or None where a phase was not told.

    The last is what the model held at its peak beyond what stays: the parts add up to ``host``.
    """
    phases, model, host = told.get("phases"), told.get("model"), told.get("host")
    if not phases or not model or host is None or not all(model.values()):
        return None
    before, inputs = (phases.get("inputs") or {}).get("rss"), told.get("inputs")
    if before is None or not inputs:
        return None
    fed, resident = inputs["median"], max(0, model["resident"]["median"])
    steady = min(resident, max(0, host - before))
    return before - fed, fed, steady, max(0, host - before - steady)


def _memory_table(material: Material, cells: Sequence[CellResult]) -> Table:
    """Return resident memory at the end of each phase, and the peak that the bar ends at."""
    rows = []
    for cell in cells:
        phases = cell.memory_bytes["phases"]
        sizes = [phases.get(phase, {}).get("rss") for phase in PHASES]
        rows.append((material.label(cell), *map(_size, (*sizes, cell.memory_bytes["host"]))))
    header = ("row", *PHASES, "peak")
    return Table(header, tuple(rows), frozenset(header[1:]))


def _size(size_bytes: int | None) -> str:
    return ABSENT if size_bytes is None else format_bytes(size_bytes)


def _draw_memory(
    material: Material, told: Sequence[tuple[CellResult, tuple[int, ...]]], width: int
) -> Drawing:
    import altair as alt

    canvas = Canvas(width)
    values = [
        {"row": material.label(cell), "part": part, "place": place, "MiB": size / MIB}
        for cell, parts in told
        for place, (part, size) in enumerate(zip(PARTS, parts, strict=True))
    ]
    ramp = [look.STAND_IN[f"m{place}"] for place in range(len(PARTS))]
    scale = alt.Scale(domain=list(PARTS), range=ramp)
    bars = (
        canvas.chart(values)
        .mark_bar(stroke=look.STAND_IN["paper"], strokeWidth=1.5, height={"band": 0.72})
        .encode(
            x=alt.X("MiB:Q", stack="zero", title="MiB", axis=alt.Axis(tickCount=width // 90)),
            y=rows_axis([material.label(cell) for cell, _ in told], width),
            color=alt.Color("part:N", scale=scale, title=None, legend=legend(PARTS, width)),
            order=alt.Order("place:Q"),
        )
    )
    return canvas.fitted(bars, ROW_PX * len(told))


def energy(material: Material) -> Iterator[Figure | Missing]:
    """Yield one figure for all rows whose energy was measured."""
    key, title = "energy", "Energy per inference"
    told = [
        (cell, joules)
        for cell in material.ranked()
        if cell.energy and (joules := interval(cell.energy, "per_inference_j"))
    ]
    if not told:
        why = energy_missing(material.run) or "Nobody measured energy in this run."
        yield Missing(key, title, why[:1].upper() + why[1:])
        return
    shown = told[:MOST_ROWS]
    missing = energy_missing(material.run)
    values = [
        {"row": material.label(cell), "J": one.value, "low": max(one.low, 0.0), "high": one.high}
        for cell, one in shown
    ]
    rows = energy_rows(material.run)
    yield Figure(
        key=key,
        title=title,
        caption=_ENERGY_CAPTION,
        note=f"{fewer(len(told), len(shown))} {missing}".strip(),
        table=Table(("row", *ENERGY_HEADER[1:]), rows, frozenset(ENERGY_HEADER[1:4])),
        draw=partial(_draw_energy, values),
    )


def _draw_energy(values: list[dict[str, Any]], width: int) -> Drawing:
    import altair as alt

    canvas = Canvas(width)
    most = max(value["high"] for value in values)
    unit, size = next(
        (u for u in (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6)) if most >= u[1]), ("nJ", 1e-9)
    )
    scaled = [{**v, **{end: v[end] / size for end in ("J", "low", "high")}} for v in values]
    y = rows_axis([value["row"] for value in values], width)
    axis = alt.Axis(tickCount=width // 90)
    x = alt.X("J:Q", title=f"{unit} per inference", scale=alt.Scale(zero=True), axis=axis)
    base = canvas.chart(scaled)
    lines = base.mark_rule(strokeWidth=3, color=look.STAND_IN["s0"]).encode(
        x=alt.X("low:Q", title=f"{unit} per inference"), x2=alt.X2("high"), y=y
    )
    points = base.mark_point(size=90, color=look.STAND_IN["s0"]).encode(x=x, y=y)
    return canvas.fitted(alt.layer(lines, points), ROW_PX * len(values))
