"""The scatter of runs: robust, unbiased, and honest about how well it is known."""

from __future__ import annotations

import random
from math import sqrt
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.difference.scatter import Scatter, scatter_of, student, weighed

LOGS = st.lists(st.floats(-1, 1), min_size=2, max_size=30)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
def test_it_is_the_standard_deviation_of_normal_values(n: int) -> None:
    rng = random.Random(n)
    found = [scatter_of([[rng.gauss(7, 0.02) for _ in range(n)]]) for _ in range(2000)]
    assert fmean(one.sd for one in found if one) == pytest.approx(0.02, rel=0.05)


def test_levels_of_several_groups_do_not_count() -> None:
    """Versions of a framework differ by 30 %, and runs of each by 1 %."""
    rng = random.Random(1)
    found = [
        scatter_of([[level + rng.gauss(0, 0.01) for _ in range(4)] for level in (1, 1.3, 1.6)])
        for _ in range(1000)
    ]
    assert fmean(one.sd for one in found if one) == pytest.approx(0.01, rel=0.15)


def test_a_disturbed_run_in_five_does_not_decide() -> None:
    rng = random.Random(2)
    clean = [rng.gauss(0, 0.01) for _ in range(20)]
    spoilt = [*clean[:16], 0.5, 0.6, -0.4, 0.9]
    found, other = scatter_of([clean]), scatter_of([spoilt])
    assert found
    assert other
    assert other.sd < 2 * found.sd


@given(LOGS, st.floats(-5, 5), st.floats(0.1, 10))
def test_it_moves_with_the_unit_and_not_with_the_level(
    values: list[float], shift: float, scale: float
) -> None:
    plain = scatter_of([values])
    moved = scatter_of([[scale * value + shift for value in values]])
    assert plain
    assert moved
    assert moved.sd == pytest.approx(scale * plain.sd, abs=1e-9)
    assert moved.freedom == plain.freedom


def test_one_value_tells_nothing() -> None:
    assert scatter_of([]) is None
    assert scatter_of([[1.0], [2.0]]) is None


@pytest.mark.parametrize("n", [3, 6, 12])
def test_an_interval_of_it_holds_the_next_difference(n: int) -> None:
    """Of 3000 pairs of further runs at least 94 % lie in Student's interval with its freedom."""
    rng, inside = random.Random(n), 0
    for _ in range(3000):
        known = scatter_of([[rng.gauss(0, 1) for _ in range(n)]])
        assert known
        half = student(0.95, known.freedom) * sqrt(2) * known.sd
        inside += abs(rng.gauss(0, 1) - rng.gauss(0, 1)) <= half
    assert inside / 3000 >= 0.94


@given(st.lists(st.tuples(st.floats(1e-4, 1), st.floats(0.5, 50)), min_size=1, max_size=4))
def test_what_is_weighed_lies_between_its_parts(parts: list[tuple[float, float]]) -> None:
    known = [Scatter(sd, freedom, 3) for sd, freedom in parts]
    found = weighed(None, *known)
    assert min(one.sd for one in known) <= found.sd * (1 + 1e-9)
    assert found.sd <= max(one.sd for one in known) * (1 + 1e-9)
    assert found.freedom == pytest.approx(sum(one.freedom for one in known))
    assert found.runs == 3
