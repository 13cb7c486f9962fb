"""Percentiles of latencies that hang together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xbench.load.tail import known, latency
from xbench.load.theory import mm1_percentile_s
from xbench.result import PERCENTILES
from xbench.stats import latency as of_independent
from xbench.stats import samples_needed

positive = st.floats(1, 1e9)


def queue(rho: float, n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the times in an M/M/1 server with service 1, by Lindley's recursion in one go."""
    rng = np.random.default_rng(seed)
    due, service = np.cumsum(rng.exponential(1 / rho, n)), rng.exponential(1.0, n)
    done = np.cumsum(service)
    before = np.concatenate(([0.0], done[:-1]))
    end = np.maximum.accumulate(due - before) + done
    return end - due, np.concatenate(([True], end[:-1] <= due[1:]))


@given(st.lists(positive, min_size=1, max_size=900))
def test_requests_that_each_found_the_server_empty_are_independent(values: list[float]) -> None:
    """Every one a cycle: never narrower bounds than independent samples have."""
    found, plain = latency(values, [True] * len(values)), of_independent(values)
    assert (found.n, found.min, found.max) == (plain.n, plain.min, plain.max)
    for name in PERCENTILES:
        own, other = found.percentiles[name], plain.percentiles[name]
        if own:
            assert other
            assert own.value == other.value
            assert own.low <= other.low
            assert own.high >= other.high


def test_independent_samples_keep_nearly_all_their_worth() -> None:
    values = np.random.default_rng(0).exponential(size=20_000)
    found = known(values.tolist(), [True] * len(values), 99)
    assert found.interval
    assert found.effective > 0.9 * len(values)


@pytest.mark.parametrize(("rho", "n"), [(0.3, 3_000), (0.6, 12_000), (0.6, 24_000)])
def test_bounds_hold_for_a_queue_as_often_as_they_say(rho: float, n: int) -> None:
    """Of 300 runs; bounds for independent samples fail several times as often."""
    true = mm1_percentile_s(rho, 1.0, 99)
    given = plain = misses = plain_misses = 0
    for seed in range(300):
        values, begins = queue(rho, n, seed)
        own = known(values.tolist(), begins.tolist(), 99).interval
        other = of_independent(values.tolist()).percentiles["p99"]
        assert other
        plain += 1
        plain_misses += not other.low <= true <= other.high
        if own:
            given += 1
            misses += not own.low <= true <= own.high
    assert given > 250
    assert misses <= 6
    if rho > 0.5:
        assert plain_misses > 0.15 * plain


def test_one_slow_spell_bounds_no_percentile() -> None:
    """A thousand requests, fifty of them slow in a row."""
    values = [1.0] * 500 + [100.0] * 50 + [1.0] * 450
    begins = [True] * 500 + [False] * 50 + [True] * 450
    found = known(values, begins, 99)
    assert found.interval is None
    assert found.needed > 10_000
    assert known(values, begins, 50).interval


def test_a_run_that_is_one_cycle_bounds_nothing() -> None:
    values, begins = queue(0.8, 5_000, 1)
    for q in PERCENTILES.values():
        assert known(values.tolist(), [False] * len(values), q).interval is None
    assert known(values, [False, *begins[1:]], 50) == known(values, begins, 50)


@pytest.mark.parametrize("q", PERCENTILES.values())
def test_constant_latencies_are_known_from_as_many_as_independent_ones(q: float) -> None:
    enough = samples_needed(q)
    found = known([7.0] * enough, [True] * enough, q)
    assert found.interval
    assert (found.interval.low, found.interval.high) == (7.0, 7.0)
    assert known([7.0] * (enough - 1), [True] * (enough - 1), q).interval is None


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.floats(0.05, 0.9))
def test_order_is_kept_and_what_is_needed_is_more(seed: int, rho: float) -> None:
    values, begins = queue(rho, 2_000, seed)
    found = latency(values.tolist(), begins.tolist())
    for name, q in PERCENTILES.items():
        interval = found.percentiles[name]
        if interval:
            assert found.min <= interval.low <= interval.value <= interval.high <= found.max
        else:
            assert found.needed[name] > found.n
        assert found.needed[name] >= samples_needed(q)
