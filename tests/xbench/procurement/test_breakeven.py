"""Where two costs meet: by hand, and with intervals that hold the true volume."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xbench.procurement.breakeven import Cost, Costs, Outcome, break_even, crossing


def line(fixed: float, each: float) -> Cost:
    return lambda volume: fixed + each * volume


def costs(fixed: float, each: float, share: float = 0.0) -> Costs:
    return Costs(
        line(fixed, each),
        line(fixed * (1 - share), each * (1 - share)),
        line(fixed * (1 + share), each * (1 + share)),
    )


def test_two_lines_meet_where_they_do_by_hand() -> None:
    """1000 and 1 each against 200 and 3 each: 800 / 2 = 400."""
    bought, rented = costs(1000, 1), costs(200, 3)
    assert crossing(bought.value, rented.value, 1e4) == pytest.approx(400)
    told = break_even(bought, rented, 1e4)
    assert told.outcome is Outcome.CROSSES
    assert told.below == 1  # what is rented costs less below
    assert told.inferences_per_year is not None
    assert told.inferences_per_year.value == pytest.approx(400)
    assert break_even(rented, bought, 1e4).below == 0


def test_one_that_always_costs_less_is_named() -> None:
    assert break_even(costs(10, 1), costs(20, 2), 1e6).outcome is Outcome.FIRST
    assert break_even(costs(20, 2), costs(10, 1), 1e6).outcome is Outcome.SECOND
    assert break_even(costs(10, 1), costs(1000, 0.5), 1e2).outcome is Outcome.FIRST  # out of reach


def test_intervals_that_overlap_throughout_decide_nothing() -> None:
    assert break_even(costs(10, 1, 0.2), costs(11, 1.1, 0.2), 1e3).outcome is Outcome.UNDECIDED
    assert break_even(costs(10, 1), costs(10, 1), 1e3).outcome is Outcome.UNDECIDED


def test_a_meeting_that_may_never_come_has_no_upper_end() -> None:
    told = break_even(costs(1000, 1, 0.1), costs(200, 1.9, 0.3), 1e3)
    assert told.outcome is Outcome.CROSSES
    assert told.inferences_per_year is not None
    assert told.inferences_per_year.high == inf


amount = st.floats(1, 1e4)
inside = st.floats(-1, 1)


@given(amount, amount, amount, amount, st.floats(0, 0.3), inside, inside)
def test_the_interval_holds_where_the_true_costs_meet(
    fixed: float,
    each: float,
    other_fixed: float,
    other_each: float,
    share: float,
    at: float,
    other_at: float,
) -> None:
    """Whatever costs within both intervals are the true ones, they meet within the volume's."""
    most = 1e3
    first, second = costs(fixed, each, share), costs(other_fixed, other_each, share)
    told = break_even(first, second, most)
    true = crossing(
        line(fixed * (1 + share * at), each * (1 + share * at)),
        line(other_fixed * (1 + share * other_at), other_each * (1 + share * other_at)),
        most,
    )
    if told.outcome in (Outcome.FIRST, Outcome.SECOND):
        assert true is None
    assume(told.inferences_per_year is not None and true is not None)
    assert told.inferences_per_year is not None
    assert true is not None
    low, high = told.inferences_per_year.low, told.inferences_per_year.high
    assert low * (1 - 1e-9) - 1e-9 <= true <= high * (1 + 1e-9) + 1e-9
