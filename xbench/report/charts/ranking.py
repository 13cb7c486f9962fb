"""The ranking: each row's speed against the baseline, with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from xbench.report.charts import look
from xbench.report.charts.canvas import ROW_PX, ROWS_SHARE, Canvas, log_axis, rows_axis
from xbench.report.charts.figure import (
    MOST_ROWS,
    Drawing,
    Figure,
    Material,
    Missing,
    Table,
    best_first,
    fewer,
    setting_of,
)
from xbench.report.charts.ticks import padded
from xbench.report.numbers import ratio_text
from xbench.result import CellResult, Comparison

KEY, TITLE = "ranking", "Speed against the baseline"
NO_RATIO = "Fewer than two rows were compared, so there is no ratio."
_MARKS = {
    "faster": ("triangle-right", "good"),
    "tie": ("circle", "muted"),
    "slower": ("triangle-left", "bad"),
    "undetermined": ("diamond", "doubt"),
    "baseline": ("square", "ink"),
}
_CAPTION = (
    "Each mark is a ratio of median latencies, baseline over row: to the right of 1 the row is"
    " faster. The line is its 95% interval. Where it crosses 1, nothing is known to differ."
)
_HEADER = ("row", "speed [95% interval]", "verdict")
_RATES_CAPTION = (
    "Each mark is a ratio of the largest rates that were found to hold, row over baseline: to the"
    " right of 1 the row holds more. The line reaches as far as the rates that were found to fail"
    " allow. Where it crosses 1, nothing is known to differ."
)
_RATES_HEADER = ("row", "rate [by what holds and fails]", "verdict")


def rankings(material: Material) -> Iterator[Figure | Missing]:
    """Yield a figure for each group that has a ratio."""
    groups = list(material.batches())
    searches = material.scenario.searches
    for batch, cells in groups:
        setting = setting_of(batch, len(groups) > 1)
        values = _values(material, cells)
        if len(values) < 2:
            yield Missing(KEY, TITLE, NO_RATIO, setting)
            continue
        rows = tuple((value["row"], value["text"], value["verdict"]) for value in values)
        shown = values[:MOST_ROWS]
        yield Figure(
            key=KEY,
            title=TITLE,
            setting=setting,
            caption=_RATES_CAPTION if searches else _CAPTION,
            note=fewer(len(values), len(shown)),
            table=Table(_RATES_HEADER if searches else _HEADER, rows),
            draw=partial(_draw, shown),
        )


def _values(material: Material, cells: Sequence[CellResult]) -> list[dict[str, Any]]:
    ranked = best_first(cells)
    against = _against_first(material, ranked)
    baseline = next(iter(against.values())).baseline_id if against else None
    found = []
    for cell in ranked:
        own = {"row": material.names[cell.id]}
        one = against.get(cell.id)
        if cell.id == baseline:
            found.append({**own, "ratio": 1.0, "low": 1.0, "high": 1.0, "verdict": "baseline"})
            found[-1]["text"] = "1"
        elif one and one.ratio and one.ratio.low > 0:
            bounds = {"ratio": one.ratio.value, "low": one.ratio.low, "high": one.ratio.high}
            told = {"verdict": one.verdict.value, "text": ratio_text(one.ratio)}
            found.append({**own, **bounds, **told})
    return found


def _against_first(material: Material, ranked: Sequence[CellResult]) -> dict[int, Comparison]:
    """Return by candidate the comparisons with the group's baseline."""
    ids = {cell.id for cell in ranked}
    inside = [
        one
        for one in material.run.comparisons
        if one.ratio and {one.baseline_id, one.candidate_id} <= ids
    ]
    return {one.candidate_id: one for one in inside if one.baseline_id == inside[0].baseline_id}


def _draw(values: list[dict[str, Any]], width: int) -> Drawing:
    import altair as alt

    canvas = Canvas(width)
    names = [str(value["row"]) for value in values]
    least, most = min(v["low"] for v in values), max(v["high"] for v in values)
    ends = padded(min(least, 0.95), max(most, 1.05))
    x = log_axis("ratio", "speed against the baseline", ends, ROWS_SHARE * width)
    y = rows_axis(names, width)
    kinds = [verdict for verdict in _MARKS if any(v["verdict"] == verdict for v in values)]
    shapes = alt.Scale(domain=kinds, range=[_MARKS[kind][0] for kind in kinds])
    colours = alt.Scale(domain=kinds, range=[look.STAND_IN[_MARKS[kind][1]] for kind in kinds])
    base = canvas.chart(values)
    one = canvas.chart([{"ratio": 1.0}]).mark_rule(strokeDash=[4, 3]).encode(x=x)
    lines = base.mark_rule(strokeWidth=3).encode(
        x=alt.X("low:Q"),
        x2=alt.X2("high"),
        y=y,
        color=alt.Color("verdict:N", scale=colours, legend=None),
    )
    points = base.mark_point(size=110).encode(
        x=x,
        y=y,
        color=alt.Color("verdict:N", scale=colours, title=None),
        shape=alt.Shape("verdict:N", scale=shapes, title=None),
    )
    return canvas.fitted(alt.layer(one, lines, points), ROW_PX * len(values))
