"""What is said of a run's rows beside the limits of the machine, before anyone draws it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from xbench.report.text import clean, sentence
from xbench.report.view import ABSENT, apart, named
from xbench.roofline.row import OFF
from xbench.units import format_ns, format_share

if TYPE_CHECKING:
    from xbench.result import CellResult, Run

ROOFLINE_HEADER = ("roofline", "FLOP/s", "of limit", "floor", "bound by", "unfused")
"""What a row computed; floor over latency; the least latency that the limits allow; which limit
makes it; and which one would with nothing fused and no cache."""

_PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def roofline_rows(run: Run) -> tuple[tuple[str, ...], ...]:
    """Return the texts under `ROOFLINE_HEADER` for each ranked row that has a floor."""
    differ = apart(run)
    return tuple(_row(cell, told, differ) for cell, told in _told(run) if told["bound"])


def roofline_conditions(run: Run) -> str:
    """Return the limits, and why rows have no share, as one text; empty if nothing was asked."""
    return " ".join(filter(None, (sentence(roofline_limits(run)), roofline_missing(run))))


def roofline_limits(run: Run) -> str:
    """Return the limits that the rows are put beside, and what reached them; empty if none.

    Such as ``fp32 92.1 GFLOP/s (numpy 2048x2048), memory 30.8 GB/s (read), at 2 threads``.
    """
    said: dict[str, list[str]] = {}
    for cell, told in _told(run):
        if not told["bound"]:
            continue
        threads = cell.threads["requested"]
        at = f"at {threads} thread{'' if threads == 1 else 's'}"
        by = told["reached_by"]
        peak = rate_text(told["peak_flops_per_s"], "FLOP/s")
        bandwidth = rate_text(told["bandwidth_bytes_per_s"], "B/s")
        limits = said.setdefault(at, [f"memory {bandwidth} ({clean(by['bandwidth'])})"])
        limits.append(f"{clean(told['precision'])} {peak} ({clean(by['flops'])})")
    return "; ".join(
        f"{', '.join(dict.fromkeys((*limits[1:], limits[0])))}, {at}" for at, limits in said.items()
    )


def roofline_missing(run: Run) -> str:
    """Return why ranked rows have no share; empty where all have one.

    Where every row says the same, no row is named.
    """
    every = list(_told(run))
    whose: dict[str, list[str]] = {}
    for cell, told in every:
        if told["share"] is None:
            whose.setdefault(sentence(clean(told["reason"] or "")), []).append(clean(cell.name))
    if len(whose) == 1 and sum(map(len, whose.values())) == len(every):
        return f"No share: {next(iter(whose))}"
    each = (f"({', '.join(dict.fromkeys(names))}) {why}" for why, names in whose.items())
    return f"No share: {' '.join(each)}" if whose else ""


def rate_text(per_s: float | None, unit: str) -> str:
    """Return a rate with three digits and its unit, such as ``92.1 GFLOP/s``; ``-`` if unknown."""
    if per_s is None:
        return ABSENT
    prefix, size = next((one for one in _PREFIXES if per_s >= one[1] * 0.9995), ("", 1.0))
    value = per_s / size
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {prefix}{unit}"


def _told(run: Run) -> Iterator[tuple[CellResult, Mapping[str, Any]]]:
    """Yield the ranked rows with their rooflines; where none were asked for there are none."""
    for cell in run.results:
        if cell.ranked and cell.roofline and cell.roofline["reason"] != OFF:
            yield cell, cell.roofline


def _row(cell: CellResult, told: Mapping[str, Any], differ: tuple[str, ...]) -> tuple[str, ...]:
    share, unfused = told["share"], told["unfused"]
    return (
        named(cell, differ),
        rate_text(told["flops_per_s"], "").strip(),
        ABSENT if share is None else format_share(share),
        format_ns(told["floor_ns"]),
        told["bound"],
        unfused["bound"] if unfused else ABSENT,
    )
