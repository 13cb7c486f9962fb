"""What a store holds of what was asked for, ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from xbench.archive.entries import CellEntry, RunEntry
from xbench.archive.findings import Finding, Kind
from xbench.archive.index import Index
from xbench.archive.query import Query
from xbench.result import Interval

SCHEMA = 1
_OURS = ("read", "aside")  # fields that mean nothing outside
_HARMLESS = (Kind.CUT_OFF, Kind.INDEX)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The answer of a store.

    Attributes:
        cells: Newest first, at most as many as were asked for, of ``matching``.
        runs: Those of the cells, and those without rows that were asked for: no older than the
            cells that a limit leaves, and of themselves at most as many.
        findings: What is wrong with the store, whatever was asked for.
        read: How many folders had changed, and were read.
    """

    root: Path
    query: Query
    cells: tuple[CellEntry, ...]
    runs: tuple[RunEntry, ...]
    matching: int
    findings: tuple[Finding, ...]
    read: int

    @property
    def damaged(self) -> bool:
        """Return whether something that was written is missing, or is not what was written."""
        return any(one.kind not in _HARMLESS for one in self.findings)


def look(index: Index, query: Query) -> History:
    """Return what the index holds of what is asked for."""
    cells, matching = index.cells(query), index.count(query)
    runs = index.runs(replace(query, limit=0))  # the limit is of cells, and many runs have none
    return History(
        root=index.root,
        query=query,
        cells=tuple(cells),
        runs=_shown(runs, cells, query.limit, whole=len(cells) == matching),
        matching=matching,
        findings=index.findings,
        read=index.read,
    )


def _shown(
    runs: Sequence[RunEntry], cells: Sequence[CellEntry], limit: int, *, whole: bool
) -> tuple[RunEntry, ...]:
    """Return the runs of the cells, and among them those without rows, newest first."""
    of_cells = {cell.folder for cell in cells}
    if not whole:
        oldest = max(place for place, one in enumerate(runs) if one.folder in of_cells)
        runs = runs[: oldest + 1]
    without = [one.folder for one in runs if not one.cells]
    kept = of_cells.union(without[: limit or None])
    return tuple(one for one in runs if one.folder in kept)


def to_json(found: History) -> dict[str, Any]:
    """Return the document of ``xbench history --json``."""
    return {
        "schema": SCHEMA,
        "store": str(found.root),
        "matching": found.matching,
        "cells": [_plain(cell) for cell in found.cells],
        "runs": [_plain(run) for run in found.runs],
        "findings": [_plain(one) for one in found.findings],
    }


def _plain(entry: CellEntry | RunEntry | Finding) -> Mapping[str, Any]:
    told = {one.name: getattr(entry, one.name) for one in fields(entry) if one.name not in _OURS}
    plain = {name: asdict(one) for name, one in told.items() if isinstance(one, Interval)}
    return told | plain | {"folder": str(entry.folder)}
