"""All charts of runs on one sheet, as SVG or PNG: to be put into a document or sent to someone."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

from xbench.errors import UsageError
from xbench.report.charts import look
from xbench.report.charts.drawing import SVG, png_of, raw_svg, tidied
from xbench.report.charts.figure import Figure, Material, Missing
from xbench.report.charts.plan import figures
from xbench.report.text import shorten
from xbench.report.verdict import verdicts

CHART_PX, GAP_PX, EDGE_PX = 540, 36, 24
MOST_CHARTS = 24  # on one sheet
_LONGEST_VERDICT = 900
_LINE_PX = 20


def svg(materials: Sequence[Material], only: str = "") -> str:
    """Return the sheet as SVG, light or dark as its reader asks.

    Args:
        materials: The runs.
        only: Only charts of this kind, or empty for every one.

    Raises:
        UsageError: If there is no such chart.
    """
    return ET.tostring(_sheet(materials, only, None), encoding="unicode")


def png(materials: Sequence[Material], only: str = "") -> bytes:
    """Return the sheet as PNG, light, at twice the size that it is read at; see `svg`."""
    return png_of(ET.tostring(_sheet(materials, only, look.LIGHT), encoding="unicode"))


def _sheet(
    materials: Sequence[Material], only: str, colours: Mapping[str, str] | None
) -> ET.Element:
    every = [one for material in materials for one in figures(material)]
    found = [one for one in every if isinstance(one, Figure) and only in ("", one.key)]
    if not found:
        raise _none(every, only)
    columns = 1 if len(found) == 1 else 2
    width = 2 * EDGE_PX + columns * CHART_PX + (columns - 1) * GAP_PX
    root = ET.Element(f"{{{SVG}}}svg", {"width": f"{width}", "font-family": look.FONT})
    if colours is None:
        ET.SubElement(root, f"{{{SVG}}}style").text = _style()
    ground = _paint(ET.SubElement(root, f"{{{SVG}}}rect", {"width": "100%"}), "paper", colours)
    bottom = EDGE_PX
    for line, bold in _heading(materials, width):
        bottom += _LINE_PX
        _text(root, EDGE_PX, bottom, line, bold, colours)
    depths = [bottom + GAP_PX] * columns
    for place, one in enumerate(found[:MOST_CHARTS]):
        column = depths.index(min(depths))
        left = EDGE_PX + column * (CHART_PX + GAP_PX)
        _text(root, left, depths[column], one.whole_title, True, colours)
        chart = tidied(raw_svg(one.draw(CHART_PX)), f"c{place}", colours)
        chart.set("x", f"{left}")
        chart.set("y", f"{depths[column] + 10}")
        root.append(chart)
        depths[column] += round(float(chart.get("height", "0"))) + 10 + GAP_PX
    height = max(depths)
    root.set("height", f"{height}")
    root.set("viewBox", f"0 0 {width} {height}")
    ground.set("height", f"{height}")
    return root


def _none(every: Sequence[Figure | Missing], only: str) -> UsageError:
    missing = [one for one in every if isinstance(one, Missing) and only in ("", one.key)]
    if missing:
        return UsageError(f"there is no chart to draw: {missing[0].why.rstrip('.')}", "")
    kinds = dict.fromkeys(one.key for one in every)
    return UsageError(f"there is no chart {only[:40]!r}", f"There are {', '.join(kinds)}")


def _heading(materials: Sequence[Material], width: int) -> Iterator[tuple[str, bool]]:
    """Yield the lines above the charts, and whether each is bold."""
    for material in materials:
        yield shorten(material.run.model.get("name") or "model", 80), True
        for verdict in verdicts(material.run):
            for line in wrap(shorten(verdict, _LONGEST_VERDICT), width // 7):
                yield line, False


def _text(
    root: ET.Element, x: int, y: int, text: str, bold: bool, colours: Mapping[str, str] | None
) -> None:
    own = {"x": f"{x}", "y": f"{y}", "font-size": "15" if bold else "13"}
    element = ET.SubElement(root, f"{{{SVG}}}text", own | ({"font-weight": "bold"} if bold else {}))
    _paint(element, "ink", colours).text = text


def _paint(element: ET.Element, name: str, colours: Mapping[str, str] | None) -> ET.Element:
    element.set(*(("class", f"f-{name}") if colours is None else ("fill", colours[name])))
    return element


def _style() -> str:
    """Return the rules of a sheet that follows its reader's wish for light or dark."""

    def rules(colours: Mapping[str, str]) -> str:
        return "".join(
            f".f-{name}{{fill:{colour}}}.s-{name}{{stroke:{colour}}}"
            for name, colour in colours.items()
        )

    dark = f"@media (prefers-color-scheme:dark){{{rules(look.DARK)}}}"
    return rules(look.LIGHT) + dark
