"""From two documents to what changed between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from xbench.difference.common import Common
from xbench.difference.fields import ALLOWED, Differing, of_runs, refusing
from xbench.difference.judge import Judged, judge
from xbench.difference.matching import Alone, Matched, Refused, match
from xbench.difference.past import Past, history_of
from xbench.difference.sides import Key, Side, called
from xbench.errors import UsageError
from xbench.result import Verdict

DEFAULT_SLOWER = 0.05
LEAST_TOLD = 0.01  # of a common movement, as a logarithm
NO_ALARM, ALARM, NOTHING_COMPARED = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was asked for.

    Attributes:
        slower: The slow-down that is to be found, as a share.
        fail_slower: Whether it ends in an alarm.
        fail_undetermined: Whether a row that is not decided does.
        fail_missing: Whether a row of the first run that the second has not does.
        allowed: Words of `--allow`.
        references: Rows that are known not to have changed, by name.
        raw: Whether nothing is taken out that all rows moved together.
    """

    slower: float = DEFAULT_SLOWER
    fail_slower: bool = False
    fail_undetermined: bool = False
    fail_missing: bool = False
    allowed: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset()
    raw: bool = False

    @property
    def fails(self) -> bool:
        """Return whether anything ends in an alarm."""
        return self.fail_slower or self.fail_undetermined or self.fail_missing

    def check(self) -> None:
        """Return if every word is known.

        Raises:
            UsageError: With the word that is not.
        """
        if wrong := sorted(self.allowed - set(ALLOWED)):
            fix = f"There are {', '.join(ALLOWED)}"
            raise UsageError(f"--allow knows no {wrong[0][:40]!r}", fix)
        if self.raw and self.references:
            raise UsageError("--raw takes no reference", "Leave out --raw, or --reference")


@dataclass(frozen=True, slots=True)
class Alarm:
    """A reason to fail, and the row that it is of."""

    row: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What changed from one run to another.

    Attributes:
        differing: Fields of the runs as a whole that differ.
        forbidding: Those of them for which nothing is compared; empty where it is.
        rows: What was compared.
        common: What all rows moved together, which is taken out; None where nothing is.
        refused: Rows of both runs that are not compared.
        names: What each row is called.
        runs: How many earlier runs of these cells on this host there are, at the most.
        alarms: Why it fails; empty where nothing was to fail, or nothing does.
    """

    first: Side
    second: Side
    terms: Terms
    names: Mapping[Key, str]
    differing: tuple[Differing, ...]
    forbidding: tuple[Differing, ...]
    rows: tuple[Judged, ...] = ()
    common: Common | None = None
    refused: tuple[Refused, ...] = ()
    only_first: tuple[Alone, ...] = ()
    only_second: tuple[Alone, ...] = ()
    runs: int = 0
    alarms: tuple[Alarm, ...] = field(default=())

    @property
    def moved_together(self) -> bool:
        """Return whether what all rows did is worth a word: it is sure, and no trifle."""
        if self.common is None:
            return False
        sure = 2 * sqrt(self.common.variance)
        return abs(self.common.value) >= max(LEAST_TOLD, sure)

    @property
    def exit_status(self) -> int:
        """Return 1 with an alarm, 2 where nothing could be compared, and 0 otherwise."""
        if self.alarms:
            return ALARM
        return NO_ALARM if self.rows else NOTHING_COMPARED


def diff(first: Side, second: Side, terms: Terms, past: Iterable[Past] = ()) -> Difference:
    """Return what changed from the first run to the second.

    Args:
        first: The earlier run.
        second: The later one.
        terms: What is looked for, and what may differ.
        past: Cells of earlier runs on the host of the second run; the two runs' own are left out.

    Raises:
        UsageError: If the terms are not understood, or a reference is in neither run.
    """
    terms.check()
    differing, names = of_runs(first, second), called((*first.rows, *second.rows))
    found = match(first, second, terms.allowed)
    told: dict[str, Any] = {
        "first": first,
        "second": second,
        "terms": terms,
        "names": names,
        "differing": differing,
        "forbidding": refusing(differing, terms.allowed),
        "only_first": found.only_first,
        "only_second": found.only_second,
    }
    if told["forbidding"]:
        return Difference(**told)
    _check_references(terms, [pair.second.name for pair in found.pairs])
    earlier = [one for one in past if one.run not in (first.run, second.run)]
    references = None if terms.raw else terms.references
    judged = judge(first, second, found.pairs, history_of(earlier), terms.slower, references)
    return Difference(
        **told,
        rows=judged.rows,
        common=judged.common,
        refused=found.refused,
        runs=max((row.scatter.runs for row in judged.rows), default=0),
        alarms=tuple(_alarms(terms, names, judged.rows, found)),
    )


def _check_references(terms: Terms, names: list[str]) -> None:
    known = {*names, *(name.partition(" ")[0] for name in names)}
    if wrong := sorted(terms.references - known):
        fix = f"Name one of {', '.join(dict.fromkeys(names)) or 'none'}"
        raise UsageError(f"no compared row is called {wrong[0][:40]!r}", fix)


def _alarms(
    terms: Terms, names: Mapping[Key, str], rows: Iterable[Judged], found: Matched
) -> Iterator[Alarm]:
    for row in rows:
        if terms.fail_slower and row.alarm:
            yield Alarm(names[row.pair.second.key], "slower")
        elif terms.fail_undetermined and row.verdict is Verdict.UNDETERMINED:
            yield Alarm(names[row.pair.second.key], "undetermined")
    for one in found.refused:
        if one.broken and terms.fails:
            yield Alarm(names[one.pair.second.key], f"it failed {one.reason}")
    for alone in found.only_first:
        if terms.fail_missing:
            yield Alarm(names[alone.row.key], "missing in the second run")
