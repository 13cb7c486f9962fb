"""From a chart to SVG that a page's style sheet colours, or to a PNG; without a browser.

vl-convert draws by Vega itself. What it wrote is read as XML and written anew: stand-in colours
become classes, and what a strict content policy or another figure on the page would mind, styles
in attributes and identifiers, is taken out or made unique.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from xbench.report.charts import look
from xbench.report.charts.figure import Drawing

SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_NAMES: Mapping[str, str] = {colour: name for name, colour in look.STAND_IN.items()}
_DROPPED = (
    *("style", "class", "font-family", "role", "aria-roledescription", "aria-label"),
    *("aria-hidden", "version", "pointer-events", "stroke-miterlimit"),
)
_REFERENCE = re.compile(r"url\(#(.+)\)")
_WITH_DIGITS = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
ET.register_namespace("", SVG)


def raw_svg(drawing: Drawing) -> str:
    """Return a drawing as Vega makes it, in stand-in colours."""
    import altair as alt
    import vl_convert

    version = alt.SCHEMA_VERSION.removeprefix("v").rsplit(".", 1)[0]
    told = drawing.chart.to_dict(validate=False)  # the tests check it; readers need not wait
    spec = {**told, "datasets": drawing.sets, "config": look.config()}
    return vl_convert.vegalite_to_svg(spec, vl_version=version, allowed_base_urls=[])


def png_of(svg: str, scale: float = 2.0) -> bytes:
    """Return an SVG with plain colours as a PNG."""
    import vl_convert

    return vl_convert.svg_to_png(svg, scale=scale)


def picture(drawing: Drawing, key: str, labelled_by: str, kind: str) -> str:
    """Return a drawing as an ``svg`` element for a page.

    Args:
        drawing: Of a chart at a width.
        key: Of this picture alone: it begins every identifier.
        labelled_by: Identifiers of what names and describes it on the page.
        kind: The class of the element.
    """
    root = tidied(raw_svg(drawing), key)
    width, height = root.get("width", "0"), root.get("height", "0")
    root.attrib.pop("height", None)
    root.set("viewBox", root.get("viewBox") or f"0 0 {width} {height}")
    root.set("class", f"chart {kind}")
    root.set("role", "img")
    root.set("aria-labelledby", labelled_by)
    root.set("focusable", "false")
    return ET.tostring(root, encoding="unicode")


def tidied(svg: str, key: str, colours: Mapping[str, str] | None = None) -> ET.Element:
    """Return a chart's element with classes for colours and identifiers that begin with ``key``.

    Args:
        svg: As Vega wrote it.
        key: Of this picture alone on its page.
        colours: By name, what to paint with instead of classes: for readers without style sheets.
    """
    root = ET.fromstring(svg)  # noqa: S314 # Vega wrote it a moment ago
    _prune(root)
    own = (element.get("id") for element in root.iter())
    names = {one: f"{key}-{number}" for number, one in enumerate(filter(None, own))}
    for element in root.iter():
        for name in _DROPPED:
            element.attrib.pop(name, None)
        _colour(element, colours)
        _identify(element, names)
        for name in ("d", "transform", "x", "y", "x2", "y2", "width", "height"):
            if value := element.get(name):
                element.set(name, _WITH_DIGITS.sub(_shortened, value))
    return root


def _prune(root: ET.Element) -> None:
    """Take out what is never seen."""
    for parent in root.iter():
        for child in list(parent):
            if child.get("display") == "none" or child.get("d") == "":
                parent.remove(child)


def _shortened(match: re.Match[str]) -> str:
    return f"{float(match[0]):.1f}".removesuffix(".0")


def _colour(element: ET.Element, colours: Mapping[str, str] | None) -> None:
    classes = []
    for name, letter in (("fill", "f"), ("stroke", "s")):
        known = _NAMES.get(element.get(name, ""))
        if known and colours is not None:
            element.set(name, colours[known])
        elif known:
            classes.append(f"{letter}-{known}")
            del element.attrib[name]
    if classes:
        element.set("class", " ".join(classes))


def _identify(element: ET.Element, names: Mapping[str, str]) -> None:
    """Put names of this page's own in the place of Vega's, which count all that was ever drawn."""
    for name, value in element.attrib.items():
        if name == "id":
            element.set(name, names[value])
        elif name == _LINK:
            element.set(name, f"#{names[value.removeprefix('#')]}")
        elif found := _REFERENCE.fullmatch(value):
            element.set(name, f"url(#{names[found[1]]})")
