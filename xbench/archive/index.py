"""The index of a store: what every run folder in it holds, found without opening them.

It is a cache. Each folder has a fingerprint (names, sizes, times and inodes of its files); one
that has changed is read and checked anew, and all others are not touched.
"""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xbench.archive import database
from xbench.archive.checking import Checked, check_run, tidied
from xbench.archive.documents import Documents
from xbench.archive.entries import (
    CELL_COLUMNS,
    DAMAGED,
    FINISHED,
    INTERRUPTED,
    RUN_COLUMNS,
    RUNNING,
    UNFINISHED,
    CellEntry,
    RunEntry,
    cell_values,
    run_values,
)
from xbench.archive.findings import Finding, Kind, unreadable
from xbench.archive.folders import run_folders
from xbench.archive.query import Query, conditions
from xbench.errors import UsageError
from xbench.keeping import is_held
from xbench.result import Interval
from xbench.store import REQUEST, RESULT

STORE = Path("xbench-runs")
NAME = ".index.sqlite"
FORMAT = 2  # of the tables; an index of another one is made anew
EVERYTHING = Query()
_OF_RUN = ("run_id", "began", "host_id", "host", "model", "model_sha256", "shapes")
_OTHER_FORM = (
    *(KeyError, TypeError, ValueError, AttributeError),  # of a row
    *(OverflowError, sqlite3.Error),  # of a value
)

_RUN = ", ".join(f"r.{name}" for name in RUN_COLUMNS)
_CELL = ", ".join((*(f"r.{name}" for name in _OF_RUN), *(f"c.{name}" for name in CELL_COLUMNS)))
_CELLS = "runs r JOIN cells c ON c.folder = r.folder"
_RUNS = "runs r LEFT JOIN cells c ON c.folder = r.folder"

_TABLES = f"""
CREATE TABLE format (number INTEGER);
INSERT INTO format VALUES ({FORMAT});
CREATE TABLE runs (folder TEXT PRIMARY KEY, fingerprint TEXT, findings TEXT,
    {", ".join(f"{name} {kind}" for name, kind in RUN_COLUMNS.items())});
CREATE TABLE cells (folder TEXT,
    {", ".join(f"{name} {kind}" for name, kind in CELL_COLUMNS.items())});
CREATE INDEX cells_of ON cells (folder);
CREATE INDEX runs_began ON runs (began);
"""  # noqa: S608 # the names are ours


