"""What is said of the energy of a run's rows, before anyone draws it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from xbench.report.numbers import energy_text, power_text
from xbench.report.text import clean, sentence
from xbench.report.view import ABSENT, apart, named
from xbench.result import Interval
from xbench.telemetry.tally import UNAVAILABLE

if TYPE_CHECKING:
    from xbench.result import CellResult, Run

ENERGY_HEADER = ("energy", "per inference", "running", "idle", "label", "scope")


def energy_rows(run: Run) -> tuple[tuple[str, ...], ...]:
    """Return the texts under `ENERGY_HEADER` for each ranked row that has a figure."""
    differ = apart(run)
    return tuple(_row(cell, told, differ) for cell, told in _told(run) if told["per_inference_j"])


def energy_missing(run: Run) -> str:
    """Return why ranked rows have no figure, and what helps; empty where all have one.

    Where every row says the same, no row is named.
    """
    told = [(cell, energy) for cell, energy in _told(run) if not energy["per_inference_j"]]
    whose: dict[str, list[str]] = {}
    for cell, energy in told:
        reason = energy["label"].removeprefix(UNAVAILABLE)
        why = f"{sentence(clean(reason))} {sentence(clean(energy['fix'] or ''))}".strip()
        whose.setdefault(why, []).append(clean(cell.name))
    if not whose:
        return ""
    if len(whose) == 1 and len(told) == len(list(_told(run))):
        return f"not measured: {next(iter(whose))}"
    each = (f"({', '.join(dict.fromkeys(names))}) {why}" for why, names in whose.items())
    return f"not measured: {' '.join(each)}"


def interval(energy: Mapping[str, Any], name: str) -> Interval | None:
    """Return a quantity of a row's energy, or None where it has none."""
    bounds = energy.get(name)
    return Interval(**bounds) if bounds else None


def _told(run: Run) -> Iterator[tuple[CellResult, Mapping[str, Any]]]:
    """Yield the ranked rows with their energy; runs from before there was any have none."""
    yield from ((cell, cell.energy) for cell in run.results if cell.ranked and cell.energy)


def _row(cell: CellResult, energy: Mapping[str, Any], differ: tuple[str, ...]) -> tuple[str, ...]:
    cost, load, idle = (interval(energy, name) for name in ("per_inference_j", "load_w", "idle_w"))
    return (
        named(cell, differ),
        energy_text(cost) if cost else ABSENT,
        power_text(load) if load else ABSENT,
        power_text(idle) if idle else ABSENT,
        clean(energy["label"]),
        clean(energy["scope"]),
    )
