"""What is an alarm and what is not: error rates, references, and what moved together."""

from __future__ import annotations

import random
from math import log1p

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xbench.difference.simulated import (
    Machine,
    between,
    document,
    error_rates,
    past,
    side,
)
from xbench.difference.answer import Terms, diff
from xbench.difference.past import history_of
from xbench.errors import UsageError
from xbench.result import Verdict

QUIET = [(0.0, 0.001, -0.001, 0.0005)[row % 4] for row in range(8)]


@pytest.mark.parametrize("rows", [2, 5])
@pytest.mark.parametrize("history", [0, 10])
def test_nothing_changed_and_one_alarm_in_forty_at_most(rows: int, history: int) -> None:
    """On a machine whose runs move by 3 % together, and by 0.5 % each."""
    machine = Machine(rows=rows, own_sd=0.005, machine_sd=0.03)
    rates = error_rates(machine, history=history, pairs=80)
    assert rates.unchanged <= 0.025
    assert rates.together <= 0.025
    assert rates.besides <= 0.025


@pytest.mark.parametrize("rows", [2, 5])
def test_a_slow_down_of_five_per_cent_is_found(rows: int) -> None:
    """In 19 of 20 pairs, with ten earlier runs on a machine whose rows move by 0.4 % each."""
    machine = Machine(rows=rows, own_sd=0.004, machine_sd=0.03)
    assert error_rates(machine, history=10, pairs=80).planted >= 0.95


def test_a_row_by_itself_is_judged_by_what_the_machine_does() -> None:
    """A quiet machine shows 5 % with one row; one that moves by 3 % does not pretend to."""
    quiet, noisy = (Machine(rows=1, own_sd=0.002, machine_sd=sd) for sd in (0.002, 0.03))
    found = error_rates(quiet, history=30, pairs=60)
    assert found.unchanged <= 0.05
    assert found.planted >= 0.95
    assert error_rates(noisy, history=30, pairs=60).unchanged <= 0.05


def test_all_rows_slower_is_the_machine_and_is_said() -> None:
    found = between([1e6, 2e6, 3e6], [1.3e6, 2.6e6, 3.9e6])
    assert found.exit_status == 0
    assert found.moved_together
    assert all(row.ratio.low <= 1 <= row.ratio.high for row in found.rows)
    assert all(row.moved == pytest.approx(log1p(0.3)) for row in found.rows)
    earlier = [[1e6 * (1 + n % 3 / 100), 2e6, 3e6] for n in range(12)]
    raw = between([1e6, 2e6, 3e6], [1.3e6, 2.6e6, 3.9e6], *earlier, raw=True)
    assert [row.verdict for row in raw.rows] == [Verdict.SLOWER] * 3
    assert raw.exit_status == 1


def test_a_reference_that_is_named_decides() -> None:
    """Three of four rows became slower, and the user knows which has not changed."""
    runs = [1e6, 2e6, 3e6, 4e6], [1.1e6, 2.2e6, 3.3e6, 4e6]
    assert {row.verdict for row in between(*runs).rows[:3]} != {Verdict.SLOWER}
    found = between(*runs, references=frozenset({"backend3"}))
    assert [alarm.row for alarm in found.alarms] == ["backend0", "backend1", "backend2"]
    with pytest.raises(UsageError, match="no compared row is called 'backend9'"):
        between(*runs, references=frozenset({"backend9"}))


def test_two_rows_are_held_against_each_other() -> None:
    found = between([1e6, 2e6], [1e6, 2.2e6])
    assert [row.slower for row in found.rows] == pytest.approx([-log1p(0.1), log1p(0.1)])
    assert [alarm.row for alarm in found.alarms] == ["backend1"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=6))
def test_turned_sides_give_the_inverse_ratio(changes: list[float]) -> None:
    first = [1e6 * (n + 1) for n in range(len(changes))]
    second = [value * (1 + change) for value, change in zip(first, changes, strict=True)]
    there, back = between(first, second), between(second, first)
    for one, other in zip(there.rows, back.rows, strict=True):
        assert one.ratio.value == pytest.approx(1 / other.ratio.value)
        assert one.ratio.low == pytest.approx(1 / other.ratio.high)


