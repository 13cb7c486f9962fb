"""What the evidence allows to be said of each configuration, at any moment of the search.

Nothing is remembered between two judgements: where the best is found to be wrong, all that were
out for being worse than it are in again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import exp, log

from xbench.result import Interval, Status
from xbench.tuning.bounds import Reached, ladder_ends, reaches
from xbench.tuning.evidence import Evidence, Gap
from xbench.tuning.goal import Aim, Goal
from xbench.tuning.limits import Keeps, keeps, seems_to_keep
from xbench.tuning.space import Configuration, Space
from xbench.units import format_bytes

TIE = log(1.02)
MOST_LOG = 700.0  # e to the 710 is more than a float holds
OF_BACKEND = {Status.UNSUPPORTED.value, Status.UNAVAILABLE.value}


class State(StrEnum):
    """Where a configuration stands."""

    RACING = "racing"
    BEHIND = "behind"
    BREAKS_SLO = "breaks the limit"
    TOO_LARGE = "too large"
    FAILED = "failed"
    DISAGREES = "disagrees"
    UNCAPPED = "caps did not hold"
    WAITING = "waiting"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one configuration stands, and why.

    Attributes:
        reach: Of one that was not measured, how good it can be at most: a ratio to the best.
    """

    state: State
    why: str = ""
    reach: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Where all configurations stand.

    Attributes:
        best: The best of those that seem to keep all limits, or None.
        standings: By id.
        gaps: By id, how much better than the best those are that were measured.
    """

    best: int | None
    standings: Mapping[int, Standing]
    gaps: Mapping[int, Gap | None]

    def those(self, *states: State) -> tuple[int, ...]:
        """Return the ids of those that stand so."""
        return tuple(id_ for id_, one in self.standings.items() if one.state in states)


def judge(space: Space, goal: Goal, evidence: Evidence) -> Judgement:
    """Return where each configuration stands."""
    out = {
        one.id: found
        for one in space.configurations
        if (found := _ruled_out(goal, evidence, one.id))
    }
    measured = [one for one in space.configurations if _is_measured(evidence, one)]
    fit = [one for one in measured if one.id not in out]
    likely = [one for one in fit if seems_to_keep(goal.slo, evidence.latencies_ns(one.id))]
    best = _best(likely, evidence)
    yardstick = best if best is not None else _best(measured, evidence)
    gaps = {
        one.id: evidence.gap(one.id, yardstick) if yardstick is not None else None
        for one in measured
    }
    standings = dict(out)
    for one in fit:
        standings[one.id] = _in_race(space, one, best, gaps[one.id])
    waiting = _Waiting(space, goal, evidence, out, gaps, best)
    for one in space.configurations:
        if one.id not in standings:
            standings[one.id] = waiting.of(one)
    ordered = {one.id: standings[one.id] for one in space.configurations}
    return Judgement(best, ordered, gaps)


def surely_below(gap: Gap, *, by: float = 0.0) -> bool:
    """Return whether a configuration is surely worse, by more than ``by`` (a logarithm)."""
    return gap.interval.high < -by


def as_ratio(interval: Interval) -> Interval:
    """Return a logarithm's interval as a ratio's."""
    bounds = (interval.value, interval.low, interval.high)
    return Interval(*(exp(min(one, MOST_LOG)) for one in bounds))


def _is_measured(evidence: Evidence, one: Configuration) -> bool:
    seen = evidence.seen.get(one.id)
    return seen is not None and seen.measured


def _ruled_out(goal: Goal, evidence: Evidence, id_: int) -> Standing | None:
    """Return why a configuration can never win, by itself; None where it may."""
    seen = evidence.seen.get(id_)
    if seen is None:
        return None
    if seen.failure:
        return Standing(State.FAILED, seen.failure[1])
    if goal.memory_bytes and (seen.memory_bytes or 0) > goal.memory_bytes:
        return Standing(State.TOO_LARGE, f"it held {format_bytes(seen.memory_bytes or 0)}")
    if seen.parity and seen.parity.status == "disagrees":
        return Standing(State.DISAGREES, seen.parity.reason or "its outputs disagree")
    if seen.broken:
        return Standing(State.UNCAPPED, seen.broken)
    if goal.slo and keeps(goal.slo, evidence.by_round(id_)) is Keeps.BREAKS:
        return Standing(State.BREAKS_SLO, f"it surely breaks {goal.slo}")
    return None


def _best(among: list[Configuration], evidence: Evidence) -> int | None:
    """Return the one with the best estimate."""
    best: int | None = None
    for one in among:
        gap = evidence.gap(one.id, best) if best is not None else None
        if best is None or (gap is not None and gap.value > 0):
            best = one.id
    return best


def _in_race(space: Space, one: Configuration, best: int | None, gap: Gap | None) -> Standing:
    if best is None or gap is None or one.id == best:
        return Standing(State.RACING)
    plainer = one.plainness < space.configurations[best].plainness
    if surely_below(gap, by=TIE if plainer else 0.0):
        return Standing(State.BEHIND, "surely worse than the best")
    return Standing(State.RACING)


class _Waiting:
    """Judges configurations that were not measured by those that were."""

    def __init__(
        self,
        space: Space,
        goal: Goal,
        evidence: Evidence,
        out: Mapping[int, Standing],
        gaps: Mapping[int, Gap | None],
        best: int | None,
    ) -> None:
        self._space, self._evidence, self._out, self._best = space, evidence, out, best
        self._aim = goal.aim
        self._measured = {
            id_: Reached(gap.value, gap.rounds.high) for id_, gap in gaps.items() if gap
        }
        self._reach = reaches(space, goal.aim, self._measured, self._difference)

    def of(self, one: Configuration) -> Standing:
        """Return whether it is worth a look, and if not why."""
        if why := self._by_limits(one) or self._by_failures(one):
            return Standing(State.SKIPPED, why)
        if self._best is None:
            return Standing(State.WAITING)
        if self._aim is Aim.LATENCY and self._smaller_ran(one):
            return Standing(State.SKIPPED, "a larger batch takes no less time")
        if self._aim is Aim.THROUGHPUT:
            end = ladder_ends(self._space, one.arm, self._measured, self._difference)
            if end is not None and one.size > end:
                why = f"up to batch {end}, two in a row gained less than 2 %"
                return Standing(State.SKIPPED, why)
        reach = self._reach[one.id]
        if reach < 0:
            ratio = exp(reach)
            why = f"it could reach {100 * ratio:.0f} % of the best, going by its like"
            return Standing(State.SKIPPED, why, ratio)
        return Standing(State.WAITING)

    def _by_limits(self, one: Configuration) -> str | None:
        for other in self._space.ladder(one.arm):
            if other.size >= one.size or other.id not in self._out:
                continue
            state = self._out[other.id].state
            if state is State.BREAKS_SLO:
                return f"batch {other.size} surely breaks the limit on latency already"
            if state is State.TOO_LARGE:
                return f"batch {other.size} needs more than the memory already"
        return None

    def _smaller_ran(self, one: Configuration) -> bool:
        ladder = self._space.ladder(one.arm)
        return any(other.size < one.size and other.id in self._measured for other in ladder)

    def _by_failures(self, one: Configuration) -> str | None:
        for other in self._space.configurations:
            standing = self._out.get(other.id)
            if standing is None or other.backend != one.backend:
                continue
            if standing.state is State.DISAGREES:
                return f"its outputs disagree at {other.name}"
            failure = self._evidence.of(other.id).failure
            if failure is None:
                continue
            smaller = other.arm == one.arm and other.size < one.size
            if failure[0] in OF_BACKEND or smaller:
                return f"{failure[0].replace('_', ' ')} at {other.name}"
        return None

    def _difference(self, of: int, over: int) -> Interval | None:
        gap = self._evidence.gap(of, over)
        return gap.rounds if gap else None
