"""By how much each row changed, whether that is real, and whether it is an alarm.

A row's interval has the scatter of both runs in it: `xbench.difference.past` says how runs scatter
between which nothing changed. It is a simultaneous one: with 95 % all rows of a difference lie in
theirs (Sidak 1967), so that forty rows raise no more false alarms than one.

An alarm at a slow-down of T needs two things: the interval excludes 1, and the estimate is at least
half of T on the logarithmic scale. Where the interval's half-width is below half of T, a slow-down
of T is as seldom missed as one is seen where there is none. `Judged.least` says what is found in 19
of 20 pairs of runs with such a scatter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp, expm1, log1p, sqrt
from statistics import median

from xbench.difference.common import Common, common_of
from xbench.difference.matching import Pair
from xbench.difference.movement import Movement, movements
from xbench.difference.past import History
from xbench.difference.scatter import Scatter, scatter_of, student, weighed
from xbench.difference.sides import Key, Side
from xbench.result import Interval, Verdict
from xbench.stats import verdict

CONFIDENCE = 0.95
Z_OF_POWER = 1.6449  # a normal quantile: 19 of 20
WIDEST = 300.0  # of a half-width, as a logarithm: it says nothing, and a float still holds it
FEWEST_ROWS = 4  # whose own movements tell how far rows scatter

# What is assumed of runs before there are any: `scripts/diff-experiment` prints both standard
# deviations. 4 degrees of freedom stand for machines of which two in three lie within a factor of
# 1.5; what a machine does as a whole differs by more from one to the next.
ASSUMED_OWN = Scatter(0.005, 4.0)
ASSUMED_RAW = Scatter(0.03, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A row of both runs.

    Attributes:
        moved: Logarithm of its second time over its first, as they are.
        slower: The same less what all rows did.
        ratio: How fast the second is against the first, less what all rows did: above 1 it is
            faster. The bounds hold for all rows of the difference at once.
        scatter: Of runs between which nothing changed, and how many runs said so.
        alarm: Whether it became slower by what was asked for. A reference never is.
        reference: Whether it is held against nothing, as others are held against it.
        least: The smallest slow-down that such a pair of runs shows in 19 of 20 cases, as a share.
    """

    pair: Pair
    moved: float
    slower: float
    ratio: Interval
    verdict: Verdict
    scatter: Scatter
    alarm: bool
    least: float
    reference: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """All rows, and what they moved together; None where nothing was taken out."""

    rows: tuple[Judged, ...]
    common: Common | None


def judge(
    first: Side,
    second: Side,
    pairs: Sequence[Pair],
    history: History,
    threshold: float,
    references: frozenset[str] | None = frozenset(),
) -> Judgement:
    """Return what may be said of each pair of rows.

    Args:
        first: The earlier run.
        second: The later one.
        pairs: Their rows that compare.
        history: How far earlier runs of these cells lie apart.
        threshold: The slow-down that is to be found, as a share.
        references: Rows that are known not to have changed, by name; empty where nobody said, and
            None to take nothing out.
    """
    moved = movements(first, second, pairs)
    among = _among_rows(moved)
    raw = [_scatter(ASSUMED_RAW, _said(history.raw, pair)) for pair in pairs]
    own = [_scatter(ASSUMED_OWN, _said(history.own, pair), among) for pair in pairs]
    common = None
    if references is not None and pairs:
        own_sd, machine_sd = (sqrt(2) * median(one.sd for one in of) for of in (own, raw))
        values = [one.value for one in moved]
        common = common_of(pairs, values, own_sd, machine_sd, references)
    look = partial(_judged, threshold=threshold, rows=len(pairs))
    rows: list[Judged] = []
    for place, (pair, one) in enumerate(zip(pairs, moved, strict=True)):
        if common is None:
            rows.append(look(pair, one, raw[place]))
        elif common.is_reference(place):
            rows.append(replace(look(pair, one, raw[place]), reference=True, alarm=False))
        else:
            rows.append(look(pair, one, own[place], *common.against(pair.second.key.family)))
    return Judgement(tuple(rows), common)


def _scatter(assumed: Scatter, known: Scatter | None, among: Scatter | None = None) -> Scatter:
    """Return the scatter of a row: never less than what earlier runs say, if there are any."""
    found = weighed(assumed, known, among)
    return replace(found, sd=max(found.sd, known.sd)) if known else found


def _said(known: Mapping[Key, Scatter], pair: Pair) -> Scatter | None:
    return known.get(pair.first.key) or known.get(pair.second.key)


def _among_rows(moved: Sequence[Movement]) -> Scatter | None:
    """Return the scatter of a run by what the rows of this difference did; None for too few.

    Most did not change, and what changed does not move Qn. That is an empirical null (Efron 2004,
    "Large-scale simultaneous hypothesis testing").
    """
    if len(moved) < FEWEST_ROWS:
        return None
    found = scatter_of([[one.value for one in moved]], runs=0)
    return Scatter(found.sd / sqrt(2), found.freedom) if found else None


def _judged(
    pair: Pair,
    moved: Movement,
    scatter: Scatter,
    others: float = 0.0,
    others_variance: float = 0.0,
    *,
    threshold: float,
    rows: int,
) -> Judged:
    slower, half_of_it = moved.value - others, log1p(threshold) / 2
    sides = (moved.first_sd, moved.second_sd)
    sd = sqrt(sum(max(scatter.sd, own) ** 2 for own in sides) + others_variance)
    half = min(student(CONFIDENCE ** (1 / rows), scatter.freedom) * sd, WIDEST)
    ratio = Interval(exp(-slower), exp(-slower - half), exp(-slower + half))
    said = verdict(ratio, expm1(half_of_it))
    return Judged(
        pair=pair,
        moved=moved.value,
        slower=slower,
        ratio=ratio,
        verdict=said,
        scatter=scatter,
        alarm=said is Verdict.SLOWER and slower >= half_of_it,
        least=expm1(min(max(half, half_of_it) + Z_OF_POWER * sd, WIDEST)),
    )
