"""Runs by the names that people give them, and the earlier runs of their cells, from a store."""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from pathlib import Path

from xbench.archive.entries import CellEntry, RunEntry
from xbench.archive.index import Index
from xbench.archive.query import Query
from xbench.archive.reading import read_document
from xbench.difference.answer import Difference, Terms, diff
from xbench.difference.baseline import WORD, Baseline, baseline_for
from xbench.difference.past import Past
from xbench.difference.sides import Key, Side, figure_of, side_of
from xbench.errors import UsageError

MOST_LISTED = 5


def opened(root: Path) -> Index | None:
    """Return the index of a store, or None where there is no store."""
    return Index.open(root) if root.is_dir() else None


def place_of(name: str, index: Index | None) -> Path:
    """Return where a run is: a path that is there, or the folder of a run in the store.

    Raises:
        UsageError: If there is neither, or the name stands for several runs.
    """
    if Path(name).exists():
        return Path(name)
    found = index.runs(Query(run=name)) if index else []
    found = [one for one in found if one.folder.name == name] or found  # a copy keeps the id
    if len(found) == 1:
        return found[0].folder
    if found:
        some = ", ".join(one.folder.name for one in found[:MOST_LISTED])
        raise UsageError(f"{len(found)} runs are called {name[:80]!r}: {some}", "Name one of them")
    raise UsageError(f"there is no run {name[:80]!r}", _what_there_is(index))


def read_side(name: str, index: Index | None) -> Side:
    """Return the run of that name, as `place_of` finds it.

    Raises:
        UsageError: If there is none, or it has no result that can be trusted.
    """
    place = place_of(name, index)
    return side_of(read_document(place), str(place))


def past_of(index: Index | None, first: Side, second: Side) -> Iterator[Past]:
    """Yield the cells of all runs in the store of this model on these hosts."""
    hosts = [host for host in (first.host, second.host) if host]
    if index is None or not hosts:
        return
    models = ",".join(dict.fromkeys((first.model_hash, second.model_hash)))
    for entry in index.cells(Query(model=models, host=",".join(dict.fromkeys(hosts)))):
        if (one := _past(entry)) is not None:
            yield one


def _past(entry: CellEntry) -> Past | None:
    """Return a cell of an earlier run; None where it was not ranked, or nothing is bounded."""
    if entry.status != "ok" or entry.rank is None:
        return None
    _, time_ns = figure_of(entry.scenario, entry.p50_ns, entry.throughput_per_s)
    if time_ns is None:
        return None
    key = Key(
        backend=entry.backend,
        device=entry.device,
        batch=entry.batch,
        threads=entry.threads,
        precision=str(entry.precision),
        scenario=entry.scenario,
        boundary=entry.boundary,
        profile=entry.profile,
    )
    level = (entry.run_id, entry.began, key, entry.backend_version, entry.host_id)
    return Past(*level, log(time_ns.value), f"{entry.model_sha256} {entry.shapes}")


def _what_there_is(index: Index | None) -> str:
    """Return what to do about a run that is not there."""
    found: list[RunEntry] = index.runs(Query(limit=MOST_LISTED)) if index else []
    if not found:
        return "Give a run folder of `xbench compare`, or a document that its --json wrote"
    names = ", ".join(one.folder.name for one in found)
    return f"The store has {names}; `xbench history` lists all"


def difference_of(first: str, second: str, store: Path, terms: Terms) -> Difference:
    """Return what changed between two runs by their names, held against what the store remembers.

    Args:
        first: A folder, a document, a name in the store, or ``baseline``.
        second: The same; not both are ``baseline``.
        store: The folder of run folders; it may be missing.
        terms: What was asked for.

    Raises:
        UsageError: If a run is not there or cannot be trusted.
    """
    names = (first, second)
    if names == (WORD, WORD):
        raise UsageError("both runs are the baseline", "Name a run for one of them")
    index = opened(store)
    known = {name: read_side(name, index) for name in names if name != WORD}
    if WORD in names:
        (other,) = known.values()
        known[WORD] = _read_baseline(store, baseline_for(store, other))
    sides = known[first], known[second]
    if sides[0].run == sides[1].run and sides[0].place == sides[1].place:
        raise UsageError(f"{sides[0].place} is both runs", "Name another for one of them")
    return diff(*sides, terms, past_of(index, *sides))


def _read_baseline(store: Path, baseline: Baseline) -> Side:
    place = baseline.path(store)
    fix = "Set another with: xbench baseline set RUN"
    if not place.exists():
        raise UsageError(f"the baseline {baseline.run} is not in {place} any more", fix)
    side = side_of(read_document(place), str(place))
    if side.run != baseline.run:
        raise UsageError(f"{place} holds another run than the baseline {baseline.run}", fix)
    return side
