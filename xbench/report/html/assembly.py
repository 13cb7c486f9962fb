"""From documents and samples to the page; pure text, nothing is read or written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from xbench import __version__
from xbench.report.charts.across import across
from xbench.report.charts.figure import Figure, Material, Missing, Table
from xbench.report.charts.plan import figures
from xbench.report.conditions import conditions
from xbench.report.costs import HOST, CostTable, cost_tables
from xbench.report.energy import ENERGY_HEADER
from xbench.report.html.environment import differing, environment
from xbench.report.html.reproduce import of_row, of_run, versions
from xbench.report.html.template import LONGEST_NAME, source_hash, style_sheet, template
from xbench.report.recall import run_of
from xbench.report.roofline import ROOFLINE_HEADER
from xbench.report.text import clean, shorten
from xbench.report.verdict import verdicts
from xbench.report.view import apart, groups, named, shared_cautions
from xbench.result import Run
from xbench.samples import Samples

_CHARTED = {HOST[0], ENERGY_HEADER[0], ROOFLINE_HEADER[0]}
"""Tables of the terminal whose numbers stand behind a chart here."""
WIDE, NARROW, BETWEEN = 640, 340, 420  # pixels of a chart: on a desk, on a phone, and on both
MOST_LEADS = 3  # verdicts at the very top
MOST_FIGURES = 36  # drawn on one page; the tables behind all others are there all the same
MOST_TWICE = 20  # figures of a page on which some are drawn for wide and narrow screens apart


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with what was drawn of it."""

    id: str
    figure: Figure
    svg: Markup


@dataclass(frozen=True, slots=True)
class Kind:
    """Pictures of one kind, such as one for each batch size: they share a caption."""

    title: str
    caption: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """All that the page says of one run."""

    id: str
    title: str
    run: Run
    groups: tuple[Any, ...]
    kinds: tuple[Kind, ...]
    missing: tuple[tuple[str, str], ...]
    costs: tuple[Table, ...]
    conditions: tuple[tuple[str, str], ...]
    cautions: tuple[Any, ...]
    environment: list[tuple[str, str]]
    commands: Table
    whole: str
    install: str


def page(
    documents: Sequence[Mapping[str, Any]], samples: Sequence[Samples | None] | None = None
) -> str:
    """Return the report of runs as one HTML document.

    Args:
        documents: Of one run or several, as `xbench.archive.reading.read_document` returns them.
        samples: Those of each run, as `xbench.store.read_samples` returns them; None where they
            are not at hand, and then charts that need them are left out.

    Raises:
        UsageError: If a document has not the form of a result.
    """
    runs = [run_of(document) for document in documents]
    given = samples if samples is not None else [None] * len(runs)
    materials = [Material.of(run, own) for run, own in zip(runs, given, strict=True)]
    shared = list(across(materials)) if len(materials) > 1 else []
    own = [list(figures(material)) for material in materials]
    drawer = _Drawer(sum(isinstance(one, Figure) for some in (shared, *own) for one in some))
    together = _pictures("all", shared, drawer)[0]
    sections = [
        _section(place, material, _pictures(f"run{place}", some, drawer))
        for place, (material, some) in enumerate(zip(materials, own, strict=True), 1)
    ]
    style = style_sheet()
    text: str = template().render(
        style=Markup(style),  # noqa: S704 # our own file
        style_hash=source_hash(style),
        title=_title(runs),
        sections=sections,
        together=together,
        differing=differing(documents) if len(documents) > 1 else [],
        version=__version__,
        lead=_lead(runs),
    )
    return text


class _Drawer:
    """Draws figures until the page has enough: one of hundreds of rows is still made in seconds."""

    def __init__(self, figures: int) -> None:
        self._drawn = 0
        self._twice = figures <= MOST_TWICE

    def draw(self, figure: Figure, key: str, described: str, *, alone: bool) -> Markup:
        """Return the figure as it is drawn, or nothing where the page has enough.

        Args:
            figure: What to draw.
            key: Its identifier on the page.
            described: That of the figure whose caption describes it.
            alone: Whether it has the page's width for itself: then it is drawn once for a desk and
                once for a phone, unless the page has many. All others are small enough for both.
        """
        if self._drawn >= MOST_FIGURES:
            return Markup("")
        from xbench.report.charts.drawing import picture

        self._drawn += 1
        twice = alone and self._twice
        sizes = (("wide", WIDE), ("narrow", NARROW)) if twice else (("any", BETWEEN),)
        label = f"{key}-title {described}-caption"
        drawn = [picture(figure.draw(px), f"{key}-{kind[0]}", label, kind) for kind, px in sizes]
        return Markup("".join(drawn))  # noqa: S704 # elements, serialised by ElementTree


