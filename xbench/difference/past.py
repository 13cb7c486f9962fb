"""How far earlier runs of the same cells on the same host lie apart, nothing having changed.

Each run has two movements: one that all its cells share (the machine was slower that hour), and
one of each cell's own. Where a difference has several rows, only the second is left in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from xbench.difference.common import variance_of_median
from xbench.difference.scatter import Scatter, scatter_of
from xbench.difference.sides import Key

Level = tuple[Key, str | None, str | None, str]
"""A cell, the version of its framework, its host, and its work."""

MOST_RUNS = 50  # of a cell: the newest; what was a year ago is another machine


@dataclass(frozen=True, slots=True)
class Past:
    """One cell of an earlier run on the host that is looked at.

    Attributes:
        run: The run's id.
        began: When it began, in a form that sorts by time.
        version: Of the framework: runs of another one have a level of their own.
        host: What tells its machine from others.
        log_time: The logarithm of its time in nanoseconds.
        work: What was run: the hash of the model, and the shapes that were asked for.
    """

    run: str
    began: str
    key: Key
    version: str | None
    host: str | None
    log_time: float
    work: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """What earlier runs say of each cell's scatter.

    Attributes:
        raw: Of the times as they are.
        own: Of a cell's times against the others of its runs.
    """

    raw: Mapping[Key, Scatter]
    own: Mapping[Key, Scatter]


def history_of(past: Iterable[Past]) -> History:
    """Return the scatter of each cell of which there are two runs or more at one version."""
    by_level: dict[Level, list[Past]] = defaultdict(list)
    for one in past:
        by_level[one.key, one.version, one.host, one.work].append(one)
    kept = {level: _newest(ones) for level, ones in by_level.items() if len(ones) > 1}
    raw: dict[Key, list[list[float]]] = defaultdict(list)
    for (key, *_), ones in kept.items():
        raw[key].append([one.log_time for one in ones])
    return History(_scatters(raw), _scatters(_own_movements(kept)))


def _newest(ones: list[Past]) -> list[Past]:
    return sorted(ones, key=lambda one: (one.began, one.run))[-MOST_RUNS:]


def _scatters(values: Mapping[Key, Sequence[Sequence[float]]]) -> dict[Key, Scatter]:
    found = {key: scatter_of(groups) for key, groups in values.items()}
    return {key: scatter for key, scatter in found.items() if scatter}


def _own_movements(kept: Mapping[Level, Sequence[Past]]) -> dict[Key, list[list[float]]]:
    """Return how far each cell moved in each run against the other adapters of that run.

    These move by their median, whose own scatter is taken out.
    """
    moved: dict[str, list[tuple[Level, float]]] = defaultdict(list)
    for level, ones in kept.items():
        middle = median(one.log_time for one in ones)
        for one in ones:
            moved[one.run].append((level, one.log_time - middle))
    own: dict[Level, list[float]] = defaultdict(list)
    for found in moved.values():
        others = _of_the_others([(level[0].family, value) for level, value in found])
        for level, value in found:
            if (other := others.get(level[0].family)) is not None:
                own[level].append((value - other[0]) / sqrt(1 + other[1]))
    grouped: dict[Key, list[list[float]]] = defaultdict(list)
    for (key, *_), movements in own.items():
        grouped[key].append(movements)
    return grouped


def _of_the_others(found: Sequence[tuple[str, float]]) -> dict[str, tuple[float, float]]:
    """Return for each adapter what the others moved by, and its variance in those of a row."""
    by_family: dict[str, list[float]] = defaultdict(list)
    for family, value in found:
        by_family[family].append(value)
    medians = {family: median(values) for family, values in by_family.items()}
    others = {
        family: [value for name, value in medians.items() if name != family] for family in medians
    }
    return {
        family: (median(values), variance_of_median(len(values)))
        for family, values in others.items()
        if values
    }
