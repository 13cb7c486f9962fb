"""Schedules: what chance draws, and what it does not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbench.load.arrivals import schedule_ns
from xbench.load.scenario import parse_scenario

POISSON, CONSTANT = parse_scenario("server:200"), parse_scenario("server:200,arrivals=constant")
seeds = st.integers(0, 2**32)


@settings(max_examples=25)
@given(st.floats(1, 5000), st.floats(0.1, 3), seeds)
def test_a_schedule_is_in_order_and_within_its_window(
    rate: float, seconds: float, seed: int
) -> None:
    for scenario in (f"server:{rate:f}", f"server:{rate:f},arrivals=constant"):
        found = schedule_ns(parse_scenario(scenario), seconds, seed)
        assert found == sorted(found)
        assert all(0 <= due_ns <= seconds * 1e9 + 1 for due_ns in found)


@settings(max_examples=25)
@given(seeds)
def test_the_seed_decides_and_a_longer_window_begins_alike(seed: int) -> None:
    short, again = (schedule_ns(POISSON, 2.0, seed) for _ in range(2))
    longer, other = schedule_ns(POISSON, 60.0, seed), schedule_ns(POISSON, 2.0, seed + 1)
    assert short == again != other
    assert longer[: len(short)] == short


def test_poisson_arrivals_come_at_the_rate_with_exponential_gaps() -> None:
    """Mean, spread and the share of short gaps, within four standard errors."""
    gaps_s = np.diff([0, *schedule_ns(POISSON, 500.0, 7)]) / 1e9
    error = 4 / np.sqrt(len(gaps_s))
    assert abs(len(gaps_s) / 500 / 200 - 1) < error
    assert abs(gaps_s.std() / gaps_s.mean() - 1) < 2 * error
    assert abs((gaps_s < 1 / 200).mean() - (1 - np.exp(-1))) < error


def test_constant_arrivals_have_one_gap() -> None:
    found = schedule_ns(CONSTANT, 1.0, 0)
    assert len(found) == 200
    assert {after - before for before, after in pairwise([0, *found])} == {5_000_000}


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e12, float("nan")])
def test_a_window_without_requests_or_with_too_many_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="requests"):
        schedule_ns(POISSON, seconds, 0)