class Index:
    """What is in a store.

    Attributes:
        root: The folder of run folders.
        read: How many folders the last refresh read; the others had not changed.
    """

    def __init__(
        self, root: Path, connection: sqlite3.Connection, *, read_only: bool = False
    ) -> None:
        self.root = root
        self.read = 0
        self._check = check_run if read_only else tidied
        self._keeps = not read_only
        self._connection = connection
        self._own: list[Finding] = []
        self._not_read: list[Finding] = []
        self._documents = Documents()
        self._close = weakref.finalize(self, connection.close)

    @classmethod
    def open(
        cls, root: Path, *, rebuild: bool = False, deep: bool = False, read_only: bool = False
    ) -> Index:
        """Return the index of the run folders in ``root``, refreshed.

        Args:
            root: The store, such as ``xbench-runs``.
            rebuild: Read and check every folder again, not only those that have changed.
            deep: Check the inputs that were kept, too; goes with ``rebuild``.
            read_only: Write nothing: damaged files stay where they are, and so does the index.

        Raises:
            UsageError: If there is no such folder, or it is a run folder itself.
        """
        if not root.is_dir():
            fix = "`xbench compare` makes it with the first run; --store names another"
            raise UsageError(f"there is no store {root}", fix)
        if any((root / name).exists() for name in (RESULT, REQUEST)):
            fix = f"The store is the folder around it: {root.resolve().parent}"
            raise UsageError(f"{root} is a run folder, and no store", fix)
        own: list[Finding] = []
        kept = (None if rebuild else _loaded(root, own)) or _new()
        index = cls(root, kept, read_only=read_only)
        index._own = own
        index.refresh(deep=deep)
        return index

    def close(self) -> None:
        """Give the memory back; an index that is dropped does so by itself."""
        self._close()

    def refresh(self, *, deep: bool = False) -> None:
        """Read the folders that have changed since, and leave out those that have gone."""
        rows = self._connection.execute("SELECT folder, fingerprint FROM runs")
        known: dict[str, str] = dict(rows)
        self._not_read = []
        try:
            present = dict(run_folders(self.root, self._not_read))
        except OSError as error:
            fix = "See who may read it, or name another with --store"
            raise UsageError(f"cannot read {self.root}: {error.strerror}", fix) from error
        changed = [name for name, prints in present.items() if known.get(name) != prints]
        gone = known.keys() - present.keys()
        self.read = len(changed)
        if not changed and not gone:
            return
        for name in gone:
            self._forget(name)
        for name in changed:
            self._add(name, present[name], deep)
        self._connection.commit()
        if self._keeps:
            self._save()

    def runs(self, query: Query = EVERYTHING) -> list[RunEntry]:
        """Return the runs that are asked for, newest first: those with a row that is."""
        clause, values = conditions(query)
        found = self._select(f"DISTINCT r.folder, {_RUN}", _RUNS, clause, _limit(query), values)
        entries = (self._run(row) for row in found)
        return [one for one in entries if one.cells or query.allows(one.state)]

    def cells(self, query: Query = EVERYTHING) -> list[CellEntry]:
        """Return the cells that are asked for: newest run first, in the order of its ranks."""
        clause, values = conditions(query)
        within = f", c.batch, c.rank IS NULL, c.rank, c.cell {_limit(query)}"
        found = self._select(f"r.folder, {_CELL}", _CELLS, clause, within, values)
        return [self._cell(row) for row in found]

    def cells_of(self, folders: Sequence[Path]) -> list[CellEntry]:
        """Return the cells of some runs, in the order of `cells`."""
        marks = ", ".join("?" * len(folders))
        within = ", c.batch, c.rank IS NULL, c.rank, c.cell"
        where = f"WHERE r.folder IN ({marks})"
        names = [folder.name for folder in folders]
        return [
            self._cell(one)
            for one in self._select(f"r.folder, {_CELL}", _CELLS, where, within, names)
        ]

    def count(self, query: Query = EVERYTHING) -> int:
        """Return how many cells there are, whatever the limit."""
        clause, values = conditions(query)
        found = self._select("COUNT(*)", _CELLS, clause, "", values)
        return int(found.fetchone()[0])

    def _select(
        self, columns: str, source: str, clause: str, rest: str, values: Sequence[object]
    ) -> sqlite3.Cursor:
        """Return rows, newest run first; only ``values`` come from outside."""
        newest = "ORDER BY r.began DESC, r.folder DESC"
        text = " ".join(("SELECT", columns, "FROM", source, clause, newest, rest))
        return self._connection.execute(text, [_storable(value) for value in values])

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return what is wrong with the store now."""
        rows = self._connection.execute(
            "SELECT folder, findings FROM runs WHERE findings != '[]' ORDER BY folder"
        )
        own = [
            Finding(**{**told, "kind": Kind(told["kind"]), "folder": self.root / folder})
            for folder, text in rows
            for told in json.loads(text)
        ]
        return (*self._own, *self._not_read, *own)

    def _add(self, name: str, prints: str, deep: bool) -> None:
        """Read a folder, whose fingerprint is from before: one that changes meanwhile differs."""
        checked = self._check(self.root / name, deep=deep)
        try:
            self._put(name, prints, checked.findings, *_values(checked))
        except _OTHER_FORM as error:
            what = f"has rows of another form ({type(error).__name__} {error})"
            fix = "Move it out of the store"
            other = unreadable(checked.folder, what, fix, file=RESULT)
            run = run_values({}, checked.folder, DAMAGED, checked.lines)
            self._put(name, prints, (*checked.findings, other), run, [])

    def _put(
        self,
        name: str,
        prints: str,
        findings: Sequence[Finding],
        run: Mapping[str, Any],
        cells: Sequence[Mapping[str, Any]],
    ) -> None:
        """Put what a folder holds in the place of what was known of it.

        Raises:
            sqlite3.Error, OverflowError: If a value has another type than its column.
        """
        self._forget(name)
        told = [asdict(one) | {"kind": one.kind.value, "folder": ""} for one in findings]
        own = {"folder": name, "fingerprint": prints, "findings": json.dumps(told)}
        _insert(self._connection, "runs", [{**own, **run}])
        _insert(self._connection, "cells", [{"folder": name, **cell} for cell in cells])

    def _forget(self, name: str) -> None:
        self._connection.execute("DELETE FROM cells WHERE folder = ?", [name])
        self._connection.execute("DELETE FROM runs WHERE folder = ?", [name])
        self._documents.drop(self.root / name)

    def _save(self) -> None:
        try:
            database.save(self._connection, self.root / NAME)
        except OSError as error:
            what = f"the index cannot be kept ({error.strerror}), and is made anew each time"
            self._own = [_own(self.root, what, "Make the folder writable")]

    def _run(self, row: Sequence[Any]) -> RunEntry:
        told = dict(zip(RUN_COLUMNS, row[1:], strict=True))
        folder = self.root / row[0]
        if told["state"] == UNFINISHED and is_held(folder):
            told["state"] = RUNNING
        return RunEntry(folder=folder, **told)

    def _cell(self, row: Sequence[Any]) -> CellEntry:
        of_cell = 1 + len(_OF_RUN)  # behind the folder and what is its run's
        told = dict(zip(CELL_COLUMNS, row[of_cell:], strict=True))
        p50 = _interval(*(told.pop(f"p50{end}_ns") for end in ("", "_low", "_high")))
        ends = (told.pop(f"throughput{end}_per_s") for end in ("", "_low", "_high"))
        run = dict(zip(_OF_RUN, row[1:of_cell], strict=True))
        return CellEntry(
            folder=self.root / row[0],
            p50_ns=p50,
            throughput_per_s=_interval(*ends),
            read=self._documents.read,
            **run,
            **told,
        )


def _loaded(root: Path, own: list[Finding]) -> sqlite3.Connection | None:
    """Return the index that was kept; None, and why, where it cannot be trusted."""
    try:
        connection = database.load(root / NAME)
        if connection is None:
            return None
        if connection.execute("SELECT number FROM format").fetchone() == (FORMAT,):
            return connection
    except (ValueError, OSError, sqlite3.Error) as error:
        own.append(_own(root, f"the index was damaged, and was made anew ({error})", ""))
        return None
    connection.close()
    return None  # of another version


def _new() -> sqlite3.Connection:
    connection = database.empty()
    connection.executescript(_TABLES)
    return connection


def _values(checked: Checked) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder, result = checked.folder, checked.result
    if result is not None:
        state = INTERRUPTED if result.get("interrupted") else FINISHED
        return run_values(result, folder, state, checked.lines), list(cell_values(result))
    spoilt = any(one.kind is not Kind.CUT_OFF for one in checked.findings)
    state = DAMAGED if spoilt or checked.request is None else UNFINISHED
    return run_values(checked.request or {}, folder, state, checked.lines), []


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        names = tuple(rows[0])
        marks = ", ".join(f":{name}" for name in names)
        connection.executemany(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608 # names are ours
            [{name: _storable(value) for name, value in row.items()} for row in rows],
        )


def _storable(value: object) -> object:
    """Return a value as SQLite takes it: text with ``?`` for what is no character of UTF-8."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _limit(query: Query) -> str:
    return f"LIMIT {int(query.limit)}" if query.limit else ""


def _interval(value: float | None, low: float | None, high: float | None) -> Interval | None:
    return None if value is None or low is None or high is None else Interval(value, low, high)


def _own(root: Path, what: str, fix: str) -> Finding:
    return Finding(kind=Kind.INDEX, folder=root, file=NAME, what=what, fix=fix)
