"""What is said of the memory of a run's rows, before anyone draws it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xbench.report.view import ABSENT, apart, named
from xbench.units import format_bytes

if TYPE_CHECKING:
    from xbench.result import CellResult, Run

HEADER = ("backend", "peak", "steady", "import", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRow:
    """The host's memory of one row, as it is read; each a median over the launches.

    Attributes:
        peak: The most that the process and its children held from load to the steady state.
        steady: What is resident while it runs steadily.
        tax: What the framework holds once it is imported.
        model: The most that the model costs on top of framework and inputs.
    """

    backend: str
    peak: str
    steady: str
    tax: str
    model: str

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the texts under `HEADER`."""
        return (self.backend, self.peak, self.steady, self.tax, self.model)


def memory_rows(run: Run) -> tuple[MemoryRow, ...]:
    """Return a line for each ranked row whose memory was read, in the order of the rows."""
    differ = apart(run)
    told = (cell for cell in run.results if cell.ranked and "phases" in cell.memory_bytes)
    return tuple(_row(cell, differ) for cell in told)


def _row(cell: CellResult, differ: tuple[str, ...]) -> MemoryRow:
    told = cell.memory_bytes
    return MemoryRow(
        backend=named(cell, differ),
        peak=_size(told["host"]),
        steady=_size(told["phases"]["steady"]["rss"]),
        tax=_median(told["import"]),
        model=_median(told["model"]["peak"]),
    )


def _median(spread: Mapping[str, Any] | None) -> str:
    return _size(spread["median"] if spread else None)


def _size(size_bytes: int | None) -> str:
    return ABSENT if size_bytes is None else format_bytes(size_bytes)
