"""Percentiles, verdicts, regimes, ranks and orders: what they promise, by simulation."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import inf, isclose, nextafter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import bdtr

from xbench.result import PERCENTILES, Interval, Verdict
from xbench.stats import (
    half_width,
    latency,
    percentile,
    percentile_interval,
    quiet_limit,
    quiet_rounds,
    ranks,
    samples_needed,
    seconds_needed,
    verdict,
    williams,
)

positive = st.floats(1e-3, 1e3)
FINITE = st.floats(-1e9, 1e9)

# Percentiles


@given(st.lists(FINITE, min_size=1), st.floats(0, 100))
def test_a_percentile_is_numpys_and_lies_within_the_values(values: list[float], q: float) -> None:
    found = percentile(values, q)
    assert isclose(found, float(np.percentile(values, q)), rel_tol=1e-9, abs_tol=1e-6)
    assert min(values) <= found <= max(values)


@pytest.mark.parametrize(("values", "q"), [([], 50), ([1.0], -1), ([1.0], 100.5)])
def test_a_percentile_that_does_not_exist_is_refused(values: list[float], q: float) -> None:
    with pytest.raises(ValueError, match="need values"):
        percentile(values, q)


def test_samples_needed_are_those_of_mlperf_loadgen() -> None:
    assert [samples_needed(q) for q in (90, 95, 99, 99.9)] == [64, 130, 662, 6636]


@given(st.floats(50, 99.95), st.floats(0.5, 0.9999))
def test_samples_needed_is_the_smallest_count_that_does(q: float, confidence: float) -> None:
    n = samples_needed(q, confidence)
    assert float(bdtr(1, n, 1 - q / 100)) <= 1 - confidence + 1e-12
    assert n == 2 or float(bdtr(1, n - 1, 1 - q / 100)) > 1 - confidence - 1e-12


@pytest.mark.parametrize(("q", "confidence"), [(100, 0.99), (49, 0.99), (90, 1.0), (90, 0.0)])
def test_what_no_count_of_samples_proves_is_refused(q: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="need 50 <= q"):
        samples_needed(q, confidence)


def test_a_percentile_has_no_interval_below_the_count_and_one_from_it() -> None:
    for q in PERCENTILES.values():
        enough = list(range(samples_needed(q)))
        assert percentile_interval(enough[:-1], q) is None
        assert percentile_interval(enough, q) is not None


@pytest.mark.parametrize(("q", "n"), [(50, 11), (50, 200), (90, 64), (95, 300), (99, 662)])
def test_each_bound_of_a_percentile_holds_as_often_as_it_says(q: float, n: int) -> None:
    """Of 3000 draws from a skewed distribution with known percentiles."""
    rng = np.random.default_rng(int(q) * n)
    true = float(-np.log1p(-q / 100))
    found = [percentile_interval(rng.exponential(size=n).tolist(), q) for _ in range(3000)]
    below = sum(one is not None and one.low <= true for one in found)
    above = sum(one is not None and true <= one.high for one in found)
    assert min(below, above) >= 0.985 * len(found)  # 0.99, less three standard errors


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=700))
def test_a_summary_keeps_its_order_and_its_counts(values_ns: list[int]) -> None:
    found = latency(values_ns)
    assert (found.n, found.min, found.max) == (len(values_ns), min(values_ns), max(values_ns))
    assert found.min <= nextafter(found.mean, inf)
    assert found.needed.keys() == found.percentiles.keys() == PERCENTILES.keys()
    for name, interval in found.percentiles.items():
        assert (interval is None) == (found.n < found.needed[name])
        if interval:
            assert found.min <= interval.low <= interval.value <= interval.high <= found.max


# Verdicts


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (None, Verdict.UNDETERMINED),
        (Interval(1.5, 1.4, 1.6), Verdict.FASTER),
        (Interval(0.5, 0.4, 0.6), Verdict.SLOWER),
        (Interval(1.0, 0.99, 1.01), Verdict.TIE),
        (Interval(1.01, 1.005, 1.015), Verdict.TIE),  # told apart, and as good as equal
        (Interval(1.02, 1.005, 1.035), Verdict.FASTER),
        (Interval(1.0, 0.9, 1.1), Verdict.UNDETERMINED),
        (Interval(1.0, 0.0, inf), Verdict.UNDETERMINED),
    ],
)
def test_a_verdict_says_what_the_interval_allows(ratio: Interval | None, said: Verdict) -> None:
    assert verdict(ratio, 0.02) is said


@given(positive, st.floats(0, 1), st.floats(0.001, 0.2), st.floats(0.01, 0.999))
def test_a_run_that_reaches_its_precision_is_decided(
    low: float, inside: float, target: float, share: float
) -> None:
    high = low * (1 + 2 * target * share)
    ratio = Interval(low + inside * (high - low), low, high)
    assert half_width(ratio) <= target
    assert verdict(ratio, 2 * target) is not Verdict.UNDETERMINED


@given(positive, st.floats(1, 3), st.floats(0.001, 0.5))
def test_a_verdict_turns_round_with_the_ratio(low: float, factor: float, margin: float) -> None:
    there, back = Interval(low, low, low * factor), Interval(low, 1 / (low * factor), 1 / low)
    opposite = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    edges = (1 / (1 + margin), 1 + margin, 1.0)
    if not any(isclose(bound, e, rel_tol=1e-9) for bound in (low, low * factor) for e in edges):
        said = verdict(there, margin)
        assert verdict(back, margin) is opposite.get(said, said)


@given(st.floats(0.001, 0.5), st.floats(0.001, 0.5), st.floats(0.1, 1e3))
def test_half_the_width_takes_four_times_as_long(width: float, target: float, spent: float) -> None:
    found = seconds_needed(Interval(1, 1, 1 + 2 * width), target, spent)
    assert (found > 0) == (width > target) or isclose(width, target)
    squared = seconds_needed(Interval(1, 1, (1 + 2 * target) ** 2), target, spent)
    assert isclose(squared, 3 * spent, rel_tol=1e-6)


# Regimes of the machine


@pytest.mark.parametrize(("quiet", "slow"), [(30, 10), (20, 20), (10, 30), (8, 32), (4, 16)])
def test_two_regimes_are_told_apart(quiet: int, slow: int) -> None:
    """Down to a fifth of quiet rounds, wherever they stand in the run."""
    rng = np.random.default_rng(quiet)
    for _ in range(200):
        times = np.r_[rng.normal(1.0, 0.04, quiet), rng.normal(1.9, 0.08, slow)]
        order = rng.permutation(times.size)
        canary = {place: float(times[i]) for place, i in enumerate(order)}
        assert quiet_rounds(canary) == {place for place, i in enumerate(order) if i < quiet}


def test_a_lucky_round_is_no_regime() -> None:
    """One or two rounds far below the rest do not make the rest disturbed."""
    rng = np.random.default_rng(6)
    times = [0.6, 0.65, *rng.normal(1.0, 0.04, 30), *rng.normal(1.9, 0.08, 10)]
    assert quiet_rounds(dict(enumerate(times))) == set(range(32))


@given(st.lists(st.floats(1.0, 1.2), max_size=40), st.floats(1e-3, 1e9))
def test_one_regime_is_quiet(times: list[float], unit: float) -> None:
    canary = {place: time * unit for place, time in enumerate(times)}
    assert quiet_rounds(canary) == canary.keys()


@pytest.mark.parametrize(
    "times",
    [
        [],
        [1.0],
        [1.0, 1.0, 1.0, 9.0],  # three alone are no regime
        [1.0] * 3 + [2.0 * 1.3**i for i in range(17)],  # nor is a seventh of all
        [2.0**i for i in range(30)],
    ],
)
def test_where_no_regime_can_be_told_all_rounds_count(times: list[float]) -> None:
    assert quiet_rounds(dict(enumerate(times))) == set(range(len(times)))
    assert quiet_limit(times) is None


# Ranks

TIE, FASTER, SLOWER, OPEN = Verdict.TIE, Verdict.FASTER, Verdict.SLOWER, Verdict.UNDETERMINED


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ({(0, 1): SLOWER, (0, 2): SLOWER, (1, 2): SLOWER}, {0: 1, 1: 2, 2: 3}),
        ({(1, 0): TIE, (0, 2): SLOWER, (1, 2): SLOWER}, {0: 1, 1: 1, 2: 3}),
        ({(0, 1): OPEN, (0, 2): SLOWER, (2, 1): OPEN}, {0: 1, 1: 1, 2: 3}),
        ({(1, 0): FASTER, (2, 0): FASTER, (1, 2): TIE}, {0: 1, 1: 2, 2: 2}),
        ({}, {0: 1, 1: 1, 2: 1}),
    ],
)
def test_rows_that_were_not_told_apart_share_a_rank(
    verdicts: dict[tuple[int, int], Verdict], expected: dict[int, int]
) -> None:
    assert ranks({2: 3.0, 0: 1.0, 1: 2.0}, verdicts) == expected


@given(st.dictionaries(st.integers(0, 9), positive, max_size=8), st.data())
def test_ranks_are_competition_ranks(p50: dict[int, float], data: st.DataObject) -> None:
    pairs = [(a, b) for a in p50 for b in p50 if a < b]
    said = {pair: data.draw(st.sampled_from(list(Verdict))) for pair in pairs}
    found = ranks(p50, said)
    counts = Counter(found.values())
    assert found.keys() == p50.keys()
    assert all(rank == 1 + sum(counts[lower] for lower in range(rank)) for rank in counts)


# Orders


@given(st.integers(1, 9), st.integers())
@settings(deadline=None)
def test_a_williams_square_balances_places_and_predecessors(n: int, seed: int) -> None:
    square = williams(n, seed)
    assert len(square) == (n if n % 2 == 0 or n == 1 else 2 * n)
    assert all(sorted(row) == list(range(n)) for row in square)
    places = Counter((place, cell) for row in square for place, cell in enumerate(row))
    after = Counter(pair for row in square for pair in pairwise(row))
    assert len(set(places.values())) == 1
    assert len(places) == n * n
    assert len(after) == n * (n - 1)
    assert len(set(after.values())) <= 1


def test_the_seed_decides_the_order() -> None:
    assert williams(4, 1) == williams(4, 1)
    assert len({williams(4, seed) for seed in range(20)}) > 1
    assert williams(0, 0) == ()
