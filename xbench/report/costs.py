"""What a row costs besides its latency, as small tables before anyone draws them.

Host memory, device memory, energy, and where the time of an inference on a GPU is spent: each table
has a line for the ranked rows that have such a figure, and is left out where none has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xbench.adapter import BOUNDARIES
from xbench.report.energy import ENERGY_HEADER, energy_rows
from xbench.report.load import load_table
from xbench.report.numbers import latency_text
from xbench.report.roofline import ROOFLINE_HEADER, roofline_rows
from xbench.report.view import ABSENT, apart, named
from xbench.result import Interval
from xbench.units import format_bytes

if TYPE_CHECKING:
    from xbench.result import CellResult, Run


@dataclass(frozen=True, slots=True)
class CostTable:
    """A table whose first column has the rows' names.

    Attributes:
        header: The first word says what the table is about.
        numbers: The headers of the columns that are numbers.
        rows: The texts under the header.
    """

    header: tuple[str, ...]
    numbers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def cost_tables(run: Run) -> tuple[CostTable, ...]:
    """Return the tables that have a row, in the order in which they are read."""
    boundaries = ("boundary", *BOUNDARIES)
    header, lines = load_table(run)
    tables = (
        CostTable(header, header[1:-1], lines),
        CostTable(HOST, HOST[1:], tuple(_lines(run, _host_memory))),
        CostTable(DEVICE, DEVICE[1:], tuple(_lines(run, _device_memory))),
        CostTable(boundaries, boundaries[1:], tuple(_lines(run, _boundaries))),
        CostTable(ENERGY_HEADER, ENERGY_HEADER[1:4], energy_rows(run)),
        CostTable(ROOFLINE_HEADER, ROOFLINE_HEADER[1:4], roofline_rows(run)),
    )
    return tuple(table for table in tables if table.rows)


HOST = ("memory", "peak", "steady", "import", "model")
"""The most that process and children held until the steady state; what is resident in it; what the
framework holds once imported; the most that the model costs on top of framework and inputs."""

DEVICE = ("GPU memory", "used", "by process", "allocator")
"""Above what was in use before the worker started; of the driver's account of its processes; of
what the framework's own allocator tells."""


def _lines(run: Run, texts: Any) -> Iterator[tuple[str, ...]]:
    """Yield name and texts of each ranked row that has some."""
    differ = apart(run)
    for cell in run.results:
        if cell.ranked and (found := texts(cell)):
            yield (named(cell, differ), *found)


def _host_memory(cell: CellResult) -> tuple[str, ...] | None:
    told = cell.memory_bytes
    if "phases" not in told:
        return None
    sizes = (told["host"], told["phases"]["steady"]["rss"])
    return (*map(_size, sizes), _median(told["import"]), _median(told["model"]["peak"]))


def _device_memory(cell: CellResult) -> tuple[str, ...] | None:
    told = cell.memory_bytes
    if told.get("device") is None:
        return None
    own = told.get("device_figures") or {}
    by_process = _median(own.get("process_peak"))
    return _size(told["device"]), by_process, _size(told["allocator"])


def _boundaries(cell: CellResult) -> tuple[str, ...] | None:
    if not cell.boundaries_ns:
        return None
    told = (cell.boundaries_ns.get(name) for name in BOUNDARIES)
    return tuple(ABSENT if ns is None else latency_text(_about(ns)) for ns in told)


def _about(latency_ns: float) -> Interval:
    """Return a median of some thirty as an interval with the digits that it supports."""
    return Interval(latency_ns, 0.98 * latency_ns, 1.02 * latency_ns)


def _median(spread: Mapping[str, Any] | None) -> str:
    return _size(spread["median"] if spread else None)


def _size(size_bytes: int | None) -> str:
    return ABSENT if size_bytes is None else format_bytes(size_bytes)
