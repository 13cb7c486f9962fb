"""The limits of a machine, and a model under them, as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xbench.report.roofline import rate_text
from xbench.report.terminal import drawn
from xbench.report.text import clean, sentence
from xbench.report.view import ABSENT
from xbench.units import format_bytes, format_ns, format_share

if TYPE_CHECKING:
    from xbench.roofline.ceilings import Ceiling
    from xbench.roofline.outlook import Outlook

_FLOOR = (
    "The floor is the least latency that these limits allow, whatever the backend: its operations"
    " at the FLOP/s, or the bytes that no cache can keep for the next inference at the bandwidth."
)


def render(found: Outlook, *, width: int = 80, colour: bool = False) -> str:
    """Return all that is worth reading, no line wider than ``width`` columns."""
    return drawn(_report(found), width=width, colour=colour)


def _report(found: Outlook) -> RenderableType:
    ceilings = found.ceilings
    threads = f"{ceilings.threads} thread{'' if ceilings.threads == 1 else 's'}"
    caches = ceilings.caches_bytes
    held = f"caches of {format_bytes(caches)}" if caches else "caches not told"
    head = f"{clean(found.machine or 'processor unknown')}: {ceilings.device}, {threads}, {held}"
    parts: list[RenderableType] = [Text(), Text(head), Text(), _limits(found)]
    if found.model is not None:
        parts += [Text(), Text(f"{clean(found.model)} under these limits", "bold"), Text()]
        parts += [_floors(found.floors), Text(), Text(_FLOOR, "dim")]
    return Group(*parts)


def _limits(found: Outlook) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("limit", no_wrap=True)
    table.add_column("at most", justify="right", no_wrap=True)
    table.add_column("spread", justify="right", no_wrap=True)
    table.add_column("ridge", justify="right", no_wrap=True)
    table.add_column("reached by", overflow="fold")
    bandwidth = found.ceilings.bandwidth
    table.add_row("memory", *_limit(bandwidth, "B/s", ""))
    for precision, one in found.ceilings.flops.items():
        both = one.per_s is not None and bandwidth.per_s is not None
        ridge = f"{(one.per_s or 0) / (bandwidth.per_s or 1):.3g} FLOP/B" if both else ABSENT
        table.add_row(Text(clean(precision)), *_limit(one, "FLOP/s", ridge))
    return table


def _limit(one: Ceiling, unit: str, ridge: str) -> tuple[Text, ...]:
    spread = ABSENT if one.spread is None else format_share(one.spread)
    how = clean(one.how) if one.how else f"not known: {sentence(one.reason)}"
    return tuple(map(Text, (rate_text(one.per_s, unit), spread, ridge, how)))


def _floors(floors: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("precision", no_wrap=True)
    for name in ("floor", "bound by", "FLOP/B", "unfused"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for precision, told in floors.items():
        if told["bound"] is None:
            why = Text(sentence(told["reason"]))
            table.add_row(Text(clean(precision)), *[ABSENT] * 4, why)
            continue
        intensity, unfused = told["intensity"], told["unfused"]
        cells = (
            format_ns(told["floor_ns"]),
            told["bound"],
            "in caches" if intensity is None else f"{intensity:.3g}",
            unfused["bound"] if unfused else ABSENT,
        )
        table.add_row(Text(clean(precision)), *cells, "")
    return table
