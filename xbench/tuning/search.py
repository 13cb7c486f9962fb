"""What to measure next, until the best is known: a look at many, then full effort for a few.

1. A *look* is one launch of a short warm-up and a few rounds, beside the best so far. First every
   backend with all threads at its smallest batch, then the next batch of whatever may still win.
2. What is left after the looks runs in fresh launches, at full effort, all together: the *finals*.
3. Whether the outputs of these agree is found before; that the winner keeps its limit, after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Protocol

from xbench.load.slo import Slo
from xbench.result import PERCENTILES
from xbench.stats import samples_needed
from xbench.tuning.choice import MOST_PROOFS, pick
from xbench.tuning.evidence import Evidence
from xbench.tuning.goal import Aim, Goal
from xbench.tuning.judgement import TIE, Judgement, State, judge, surely_below
from xbench.tuning.limits import Keeps, keeps
from xbench.tuning.prospects import Prospects
from xbench.tuning.space import Configuration, Space

NARROW = log(1.02)
AT_ONCE = 2  # of one backend, while others wait for a look
PROOF_SHARE = 1.5  # of the inferences that a percentile needs: its bounds must narrow, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured.

    Attributes:
        time_budget_s: In which the search is to end.
        looks_share: Of the time, after which no look begins.
        alive: Most newcomers at once.
        look_rounds: Fewest and most rounds of a look.
        finalists: Most configurations that full effort is spent on.
        launches: Fewest and most launches of a finalist.
        rounds: Of a launch at full effort.
        proof_s: Most seconds to prove that a limit on latency is kept.
    """

    time_budget_s: float = 180.0
    looks_share: float = 0.65
    alive: int = 4
    look_rounds: tuple[int, int] = (3, 6)
    finalists: int = 4
    launches: tuple[int, int] = (2, 3)
    rounds: int = 12
    proof_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """Start these and measure a few rounds, beside the best so far, until they are told apart."""

    ids: tuple[int, ...]
    beside: int | None


@dataclass(frozen=True, slots=True)
class Check:
    """Compare the outputs of these with the reference's."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Final:
    """Measure a fresh launch of these, all together, at full effort."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prove:
    """Run one by itself for so many inferences."""

    id: int
    inferences: int


Step = Look | Check | Final | Prove


class Bench(Protocol):
    """Measures what it is asked to, and writes it into the evidence.

    Of each configuration that a step names something must become known, if only that it failed.
    """

    def look(self, ids: Sequence[int], beside: int | None, enough: Callable[[int], bool]) -> None:
        """Measure newcomers; ``enough`` tells after each round, by its number from 1."""

    def check(self, ids: Sequence[int]) -> None:
        """Judge outputs."""

    def final(self, ids: Sequence[int], rounds: int) -> None:
        """Measure a fresh launch."""

    def prove(self, id_: int, inferences: int) -> None:
        """Measure one by itself."""

    def spent_s(self) -> float:
        """Return the seconds since the search began."""


def search(space: Space, goal: Goal, evidence: Evidence, bench: Bench, effort: Effort) -> None:
    """Measure until the best is known, or the time is spent.

    Raises:
        InterruptedRunError: If the user asked to stop; the evidence has what there is until then.
    """
    while step := next_step(space, goal, evidence, effort, bench.spent_s()):
        match step:
            case Look():
                bench.look(step.ids, step.beside, _Enough(evidence, step, effort))
            case Check():
                bench.check(step.ids)
            case Final():
                bench.final(step.ids, effort.rounds)
            case Prove():
                bench.prove(step.id, step.inferences)


def exhaust(space: Space, evidence: Evidence, bench: Bench, effort: Effort) -> None:
    """Measure every configuration at full effort: what the search saves."""
    launches = max(effort.launches[0] + 1, 3)
    for _ in range(launches):
        for group in _groups(space, evidence, effort.alive):
            bench.final(group, effort.rounds)
    bench.check([one.id for one in space.configurations if not evidence.of(one.id).failure])


def next_step(
    space: Space, goal: Goal, evidence: Evidence, effort: Effort, spent_s: float
) -> Step | None:
    """Return what to measure next, or None where all is known that can be in the time."""
    found = judge(space, goal, evidence)
    in_time = spent_s < effort.time_budget_s
    if spent_s < effort.looks_share * effort.time_budget_s:
        newcomers = frontier(space, goal.aim, evidence, found)[: effort.alive]
        if newcomers:
            return Look(tuple(one.id for one in newcomers), found.best)
    finalists = choose_finalists(space, evidence, found, effort.finalists)
    unchecked = tuple(id_ for id_ in finalists if evidence.of(id_).parity is None)
    if unchecked:
        return Check(unchecked)
    if not finalists or not in_time:
        return None
    if not _decided(evidence, found, finalists, effort):
        return Final(finalists)
    return _proof(space, goal, evidence, found, effort, effort.time_budget_s - spent_s)


