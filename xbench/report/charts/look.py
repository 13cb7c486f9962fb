"""Colours, shapes and dashes; and the one configuration that every chart shares.

A chart is drawn once, in stand-in colours that no screen shows: `xbench.report.charts.drawing` puts
classes in their place, so that the page's style sheet decides about light, dark and paper. A
series is told by colour, shape and dash together, never by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SERIES = 8
"""Series that one chart can tell apart."""

_LIGHT_SERIES = (
    *("#0b5cad", "#b04a00", "#0f7a4a", "#8537b5"),
    *("#bb1f55", "#0a6b7d", "#7a5200", "#4b535c"),
)
_DARK_SERIES = (
    *("#74b8ff", "#ffa657", "#5fd69c", "#d3adff"),
    *("#ff93b5", "#62d4e3", "#e2c568", "#bcc4ce"),
)
_LIGHT_RAMP = ("#8793a3", "#5d7290", "#2f66ad", "#0a2f63")
_DARK_RAMP = ("#66748a", "#8397b2", "#8fbff5", "#dcebff")

LIGHT: Mapping[str, str] = {
    "ink": "#1a1d21",
    "muted": "#575f69",
    "grid": "#dfe3e8",
    "paper": "#ffffff",
    "good": "#0f7a4a",
    "bad": "#b3261e",
    "doubt": "#8a5a00",
    **{f"s{place}": colour for place, colour in enumerate(_LIGHT_SERIES)},
    **{f"m{place}": colour for place, colour in enumerate(_LIGHT_RAMP)},
}
DARK: Mapping[str, str] = {
    "ink": "#e8ebef",
    "muted": "#a5afbb",
    "grid": "#333a43",
    "paper": "#14171b",
    "good": "#5fd69c",
    "bad": "#ff8a80",
    "doubt": "#e9b949",
    **{f"s{place}": colour for place, colour in enumerate(_DARK_SERIES)},
    **{f"m{place}": colour for place, colour in enumerate(_DARK_RAMP)},
}

STAND_IN: Mapping[str, str] = {name: f"#0d0d{place:02x}" for place, name in enumerate(LIGHT)}
"""By its name, the colour that a chart is drawn in before the style sheet has its say."""

FONT = 'Arial, "Liberation Sans", Helvetica, sans-serif'
FONT_PX = 12.5

_SHAPES = (
    *("circle", "square", "triangle-up", "diamond", "cross"),
    *("triangle-down", "triangle-right", "triangle-left"),
)
_DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4), (4, 2, 1, 2, 1, 2))


def colour(series: int) -> str:
    """Return a series' stand-in colour."""
    return STAND_IN[f"s{series % SERIES}"]


def shape(series: int) -> str:
    """Return a series' shape; of series with one colour, each has another."""
    return _SHAPES[(series + series // SERIES) % len(_SHAPES)]


def dash(series: int) -> list[int]:
    """Return a series' dashes; of series with one colour, each has others."""
    return list(_DASHES[(series + series // SERIES) % len(_DASHES)])


def config() -> dict[str, Any]:
    """Return the configuration of every chart."""
    text = {"labelFontSize": FONT_PX, "titleFontSize": FONT_PX, "titleFontWeight": "normal"}
    inks = {"labelColor": STAND_IN["ink"], "titleColor": STAND_IN["muted"]}
    return {
        "font": "Arial",
        "background": None,
        "aria": False,
        "padding": 2,
        "view": {"stroke": None},
        "axis": {
            **text,
            **inks,
            "gridColor": STAND_IN["grid"],
            "domainColor": STAND_IN["muted"],
            "tickColor": STAND_IN["muted"],
            "labelLimit": 220,
            "titlePadding": 8,
        },
        "legend": {
            **text,
            **inks,
            "orient": "bottom",
            "direction": "horizontal",
            "labelLimit": 240,
            "symbolSize": 90,
            "symbolStrokeWidth": 2,
            "title": None,
            "columnPadding": 16,
            "rowPadding": 4,
        },
        "header": {**text, **inks, "title": None},
        "title": {"color": STAND_IN["ink"], "fontSize": FONT_PX, "anchor": "start"},
        "text": {"color": STAND_IN["ink"], "fontSize": 11.5},
        "rule": {"color": STAND_IN["muted"]},
        "point": {"filled": True, "size": 70, "opacity": 1},
        "line": {"strokeWidth": 2},
    }