def test_more_rows_need_wider_intervals() -> None:
    """They hold for all rows at once: forty rows raise no more false alarms than four."""

    def width(rows: int) -> float:
        run = [1e6 * (n + 1) for n in range(rows)]
        other = [value * (1 + QUIET[n % 8]) for n, value in enumerate(run)]
        earlier = [[v * (1 + 0.01 * (n % 3)) for v in run] for n in range(40)]
        ratio = between(run, other, *earlier, raw=True).rows[0].ratio
        return ratio.high / ratio.low

    assert width(1) < width(4) < width(40)


def test_a_run_whose_launches_differ_is_less_sure() -> None:
    calm = document([1e6, 2e6, 3e6], "a")
    torn = document([1e6, 2e6, 3e6], "b", width=0.1)
    sure = diff(side(calm), side(document([1e6, 2e6, 3e6], "c")), Terms())
    unsure = diff(side(calm), side(torn), Terms())
    for one, other in zip(sure.rows, unsure.rows, strict=True):
        assert other.ratio.high - other.ratio.low > 1.5 * (one.ratio.high - one.ratio.low)


def test_what_can_be_found_is_what_is_found() -> None:
    """A slow-down of `least` is found in about 19 of 20 pairs of drawn runs."""
    machine, rng = Machine(rows=4, own_sd=0.008, machine_sd=0.03), random.Random(5)
    earlier, found, told = [machine.draw(rng) for _ in range(50)], 0, []
    for _ in range(100):
        first = machine.draw(rng)
        least = between(first, machine.draw(rng), *earlier).rows[0].least
        told.append(least)
        found += bool(between(first, machine.draw(rng, {0: least}), *earlier).rows[0].alarm)
    assert found >= 88
    assert max(told) < 0.15


def test_history_is_of_other_runs_than_the_two() -> None:
    runs = past([1e6, 2e6], [1.5e6, 3e6])
    first, second = side(document([1e6, 2e6], "earlier0")), side(document([1e6, 2e6], "earlier1"))
    assert diff(first, second, Terms(), runs).runs == 0
    assert diff(first, second, Terms(), past(*[[1e6, 2e6]] * 5)).runs == 3


def test_a_slow_down_far_below_the_threshold_is_no_alarm() -> None:
    """It may be real, and is shown as slower; what was asked for is 5 %."""
    earlier = [[1e6, 2e6, 3e6, 4e6]] * 50
    found = between([1e6, 2e6, 3e6, 4e6], [1.02e6, 2e6, 3e6, 4e6], *earlier)
    assert not found.alarms
    assert between([1e6, 2e6, 3e6, 4e6], [1.02e6, 2e6, 3e6, 4e6], *earlier, slower=0.02).alarms


def test_a_real_slow_down_below_half_of_what_was_asked_for_is_shown_and_no_alarm() -> None:
    """2.2 % is surely slower and no tie; at a threshold of 5 % it takes 2.5 %."""
    run = [1e6, 2e6, 3e6, 4e6]
    found = between(run, [1.022e6, *run[1:]], *[run] * 50)
    assert found.rows[0].verdict is Verdict.SLOWER
    assert found.exit_status == 0
    assert between(run, [1.022e6, *run[1:]], *[run] * 50, slower=0.04).exit_status == 1


def test_runs_that_scatter_more_than_is_assumed_are_believed() -> None:
    """What is assumed, and rows that agree by chance, do not talk them down."""
    run, rng = [1e6, 2e6, 3e6, 4e6], random.Random(4)
    noisy = Machine(rows=4, own_sd=0.03, machine_sd=0.03)
    earlier = [noisy.draw(rng) for _ in range(8)]
    own = history_of(past(*earlier)).own
    for row in between(run, run, *earlier).rows:
        assert row.scatter.sd >= own[row.pair.first.key].sd > 0.01
