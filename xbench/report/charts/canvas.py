"""A chart in the making, and the axes and series that charts share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xbench.report.charts import look
from xbench.report.charts.figure import Drawing
from xbench.report.charts.ticks import HEIGHT_PX, ROOM_PX, log_ticks

ROW_PX = 26
LEGEND_PX = 40  # of a legend's entry, beside its name
CHARACTER_PX = 6.6
AXIS_PX = 90  # beside the plot: a legend begins where the plot does
ROWS_SHARE = 0.7  # of a chart's width: about what names of rows leave
LABEL_SHARE = 0.4  # of a chart's width: the most that names of rows may take


def series(styles: Mapping[str, int], channel: str, width: int) -> Any:
    """Return the encoding of a chart's rows by ``color`` or ``shape``, with one legend of both.

    Args:
        styles: The place of each row, by its name.
        channel: Of the two.
        width: Of the chart.
    """
    import altair as alt

    names, places = list(styles), list(styles.values())
    if channel == "shape":
        shapes = alt.Scale(domain=names, range=[look.shape(place) for place in places])
        return alt.Shape("row:N", scale=shapes, title=None, legend=legend(names, width))
    colours = alt.Scale(domain=names, range=[look.colour(place) for place in places])
    return alt.Color("row:N", scale=colours, title=None, legend=legend(names, width))


def lines(styles: Mapping[str, int]) -> dict[str, Any]:
    """Return the encodings of lines by colour and dash; the rows' name is their field ``line``.

    They are in no legend: its marks are those of the points, and dashes around them would make
    them hard to tell. See `apart`.
    """
    import altair as alt

    names, places = list(styles), list(styles.values())
    colours = alt.Scale(domain=names, range=[look.colour(place) for place in places])
    dashes = alt.Scale(domain=names, range=[look.dash(place) for place in places])
    return {
        "stroke": alt.Stroke("line:N", scale=colours, legend=None),
        "strokeDash": alt.StrokeDash("line:N", scale=dashes, legend=None),
    }


def apart(layers: Any) -> Any:
    """Return layers of which `lines` keep no other's rows out of the legend."""
    return layers.resolve_legend(stroke="independent", strokeDash="independent")


def legend(names: Sequence[str], width: int) -> Any:
    """Return a legend that breaks its line before it is wider than the chart."""
    import altair as alt

    entry = LEGEND_PX + CHARACTER_PX * max(map(len, names))
    columns = max(1, min(len(names), int((width - AXIS_PX) // entry)))
    return alt.Legend(columns=columns, labelLimit=width - LEGEND_PX)


def rows_axis(names: Sequence[str], width: int, field: str = "row") -> Any:
    """Return the vertical axis of a chart with a line a row, in the order given."""
    import altair as alt

    axis = alt.Axis(grid=True, ticks=False, domain=False, labelLimit=round(LABEL_SHARE * width))
    return alt.Y(f"{field}:N", sort=list(names), title=None, axis=axis)


def log_axis(
    field: str, title: str, ends: tuple[float, float], length_px: float, *, upright: bool = False
) -> Any:
    """Return a logarithmic axis between two ends, with labels that have room.

    Args:
        field: What it shows.
        title: What that is, with its unit.
        ends: The values at its ends, above 0.
        length_px: About as long as it is.
        upright: Whether it is the vertical one.
    """
    import altair as alt

    ticks = log_ticks(*ends, length_px, HEIGHT_PX if upright else ROOM_PX)
    axis = alt.Axis(values=ticks, format="~s" if upright else "~g", labelOverlap=False)
    scale = alt.Scale(type="log", domain=list(ends), nice=False)
    return (alt.Y if upright else alt.X)(f"{field}:Q", scale=scale, title=title, axis=axis)


class Canvas:
    """A chart in the making: how wide it is, and the values of its layers.

    The values are kept apart from the chart, for altair copies and checks all that it is given.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._sets: dict[str, list[dict[str, Any]]] = {}

    def chart(self, values: list[dict[str, Any]]) -> Any:
        """Return a chart on these rows."""
        import altair as alt

        return alt.Chart(self.named(values))

    def named(self, values: list[dict[str, Any]]) -> Any:
        """Return the name by which a chart refers to these rows."""
        import altair as alt

        name = f"d{len(self._sets)}"
        self._sets[name] = values
        return alt.NamedData(name=name)

    def fitted(self, chart: Any, height: int) -> Drawing:
        """Return a drawing as wide as the canvas, labels included; they come on top of height."""
        import altair as alt

        fit = alt.AutoSizeParams(type="fit-x", contains="padding")
        sized = chart.properties(width=self.width, height=height, autosize=fit)
        return self.finished(sized)

    def finished(self, chart: Any) -> Drawing:
        """Return a drawing of a chart that knows its size."""
        return Drawing(chart, dict(self._sets))
