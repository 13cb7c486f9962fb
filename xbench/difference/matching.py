"""Rows of two runs, cell by cell: which stand in both, and which in one only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xbench.difference.fields import OF_THE_KEY, Differing, of_keys, of_rows, refusing
from xbench.difference.sides import Key, Row, Side


@dataclass(frozen=True, slots=True)
class Pair:
    """A cell that both runs have."""

    first: Row
    second: Row
    differing: tuple[Differing, ...]

    @property
    def changed(self) -> bool:
        """Return whether the software of the two is known to differ."""
        return any(one.software for one in self.differing)


@dataclass(frozen=True, slots=True)
class Refused:
    """A cell of both runs that is not compared.

    Attributes:
        reason: Why not.
        forbidding: The fields for which it is not, where it is fields.
        broken: Whether it did in the first run what was asked of it, and failed in the second.
    """

    pair: Pair
    reason: str
    forbidding: tuple[Differing, ...] = ()
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Alone:
    """A cell that one run has and the other has not.

    Attributes:
        nearest: In what it differs from a row of the other run that has no partner either; empty
            where none differs in one field only.
    """

    row: Row
    nearest: tuple[Differing, ...] = ()


@dataclass(frozen=True, slots=True)
class Matched:
    """All rows of two runs, each in one place."""

    pairs: tuple[Pair, ...]
    refused: tuple[Refused, ...]
    only_first: tuple[Alone, ...]
    only_second: tuple[Alone, ...]


def match(first: Side, second: Side, allowed: frozenset[str]) -> Matched:
    """Return the rows of two runs in pairs, and those that stand alone.

    Args:
        first: The earlier run.
        second: The later one.
        allowed: Words of `--allow`: rows without a partner find one that differs in these fields.
    """
    free = [name for name in OF_THE_KEY if {name, "all"} & allowed]
    found, left, right = _paired(first.rows, second.rows, ())
    if free:
        more, left, right = _paired(left, right, free)
        found = [*found, *more]
    pairs: list[Pair] = []
    refused: list[Refused] = []
    for pair in sorted(found, key=lambda one: one.first.id):
        why = _why_not(pair, allowed)
        if why:
            refused.append(why)
        else:
            pairs.append(pair)
    return Matched(tuple(pairs), tuple(refused), _alone(left, right), _alone(right, left))


def _paired(
    left: Sequence[Row], right: Sequence[Row], free: Sequence[str]
) -> tuple[list[Pair], list[Row], list[Row]]:
    """Return the pairs whose keys agree but for the free fields, and the rows that are left.

    Where a key is not one row's alone, its rows are left: whose partner is whose is not known.
    """
    mine, theirs = _by_key(left, free), _by_key(right, free)
    common = {key for key, rows in mine.items() if len(rows) == 1 == len(theirs.get(key, ()))}
    pairs = [_pair(mine[key][0], theirs[key][0]) for key in mine if key in common]
    rest = [
        [r for key, rows in of.items() if key not in common for r in rows] for of in (mine, theirs)
    ]
    return pairs, rest[0], rest[1]


def _pair(first: Row, second: Row) -> Pair:
    return Pair(first, second, (*of_keys(first.key, second.key), *of_rows(first, second)))


def _why_not(pair: Pair, allowed: frozenset[str]) -> Refused | None:
    sides = (("first", pair.first), ("second", pair.second))
    if reasons := [f"in the {which} run: {row.problem}" for which, row in sides if row.problem]:
        broken = pair.first.problem is None and pair.second.failed
        return Refused(pair, "; ".join(reasons), broken=broken)
    if found := refusing(pair.differing, allowed):
        words = ",".join(dict.fromkeys(one.allow for one in found if one.allow))
        return Refused(pair, f"it is not the same work; --allow {words} compares it", found)
    return None


def _by_key(rows: Iterable[Row], free: Sequence[str]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        found[_without(row.key, free)].append(row)
    return found


def _without(key: Key, fields: Sequence[str]) -> Key:
    nothing: dict[str, Any] = dict.fromkeys(fields)
    return key._replace(**nothing)


def _alone(rows: Sequence[Row], others: Sequence[Row]) -> tuple[Alone, ...]:
    near = {(name, _without(one.key, [name])): one for one in others for name in OF_THE_KEY}
    return tuple(Alone(row, _nearest(row, near)) for row in rows)


def _nearest(row: Row, near: Mapping[tuple[str, Key], Row]) -> tuple[Differing, ...]:
    found = (near.get((name, _without(row.key, [name]))) for name in OF_THE_KEY)
    return next((of_keys(row.key, one.key) for one in found if one), ())
