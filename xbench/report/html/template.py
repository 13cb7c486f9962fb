"""The template with its style sheet, and how texts from outside are put into it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from xbench.report.charts.look import DARK, LIGHT
from xbench.report.text import sentence, shorten

LONGEST_NAME, LONGEST_TEXT, LONGEST_COMMAND = 60, 600, 2000
LONGEST_VERDICT = 6000
_OPTION = re.compile(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*")


@cache
def template() -> Any:
    """Return the page's template; jinja escapes whatever is put into it."""
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(name=_name, told=_told, command=_command, sentence=sentence)
    environment.filters.update(verdict=_verdict)
    return environment.get_template("report.html")


def _source(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")


@cache
def style_sheet() -> str:
    """Return the style sheet with the colours of charts, light and dark."""
    rules = "".join(
        f".f-{name}{{fill:var(--{name})}}.s-{name}{{stroke:var(--{name})}}\n" for name in LIGHT
    )
    light, dark = (_variables(colours) for colours in (LIGHT, DARK))
    sheet = _source("report.css").replace("/*light*/", light).replace("/*dark*/", dark)
    return f"\n{sheet}{rules}"


def _variables(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def source_hash(text: str) -> str:
    """Return what a content policy allows exactly this text by."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"


def _name(text: object) -> Markup:
    """Return a name from outside, isolated so that its direction touches nothing around it."""
    return _isolated(text, LONGEST_NAME, "")


def _told(text: object) -> Markup:
    """Return a text from outside, isolated and no longer than a paragraph."""
    return _isolated(text, LONGEST_TEXT)


def _verdict(text: object) -> Markup:
    """Return a verdict, its first clause marked; whole unless there are hundreds of rows."""
    first, mark, rest = shorten(text, LONGEST_VERDICT).partition("; ")
    if not mark:
        return _isolated(first, LONGEST_VERDICT)
    head, tail = _isolated(first, LONGEST_VERDICT), _isolated(rest, LONGEST_VERDICT)
    return Markup("<strong>{}</strong>; {}").format(head, tail)


def _isolated(text: object, most: int, direction: str = "ltr") -> Markup:
    """Return a text, escaped and shortened; a sentence has a direction, a name finds its own."""
    whole = shorten(text, max(most, LONGEST_TEXT))
    if whole.isascii() and len(whole) <= most:
        return _unbroken(whole)  # it has one direction, and touches nothing
    short = shorten(whole, most)
    title = Markup(' title="{}"').format(whole) if short != whole else ""
    way = Markup(' dir="{}"').format(direction) if direction else ""
    return Markup("<bdi{}{}>{}</bdi>").format(way, title, _unbroken(short))


def _unbroken(text: str) -> Markup:
    """Return a text, escaped, whose options are not broken at their hyphens."""
    whole = _OPTION.sub(r'<span class="option">\g<0></span>', str(escape(text)))
    return Markup(whole)  # noqa: S704 # escaped the line before


def _command(text: str) -> Markup:
    """Return a command as code that reads from left to right."""
    return Markup('<code dir="ltr">{}</code>').format(shorten(text, LONGEST_COMMAND))
