"""Fronts and ties: nothing wins by a difference that its interval does not carry."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.xbench.report.runs import intervals
from xbench.procurement.pareto import beats, cheapest, front, lower, tied
from xbench.result import Interval

pairs = st.tuples(intervals(), intervals())


def at(value: float, half: float = 0.0) -> Interval:
    return Interval(value, value - half, value + half)


def test_overlapping_intervals_are_a_tie() -> None:
    assert tied(at(10, 1), at(11.5, 1))
    assert not lower(at(10, 1), at(11.5, 1))
    assert lower(at(10, 1), at(12.5, 1))
    assert tied(at(10), at(10))


def test_the_front_holds_who_is_better_in_one_and_drops_who_is_worse_in_both() -> None:
    cheap, fast, beaten = (at(1), at(9)), (at(9), at(1)), (at(9.5), at(9.5))
    assert front([cheap, fast, beaten]) == (True, True, False)


def test_a_tie_does_not_push_anyone_off_the_front() -> None:
    """Cheaper for certain, perhaps slower: the other keeps its place by its worst end."""
    assert front([(at(1), at(10, 2)), (at(5), at(10, 1))]) == (True, True)
    assert front([(at(1), at(10, 1)), (at(5), at(10, 2))]) == (True, False)


def test_the_cheapest_comes_first_and_after_it_all_that_tie_with_it() -> None:
    assert cheapest([at(10), at(5, 1), at(5.5, 1), at(20)]) == (1, 2)
    assert cheapest([at(3), at(5)]) == (0,)
    assert cheapest([]) == ()


@given(st.lists(pairs, min_size=1, max_size=8))
def test_a_front_is_never_empty_and_nobody_on_it_beats_another(
    options: list[tuple[Interval, Interval]],
) -> None:
    on_front = [one for one, kept in zip(options, front(options), strict=True) if kept]
    assert on_front
    assert not any(beats(one, other) for one in on_front for other in on_front)


@given(st.lists(pairs, min_size=1, max_size=8))
def test_whoever_is_off_the_front_is_beaten_by_someone_on_it(
    options: list[tuple[Interval, Interval]],
) -> None:
    kept = front(options)
    on_front = [one for one, stays in zip(options, kept, strict=True) if stays]
    for one, stays in zip(options, kept, strict=True):
        assert stays or any(beats(other, one) for other in on_front)


@given(pairs, pairs)
def test_no_two_beat_each_other(
    first: tuple[Interval, Interval], second: tuple[Interval, Interval]
) -> None:
    assert not (beats(first, second) and beats(second, first))


@given(st.lists(intervals(), min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_the_currency_decides_nothing(costs: list[Interval], rate: float) -> None:
    other = [Interval(c.value * rate, c.low * rate, c.high * rate) for c in costs]
    assert set(cheapest(other)) == set(cheapest(costs))
