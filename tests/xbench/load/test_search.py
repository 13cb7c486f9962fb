"""The search for the largest rate, on simulated servers whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbench.load.search import Found, Reading, Saturated, Says, largest_rate, says
from xbench.load.theory import mm1_percentile_s
from xbench.result import Interval

SERVICE_S = 0.01
CAPACITY_PER_S = 1 / SERVICE_S


def holds_up_to(limit_ns: float) -> float:
    """Return the largest rate of an M/M/1 server whose p99 is within the limit."""
    return CAPACITY_PER_S + log(0.01) * 1e9 / limit_ns


def noisy(seed: int, spread: float = 0.03) -> Callable[[float], Reading]:
    """Return a measurement of M/M/1: off by chance, with bounds that each hold in 99 %."""
    rng = np.random.default_rng(seed)

    def measure(rate_per_s: float) -> Reading:
        true_ns = mm1_percentile_s(rate_per_s, SERVICE_S, 99) * 1e9
        if not true_ns < 1e12:
            return Saturated("too many requests")
        value = true_ns * np.exp(rng.normal(0, spread))
        return Interval(value, value * np.exp(-2.326 * spread), value * np.exp(2.326 * spread))

    return measure


def exact(rate_per_s: float) -> Reading:
    """Return a measurement without noise."""
    return noisy(0, 0.0)(rate_per_s)


limits_ns = st.floats(60e6, 3e9)
guesses = st.floats(0.5, 500)


@given(limits_ns, guesses)
def test_without_noise_the_largest_rate_is_found_within_the_tolerance(
    limit_ns: float, guess: float
) -> None:
    found = largest_rate(exact, limit_ns, guess, tolerance=0.02, most=60)
    assert found.stopped == "tolerance"
    assert found.holds_per_s is not None
    assert found.fails_per_s is not None
    assert found.holds_per_s <= holds_up_to(limit_ns) < found.fails_per_s
    assert found.fails_per_s - found.holds_per_s <= 0.02 * found.fails_per_s


@settings(max_examples=200)
@given(limits_ns, guesses, st.integers(0, 2**32))
def test_with_noise_no_rate_is_claimed_that_did_not_hold_twice(
    limit_ns: float, guess: float, seed: int
) -> None:
    found = largest_rate(noisy(seed), limit_ns, guess, most=60)
    if found.holds_per_s is None:
        return
    own = [one for one in found.trials if one.rate_per_s == found.holds_per_s]
    assert sum(one.says is Says.HOLDS for one in own) >= 2
    assert not any(one.says is Says.FAILS for one in own)
    for one in own:
        if one.says is Says.HOLDS:
            assert isinstance(one.reading, Interval)
            assert one.reading.high <= limit_ns


def test_with_noise_the_claim_is_seldom_too_high_and_not_far_too_low() -> None:
    """Of 400 searches: bounds of 99 %, and a claim needs two measurements."""
    limit_ns = 200e6
    true = holds_up_to(limit_ns)
    found = [largest_rate(noisy(seed), limit_ns, 40.0, most=60) for seed in range(400)]
    claims = [one.holds_per_s for one in found if one.holds_per_s is not None]
    assert len(claims) >= 395
    assert sum(claim > true for claim in claims) <= 8
    assert np.median(claims) > 0.95 * true


def test_a_rate_whose_interval_straddles_the_limit_is_open() -> None:
    """Bounds of ten per cent: rates near the limit are named as open, and none is claimed."""

    def wide(rate_per_s: float) -> Reading:
        true_ns = mm1_percentile_s(rate_per_s, SERVICE_S, 99) * 1e9
        return Interval(true_ns, 0.9 * true_ns, 1.1 * true_ns) if true_ns < 1e12 else Saturated()

    limit_ns = 200e6
    found = largest_rate(wide, limit_ns, 40.0, most=60)
    assert found.holds_per_s is not None
    assert found.holds_per_s <= holds_up_to(limit_ns / 1.1)
    assert found.fails_per_s is not None
    assert found.fails_per_s >= holds_up_to(limit_ns / 0.9)
    assert found.open_per_s
    assert all(found.holds_per_s < rate < found.fails_per_s for rate in found.open_per_s)


def test_a_limit_that_no_rate_holds_is_said_to_be_held_by_none() -> None:
    """Below the p99 of the service itself, 46 ms."""
    found = largest_rate(exact, 40e6, 50.0)
    assert (found.holds_per_s, found.stopped) == (None, "none holds")


def test_too_few_requests_to_tell_claim_nothing() -> None:
    found = largest_rate(lambda _: None, 100e6, 50.0)
    assert (found.holds_per_s, found.fails_per_s, found.stopped) == (None, None, "budget")
    assert {one.says for one in found.trials} == {Says.OPEN}


@given(limits_ns, st.integers(1, 8))
def test_the_budget_is_kept_and_what_was_proven_by_then_is_told(limit_ns: float, most: int) -> None:
    found = largest_rate(exact, limit_ns, 10.0, most=most)
    assert len(found.trials) <= most
    assert [one.number for one in found.trials] == list(range(len(found.trials)))
    if found.holds_per_s is not None:
        assert found.holds_per_s <= holds_up_to(limit_ns)


def test_time_that_is_up_ends_the_search() -> None:
    left = iter([True, True, False])
    found = largest_rate(exact, 200e6, 10.0, go_on=lambda: next(left))
    assert (len(found.trials), found.stopped) == (2, "budget")


def test_one_measurement_that_errs_is_put_right_by_the_next() -> None:
    """A disturbance that makes 60 a second fail once is contradicted, so it bounds nothing."""
    asked: list[float] = []

    def measure(rate_per_s: float) -> Reading:
        asked.append(rate_per_s)
        return (
            Saturated()
            if rate_per_s > 90
            else Interval(*([9e8 if asked.count(60) == 1 and rate_per_s == 60 else 1e8] * 3))
        )

    found: Found = largest_rate(measure, 2e8, 30.0, most=60)
    assert found.holds_per_s is not None
    assert 85 < found.holds_per_s <= 90


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (Interval(5, 4, 6), Says.HOLDS),
        (Interval(9, 8, 10), Says.HOLDS),
        (Interval(9, 8, 11), Says.OPEN),
        (Interval(11, 10, 12), Says.OPEN),
        (Interval(12, 10.5, 13), Says.FAILS),
        (Saturated(), Says.FAILS),
        (None, Says.OPEN),
    ],
)
def test_what_a_measurement_says_of_a_limit_of_ten(reading: Reading, said: Says) -> None:
    assert says(reading, 10) is said


def test_what_held_once_is_measured_again_before_it_is_claimed() -> None:
    """When the time is over after four measurements, a fifth makes the best of them sure."""
    asked: list[float] = []

    def measure(rate_per_s: float) -> Reading:
        asked.append(rate_per_s)
        return exact(rate_per_s)

    def search(*, confirm: bool) -> Found:
        asked.clear()
        return largest_rate(
            measure, 1e9, 20.0, go_on=lambda: len(asked) < 4, confirm=lambda: confirm
        )

    without, confirmed = search(confirm=False), search(confirm=True)
    assert without.stopped == confirmed.stopped == "budget"
    assert without.holds_per_s is None
    assert confirmed.holds_per_s == max(rate for rate in asked if rate <= holds_up_to(1e9))
    assert asked.count(confirmed.holds_per_s) == 2
