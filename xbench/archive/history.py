"""What a store holds of what was asked for, ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
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
        runs: Those of the cells, and those without rows that were asked for.
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
    cells = index.cells(query)
    shown = {cell.folder for cell in cells}
    runs = index.runs(query)
    whole = not query.limit or len(cells) < query.limit
    return History(
        root=index.root,
        query=query,
        cells=tuple(cells),
        runs=tuple(one for one in runs if one.folder in shown or (whole and not one.cells)),
        matching=index.count(query),
        findings=index.findings,
        read=index.read,
    )


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
