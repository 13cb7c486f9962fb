"""What evidence allows to be said: of ratios over others, of who is out, and who is in again."""

from __future__ import annotations

from math import exp, log

import pytest

from xbench.result import Interval, Parity
from xbench.tuning.evidence import Evidence, Gap
from xbench.tuning.goal import Goal
from xbench.tuning.judgement import State, judge, surely_below
from xbench.tuning.space import make_space

SPACE = make_space(("a", "b", "c"), (1,), (1,), cpus=1)
A, B, C = range(3)


def evidence_of(*rounds: dict[int, float], launches: int = 1) -> Evidence:
    """Return evidence in which configurations took so many milliseconds, in each round."""
    evidence = Evidence(SPACE, Goal())
    for number, taken in enumerate(rounds):
        evidence.add(
            (number % launches, number), {id_: [round(ms * 1e6)] * 5 for id_, ms in taken.items()}
        )
    return evidence


def test_the_machine_s_own_change_is_no_difference() -> None:
    """Two that take turns while the machine slows down by half compare as if it had not."""
    rounds = [{A: 10 * pace, B: 12 * pace} for pace in (1, 1.1, 1.2, 1.3, 1.5)]
    gap = evidence_of(*rounds).gap(A, B)
    assert gap is not None
    assert exp(gap.value) == pytest.approx(1.2, rel=1e-6)
    assert gap.rounds.high - gap.rounds.low < 1e-6


def test_two_that_never_met_compare_over_one_that_both_met() -> None:
    early = [{A: 10 * pace, B: 20 * pace} for pace in (1, 1.1, 0.9)]
    late = [{B: 20 * pace, C: 15 * pace} for pace in (2, 2.2, 1.8)]  # the machine is at half speed
    evidence = evidence_of(*early, *late)
    gap = evidence.gap(C, A)
    assert gap is not None
    assert exp(gap.value) == pytest.approx(10 / 15, rel=1e-6)


def test_two_that_nothing_links_compare_by_what_each_reached() -> None:
    evidence = evidence_of(*[{A: 10.0 + jitter} for jitter in (0, 0.1, 0.2)], {B: 20.0}, {B: 20.2})
    gap = evidence.gap(A, B)
    assert gap is not None
    assert exp(gap.value) == pytest.approx(2.0, rel=0.02)
    assert evidence.gap(A, C) is None


def test_disturbed_rounds_do_not_count_where_there_are_quiet_ones() -> None:
    rounds = [{A: 10.0, B: 10.0}] * 4 + [{A: 10.0, B: 30.0}] * 5
    evidence = evidence_of(*rounds)
    evidence.quiet = frozenset((0, number) for number in range(4))
    gap = evidence.gap(A, B)
    assert gap is not None
    assert gap.value == pytest.approx(0.0)


def test_few_launches_must_tell_more_than_launches_differ_by() -> None:
    def gap(value: float, launches: int) -> Gap:
        narrow = Interval(value, value - 0.001, value + 0.001)
        return Gap(narrow, narrow if launches > 1 else None, launches)

    assert not surely_below(gap(log(0.97), 1))
    assert surely_below(gap(log(0.95), 1))
    assert surely_below(gap(log(0.99), 3))
    assert not surely_below(gap(log(0.99), 3), by=log(1.02))


def test_who_was_out_for_a_wrong_best_is_in_again() -> None:
    evidence = evidence_of(*[{A: 10.0, B: 20.0, C: 30.0}] * 4)
    before = judge(SPACE, Goal(), evidence)
    assert before.best == A
    assert before.those(State.BEHIND) == (B, C)
    evidence.of(A).parity = Parity("disagrees", reason="off by a half")
    after = judge(SPACE, Goal(), evidence)
    assert after.best == B
    assert after.standings[A].state is State.DISAGREES
    assert after.those(State.BEHIND) == (C,)


def test_a_row_whose_caps_did_not_hold_is_no_best() -> None:
    evidence = evidence_of(*[{A: 10.0, B: 20.0}] * 4)
    evidence.of(A).broken = "4 threads were busy"
    found = judge(SPACE, Goal(), evidence)
    assert found.best == B
    assert found.standings[A].state is State.UNCAPPED
    assert found.standings[A].why == "4 threads were busy"


def test_combinations_that_are_more_than_the_cpus_are_left_out_and_told() -> None:
    space = make_space(("a",), (1, 2), (1, 2), (1, 2), cpus=2)
    assert {(one.threads, one.streams) for one in space.configurations} == {(1, 1), (2, 1), (1, 2)}
    assert [what for what, _ in space.left_out] == ["2 streams of 2 threads"]
    assert [one.id for one in space.configurations] == list(range(len(space)))
