"""Which of those that are left is the answer, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from xbench.tuning.evidence import Evidence
from xbench.tuning.goal import Goal
from xbench.tuning.judgement import TIE, Judgement, State
from xbench.tuning.limits import Keeps, keeps, seems_to_keep
from xbench.tuning.space import Space

MOST_PROOFS = 2


class Sureness(StrEnum):
    """How sure the answer is."""

    BEST = "best"
    TIE = "tie"
    UNDETERMINED = "undetermined"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer.

    Attributes:
        winner: The configuration to use, or None where none may win.
        sureness: ``best``: nobody is better by more than 2 %; ``tie``: with its equals;
            ``undetermined``: a rival may be better by more than that.
        equals: Those that are within 2 % of the best, the whole interval; the winner is one.
        rivals: Others that may be better by more than 2 %.
        kept: Whether the winner keeps the limit on latency.
    """

    winner: int | None
    sureness: Sureness
    equals: tuple[int, ...] = ()
    rivals: tuple[int, ...] = ()
    kept: Keeps = Keeps.OPEN


def pick(space: Space, goal: Goal, evidence: Evidence, found: Judgement) -> Choice:
    """Return the answer that a judgement gives.

    Of equals the one with the fewest threads, the smallest batch and the least memory. One that is
    proven to keep the limit goes before one that could not be proven to.
    """
    pool = _pool(goal, evidence, found)
    if not pool:
        return Choice(None, Sureness.NONE)
    best = found.best if found.best in pool else _leader(pool, evidence)
    equals, rivals = [best], []
    for id_ in _likely(goal, evidence, found.those(State.RACING)):
        gap = evidence.gap(id_, best)
        if id_ == best:
            continue
        if gap is None or gap.interval.high > TIE:
            rivals.append(id_)
        elif gap.interval.low >= -TIE and id_ in pool:
            equals.append(id_)
    kept = {id_: keeps(goal.slo, evidence.by_round(id_)) for id_ in equals}
    proven = [id_ for id_ in equals if kept[id_] is Keeps.HOLDS]
    winner = min(
        proven or equals,
        key=lambda id_: (
            space.configurations[id_].plainness,
            evidence.of(id_).memory_bytes or 0,
            id_ != best,
        ),
    )
    sureness = Sureness.TIE if len(equals) > 1 else Sureness.BEST
    if rivals:
        sureness = Sureness.UNDETERMINED
    return Choice(winner, sureness, tuple(sorted(equals)), tuple(rivals), kept[winner])


def _pool(goal: Goal, evidence: Evidence, found: Judgement) -> list[int]:
    """Return those that may win: of finalists, if there were finals, and seemingly within limits.

    Who was tried twice and could not be proven to keep the limit steps back behind the others.
    """
    racing = found.those(State.RACING)
    finals = [id_ for id_ in racing if evidence.of(id_).finals] or list(racing)
    likely = _likely(goal, evidence, finals)
    provable = [id_ for id_ in likely if not _unproven(goal, evidence, id_)]
    return provable or likely


def _likely(goal: Goal, evidence: Evidence, among: Sequence[int]) -> list[int]:
    """Return those that seem to keep the limit on latency."""
    return [id_ for id_ in among if seems_to_keep(goal.slo, evidence.latencies_ns(id_))]


def _unproven(goal: Goal, evidence: Evidence, id_: int) -> bool:
    tried = evidence.of(id_).proofs >= MOST_PROOFS
    return tried and keeps(goal.slo, evidence.by_round(id_)) is Keeps.OPEN


def _leader(pool: Sequence[int], evidence: Evidence) -> int:
    best = pool[0]
    for id_ in pool[1:]:
        gap = evidence.gap(id_, best)
        if gap is not None and gap.value > 0:
            best = id_
    return best
