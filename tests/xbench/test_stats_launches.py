"""Intervals from launches: how often they hold the truth, by simulation."""

from __future__ import annotations

from math import inf, isclose, isinf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit

from xbench.launches import launch_interval
from xbench.result import Interval
from xbench.stats import half_width, ratio_interval, seconds_needed

positive = st.floats(1e-3, 1e3)
FINITE = st.integers(-(10**6), 10**6).map(lambda n: n / 64)  # sums of these are exact
ROUND_NOISE = 0.02


def draw_rounds(
    rng: np.random.Generator, launches: int, rounds: int, between: float, noise: str
) -> list[list[float]]:
    """Return rounds around 0: launches that differ, and rounds with noise of a kind."""
    values = rng.normal(0, ROUND_NOISE, (launches, rounds))
    if noise == "regimes":  # a fifth of the rounds far off, to either side
        off = rng.random(values.shape) < 0.2
        values += off * rng.choice([-0.6, 0.6], values.shape)
    elif noise == "tails":
        values = ROUND_NOISE * rng.standard_t(2, values.shape)
    found: list[list[float]] = (values + rng.normal(0, between, (launches, 1))).tolist()
    return found


def holds_zero(interval: Interval) -> bool:
    return interval.low <= 0 <= interval.high


def naive(by_launch: list[list[float]]) -> Interval:
    """Return what a benchmarker says that takes every round for independent evidence."""
    pooled = np.concatenate([np.array(rounds) for rounds in by_launch])
    half = float(stdtrit(pooled.size - 1, 0.975) * pooled.std(ddof=1) / np.sqrt(pooled.size))
    return Interval(float(pooled.mean()), float(pooled.mean()) - half, float(pooled.mean()) + half)


@pytest.mark.parametrize("noise", ["normal", "tails", "regimes"])
@pytest.mark.parametrize("between", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("launches", [3, 5])
def test_an_interval_holds_the_truth_though_launches_differ(
    launches: int, between: float, noise: str
) -> None:
    rng = np.random.default_rng(launches)
    runs = [draw_rounds(rng, launches, 12, between, noise) for _ in range(600)]
    least = 0.91 if noise == "regimes" and between > ROUND_NOISE else 0.93
    assert sum(holds_zero(launch_interval(run)) for run in runs) >= least * len(runs)


def test_a_launch_that_scatters_says_less() -> None:
    """One launch ran beside a busy neighbour: the others are not drowned by it."""
    rng = np.random.default_rng(6)
    ours, plain = [], []
    for _ in range(300):
        run = draw_rounds(rng, 4, 30, 0.0, "normal")
        run.append((20 * np.array(draw_rounds(rng, 1, 30, 0.0, "normal")[0])).tolist())
        ours.append(launch_interval(run).value)
        plain.append(float(np.mean([np.median(rounds) for rounds in run])))
    assert np.std(ours) < 0.5 * np.std(plain)


def test_pooling_the_rounds_of_launches_that_differ_would_not_do() -> None:
    rng = np.random.default_rng(1)
    runs = [draw_rounds(rng, 5, 12, 0.03, "normal") for _ in range(600)]
    assert sum(holds_zero(naive(run)) for run in runs) < 0.6 * len(runs)


def test_bursts_widen_a_mean_and_hardly_the_median() -> None:
    rng = np.random.default_rng(2)
    runs = [draw_rounds(rng, 5, 12, 0.0, "regimes") for _ in range(100)]
    ours = np.median([one.high - one.low for one in map(launch_interval, runs)])
    means = np.median([one.high - one.low for one in map(naive, runs)])
    assert ours < means / 2


def test_launches_of_unequal_length_count_alike() -> None:
    rng = np.random.default_rng(3)
    runs = []
    for _ in range(600):
        run = draw_rounds(rng, 4, 20, 0.02, "normal")
        runs.append([rounds[: int(rng.integers(1, 21))] for rounds in run])
    assert sum(holds_zero(launch_interval(run)) for run in runs) >= 0.93 * len(runs)
    assert launch_interval([[0.0] * 99, [1.0]]).value == 0.5


def test_launches_that_agree_by_chance_do_not_make_a_point() -> None:
    rounds = [-1.0, 1.0, 0.0, -0.5, 0.5]
    assert launch_interval([rounds, rounds, rounds]).high > 0.1
    assert launch_interval([rounds]).high > launch_interval([rounds] * 4).high


def test_one_launch_speaks_for_its_rounds() -> None:
    rng = np.random.default_rng(4)
    runs = [draw_rounds(rng, 1, 20, 0.0, "normal") for _ in range(1000)]
    assert sum(holds_zero(launch_interval(run)) for run in runs) >= 0.92 * len(runs)


def test_rounds_that_come_in_spells_are_less_evidence() -> None:
    """Each round resembles the one before; shuffled, the same rounds say more."""
    rng = np.random.default_rng(5)
    holding, naively = 0, 0
    for _ in range(600):
        steps = rng.normal(0, 1, 60)
        for i in range(1, 60):
            steps[i] += 0.6 * steps[i - 1]
        holding += holds_zero(launch_interval([steps.tolist()]))
        naively += holds_zero(naive([steps.tolist()]))
    assert holding >= 0.85 * 600
    assert naively <= 0.75 * 600


@given(st.lists(st.lists(FINITE, max_size=8), min_size=1, max_size=5), FINITE)
def test_an_interval_moves_with_its_values(by_launch: list[list[float]], shift: float) -> None:
    if not any(by_launch):
        with pytest.raises(ValueError, match="at least one round"):
            launch_interval(by_launch)
        return
    found = launch_interval(by_launch)
    moved = launch_interval([[value + shift for value in rounds] for rounds in by_launch])
    assert found.low <= found.value <= found.high
    assert isclose(moved.value, found.value + shift, rel_tol=1e-6, abs_tol=1e-3)
    assert isinf(moved.high) == isinf(found.high) == (sum(map(len, by_launch)) == 1)


def test_a_clocks_steps_do_not_make_a_point_of_an_interval() -> None:
    """More than half of the rounds are equal, so their middle half has no width."""
    found = launch_interval([[1.0] * 9 + [1.01, 0.99, 1.01]])
    assert found.low < 1.0 < found.high
    assert launch_interval([[2.0] * 5, [2.0] * 5]) == Interval(2.0, 2.0, 2.0)


@given(st.lists(st.lists(positive, min_size=2, max_size=6), min_size=1, max_size=4))
def test_the_ratio_of_the_inverse_is_the_inverse(ratios: list[list[float]]) -> None:
    there = ratio_interval([[log(one) for one in rounds] for rounds in ratios])
    back = ratio_interval([[-log(one) for one in rounds] for rounds in ratios])
    assert isclose(there.value * back.value, 1, rel_tol=1e-9)
    if there.low > 0 and there.high < inf:
        assert isclose(there.low * back.high, 1, rel_tol=1e-6)
        assert isclose(half_width(there), half_width(back), rel_tol=1e-6, abs_tol=1e-12)


def test_a_single_round_tells_no_spread() -> None:
    found = ratio_interval([[log(2)]])
    assert (found.low, found.high) == (0.0, inf)
    assert half_width(found) == inf
    assert seconds_needed(found, 0.01, 10) == inf