def _section(
    place: int, material: Material, drawn: tuple[tuple[Kind, ...], tuple[tuple[str, str], ...]]
) -> Section:
    run = material.run
    said = (  # what the heading above it says is not said again
        (group, verdict.removeprefix(f"{group.title}: "))
        for group, verdict in zip(groups(run), verdicts(run), strict=True)
    )
    return Section(
        id=f"run{place}",
        title=f"{clean(run.model.get('name') or 'model')} on {_host(run)}",
        run=run,
        groups=tuple(said),
        kinds=drawn[0],
        missing=drawn[1],
        costs=tuple(_cost(one) for one in cost_tables(run) if one.header[0] not in _CHARTED),
        conditions=(*_when(run), *conditions(run)),
        cautions=shared_cautions(run),
        environment=environment(run.host),
        commands=_commands(run),
        whole=of_run(run),
        install=versions(run),
    )


def _lead(runs: Sequence[Run]) -> list[str]:
    """Return what stands at the very top: the verdict, or the first of many."""
    if len(runs) > 1:
        return []
    every = verdicts(runs[0])
    if len(every) <= MOST_LEADS:
        return list(every)
    told = [one for one, group in zip(every, groups(runs[0]), strict=True) if group.rows]
    rest = f"Verdicts for {len(every)} batch sizes stand below, each above its ranking."
    return [*told[:1], rest]


def _pictures(
    key: str, found: Iterable[Figure | Missing], drawer: _Drawer
) -> tuple[tuple[Kind, ...], tuple[tuple[str, str], ...]]:
    """Return the figures with what was drawn of them, and those that there are not and why.

    The first of each kind is drawn before the second of any: none is for want of room left out
    whole.
    """
    every = list(found)
    figures = [one for one in every if isinstance(one, Figure)]
    ids = [f"{key}-fig{number}" for number in range(1, len(figures) + 1)]
    kinds: dict[tuple[str, str], list[int]] = {}
    for at, one in enumerate(figures):
        kinds.setdefault((one.title, one.caption), []).append(at)
    turns = sorted((turn, at) for own in kinds.values() for turn, at in enumerate(own))
    first = {at: ids[own[0]] for own in kinds.values() for at in own}
    alone = {own[0] for own in kinds.values() if len(own) == 1}
    drawn = {at: drawer.draw(figures[at], ids[at], first[at], alone=at in alone) for _, at in turns}
    whole = tuple(
        Kind(*words, tuple(Picture(ids[at], figures[at], drawn[at]) for at in own))
        for words, own in kinds.items()
    )
    return whole, _missing([one for one in every if isinstance(one, Missing)])


def _missing(every: Sequence[Missing]) -> tuple[tuple[str, str], ...]:
    """Return title and reason of what is missing, each reason once."""
    settings: dict[tuple[str, str], list[str]] = {}
    for one in every:
        settings.setdefault((one.title, one.why), []).append(one.setting)
    return tuple(
        (f"{title} ({', '.join(which)})" if any(which) else title, why)
        for (title, why), which in settings.items()
    )


def _cost(table: CostTable) -> Table:
    return Table(table.header, table.rows, frozenset(table.numbers))


def _commands(run: Run) -> Table:
    differ = apart(run)
    rows = tuple((named(cell, differ), of_row(run, cell)) for cell in run.results)
    return Table(("row", "command"), rows)


def _when(run: Run) -> tuple[tuple[str, str], ...]:
    began = f", began {clean(run.began)}" if run.began else ""
    return (("run", f"{clean(run.run_id)}{began}"),)


def _host(run: Run) -> str:
    used = {cell.device for cell in run.results if cell.latency_ns} or {"cpu"}
    models = [d.get("model") for d in run.host.get("devices") or () if d.get("name") in used]
    known = ", ".join(dict.fromkeys(clean(model) for model in models if model))
    return known or clean(run.host.get("host_id") or "an unknown host")


def _title(runs: Sequence[Run]) -> str:
    names = dict.fromkeys(shorten(run.model.get("name") or "model", LONGEST_NAME) for run in runs)
    some = list(names)[:3]
    return f"{', '.join(some)}{' and others' if len(names) > len(some) else ''}"
