"""The pages that only a served store has: the list of its runs, and a word where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from xbench import __version__
from xbench.archive.entries import CellEntry, RunEntry
from xbench.archive.findings import Finding
from xbench.archive.index import Index
from xbench.archive.query import Query, parse_moment
from xbench.errors import UsageError
from xbench.report.html.template import source_hash, style_sheet
from xbench.report.numbers import latency_text
from xbench.report.text import clean, sentence, shorten

ON_A_PAGE = 100
LONGEST_NAME, LONGEST_TEXT = 60, 600
MOST_FIRST, MOST_FINDINGS = 3, 50
FIELDS = (
    ("model", "Model", "resnet"),
    ("backend", "Backend", "openvino,pytorch"),
    ("host", "Host", "id or CPU"),
    ("status", "Status", "ok, crashed, damaged"),
    ("since", "Since", "7d or 2026-01-31"),
)
_REPORT_BAR = "<span>xbench report</span>"


@dataclass(frozen=True, slots=True)
class Line:
    """A run as a line of the list, each part as it is read."""

    folder: str
    link: str
    model: str
    began: str
    host: str
    host_id: str
    first: tuple[Mapping[str, str], ...]
    ok: int
    cells: int
    state: str


def policy() -> str:
    """Return the content policy of every page: its style, this server's forms, nothing else."""
    own = " ".join(f"'{source_hash(style)}'" for style in (style_sheet(), _style()))
    return (
        f"default-src 'none'; style-src {own}; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )


def store_page(index: Index, asked: Mapping[str, str]) -> str:
    """Return the list of the runs that are asked for.

    Args:
        index: Of the store.
        asked: The fields of the page's form, and ``page``, from 1.

    Raises:
        UsageError: If a field cannot be understood.
    """
    query = _query(asked)
    runs = index.runs(query)
    page = _page(asked)
    shown = runs[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]
    more = page * ON_A_PAGE < len(runs)
    own = {name: asked.get(name, "") for name, _, _ in FIELDS}
    findings = index.findings[:MOST_FINDINGS]
    return _rendered(
        title=f"Runs in {clean(index.root.resolve().name)}",
        back=False,
        message="",
        fields=[
            {"name": name, "label": label, "example": example, "value": own[name]}
            for name, label, example in FIELDS
        ],
        runs=_lines(shown, index.cells_of([run.folder for run in shown])),
        count=_count(len(shown), len(runs)),
        more=f"/?{urlencode({**own, 'page': page + 1})}" if more else "",
        findings=[_finding(one) for one in findings],
    )


def message_page(title: str, message: str) -> str:
    """Return a page that says one thing."""
    return _rendered(title=title, back=True, message=shorten(message, LONGEST_TEXT))


def served(report: str) -> str:
    """Return a report's page with the way back to the list."""
    return report.replace(_REPORT_BAR, '<span><a href="/">All runs</a></span>', 1)


def _query(asked: Mapping[str, str]) -> Query:
    model, backend, host, status, since = (asked.get(name, "").strip() for name, _, _ in FIELDS)
    began = parse_moment(since) if since else ""
    return Query(model=model, backend=backend, host=host, status=status, since=began)


def _page(asked: Mapping[str, str]) -> int:
    text = asked.get("page", "1")
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 7 and int(text)):
        raise UsageError(f"{text[:20]!r} is no page", "Go back to the list")
    return int(text)


def _lines(runs: Sequence[RunEntry], cells: Iterable[CellEntry]) -> list[Line]:
    first: dict[object, list[CellEntry]] = {}
    for cell in cells:
        if cell.rank == 1 and cell.p50_ns:
            first.setdefault(cell.folder, []).append(cell)
    return [_line(run, first.get(run.folder, [])) for run in runs]


def _line(run: RunEntry, first: Sequence[CellEntry]) -> Line:
    best = [{"name": cell.label, "told": _told(cell, len(first))} for cell in first if cell.p50_ns]
    return Line(
        folder=run.folder.name,
        link=f"/run/{quote(run.folder.name, safe='')}",
        model=run.model or "not known",
        began=clean(run.began)[:16].replace("T", " "),
        host=run.host or "not known",
        host_id=run.host_id or "",
        first=tuple(best[:MOST_FIRST]),
        ok=run.ok,
        cells=run.cells,
        state=run.state,
    )


def _told(cell: CellEntry, of: int) -> str:
    """Return how fast the first of its batch size is, and which size where there are several."""
    batch = f", batch {cell.batch}" if of > 1 and cell.batch else ""
    return f"{latency_text(cell.p50_ns)}{batch}" if cell.p50_ns else ""


def _count(shown: int, matching: int) -> str:
    if shown == matching:
        return f"{matching:,} run{'s' * (matching != 1)}."
    return f"{shown:,} of {matching:,} runs."


def _finding(one: Finding) -> dict[str, str]:
    where = f"{one.folder.name}/{one.file}" if one.file else one.folder.name
    what, fix = (shorten(sentence(text), LONGEST_TEXT) for text in (one.what, one.fix))
    return {"where": where, "what": what, "fix": fix}


def _rendered(**told: Any) -> str:
    style = Markup(_style())  # noqa: S704 # our own files
    return str(_template().render(style=style, version=__version__, **told))


@cache
def _template() -> Any:
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["name"] = _name
    return environment.get_template("store.html")


@cache
def _style() -> str:
    return style_sheet() + _source("store.css")


def _source(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _name(text: object) -> Markup:
    """Return a name from outside, isolated so that its direction touches nothing around it."""
    return Markup("<bdi>{}</bdi>").format(shorten(text, LONGEST_NAME))