def frontier(space: Space, aim: Aim, evidence: Evidence, found: Judgement) -> list[Configuration]:
    """Return what is worth a look now, the most promising first: of each arm the next batch."""
    next_of: dict[tuple[str, int, int], Configuration] = {}
    for arm in space.arms:
        waiting = (o for o in space.ladder(arm) if found.standings[o.id].state is State.WAITING)
        if (first := next(waiting, None)) is not None:
            next_of[arm] = first
    begun = {space.configurations[id_].backend for id_ in evidence.seen}
    if new := _first_arms(next_of, begun):
        return new
    worth = {id_: gap.value for id_, gap in found.gaps.items() if gap}
    prospects = Prospects(space, aim, worth)
    ordered = sorted(next_of.values(), key=lambda one: (-prospects.of(one), one.plainness, one.id))
    return _in_turn(ordered)


def _in_turn(ordered: Sequence[Configuration]) -> list[Configuration]:
    """Return the same with the first two of every backend before the others of any.

    One that is far behind at its smallest batch may be the best at a larger one.
    """
    taken: dict[str, int] = {}
    turns: list[tuple[int, int, Configuration]] = []
    for place, one in enumerate(ordered):
        taken[one.backend] = taken.get(one.backend, 0) + 1
        turns.append((taken[one.backend] > AT_ONCE, place, one))
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])]


def _first_arms(
    next_of: dict[tuple[str, int, int], Configuration], begun: set[str]
) -> list[Configuration]:
    """Return, of each backend that was not started, its arm with one stream and most threads."""
    first: dict[str, Configuration] = {}
    for one in next_of.values():
        held = first.get(one.backend)
        if one.backend in begun:
            continue
        if held is None or (one.streams, -one.threads) < (held.streams, -held.threads):
            first[one.backend] = one
    return list(first.values())


def choose_finalists(
    space: Space, evidence: Evidence, found: Judgement, most: int
) -> tuple[int, ...]:
    """Return who is still in the race: the best by their estimates, where there are too many.

    One that had its launches already stays, so that no launch is lost.
    """
    racing = found.those(State.RACING)

    def rank(id_: int) -> tuple[bool, float, tuple[int, int, int]]:
        gap = found.gaps[id_]
        value = gap.value if gap else 0.0
        return id_ != found.best, -value, space.configurations[id_].plainness

    begun = [id_ for id_ in racing if evidence.of(id_).finals]
    others = sorted((id_ for id_ in racing if id_ not in begun), key=rank)
    room = most - len(begun)
    lacking = found.best is not None and found.best not in begun
    if begun and not lacking:
        return tuple(sorted(begun))
    return tuple(sorted([*begun, *others[: max(room, 1)]]))


def _decided(
    evidence: Evidence, found: Judgement, finalists: Sequence[int], effort: Effort
) -> bool:
    """Return whether nobody can be better than the best by more than a tie, or all is spent."""
    fewest = min(evidence.of(id_).finals for id_ in finalists)
    least, most = effort.launches
    if fewest < least:
        return False
    if fewest >= most:
        return True
    gaps = [found.gaps[id_] for id_ in finalists if id_ != found.best]
    return all(gap is not None and gap.interval.high <= TIE for gap in gaps)


def _proof(
    space: Space,
    goal: Goal,
    evidence: Evidence,
    found: Judgement,
    effort: Effort,
    left_s: float,
) -> Prove | None:
    """Return the proof that the winner still owes, if it can be had in time."""
    owing = pick(space, goal, evidence, found).winner
    if goal.slo is None or owing is None:
        return None
    rounds = evidence.by_round(owing)
    if keeps(goal.slo, rounds) is not Keeps.OPEN or evidence.of(owing).proofs >= MOST_PROOFS:
        return None
    timed = sum(map(len, rounds))
    wanted = max(_needed(goal.slo), timed) * PROOF_SHARE
    missing = max(1, round(wanted - timed))
    usual_s = sum(map(sum, rounds)) / timed / 1e9
    if missing * usual_s > min(left_s, effort.proof_s):
        return None
    return Prove(owing, missing)


def _needed(slo: Slo) -> int:
    return samples_needed(PERCENTILES[slo.percentile])


def _groups(space: Space, evidence: Evidence, most: int) -> list[list[int]]:
    """Return those that have not failed, so many at once, those of one batch together."""
    alive = [one for one in space.configurations if not evidence.of(one.id).failure]
    ids = [one.id for one in sorted(alive, key=lambda one: (one.size, one.id))]
    return [ids[start : start + most] for start in range(0, len(ids), most)]


@dataclass(frozen=True, slots=True)
class _Enough:
    """Tells whether a look has shown what it can."""

    evidence: Evidence
    step: Look
    effort: Effort

    def __call__(self, rounds: int) -> bool:
        """Return whether every newcomer is surely worse, or known well enough."""
        fewest, most = self.effort.look_rounds
        if rounds < fewest:
            return False
        return rounds >= most or all(map(self._known, self.step.ids))

    def _known(self, id_: int) -> bool:
        others = [one for one in (self.step.beside, *self.step.ids) if one not in (None, id_)]
        if not self.evidence.of(id_).measured or not others:
            return True
        gap = self.evidence.gap(id_, others[0]) if others[0] is not None else None
        if gap is None:
            return True
        return surely_below(gap) or gap.rounds.high - gap.rounds.value <= NARROW
