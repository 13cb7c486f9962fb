"""M/G/1 over a measured service time: against closed forms, a simulation, and what must rise."""

from __future__ import annotations

import random
from math import inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbench.load import theory
from xbench.procurement.queueing import (
    FINEST,
    Service,
    fill_s,
    from_knots,
    largest_utilisation,
    sojourn_percentile_s,
    sojourn_share,
)

SERVICE_S = 0.004
CONSTANT = Service((SERVICE_S, SERVICE_S), (0.0, 1.0))
KNOTS = np.concatenate(([0.0], 1 - np.logspace(-0.001, -7, 2000), [1.0]))
EXPONENTIAL = Service(
    tuple(-SERVICE_S * log(1 - share) if share < 1 else 20 * SERVICE_S for share in KNOTS),
    tuple(KNOTS.tolist()),
)


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("q", [90, 99, 99.9])
def test_a_constant_service_time_agrees_with_erlang(rho: float, q: float) -> None:
    expected = theory.md1_percentile_s(rho / SERVICE_S, SERVICE_S, q)
    found = sojourn_percentile_s(CONSTANT, rho / SERVICE_S, q / 100, 3 * expected)
    assert found == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("q", [50, 90, 99])
def test_an_exponential_service_time_agrees_with_the_closed_form(rho: float, q: float) -> None:
    expected = theory.mm1_percentile_s(rho / SERVICE_S, SERVICE_S, q)
    found = sojourn_percentile_s(EXPONENTIAL, rho / SERVICE_S, q / 100, 3 * expected)
    assert found == pytest.approx(expected, rel=0.01)


def test_the_moments_are_those_of_the_distribution() -> None:
    assert (CONSTANT.mean_s, CONSTANT.squared_variation) == (SERVICE_S, 0.0)
    assert EXPONENTIAL.mean_s == pytest.approx(SERVICE_S, rel=1e-3)
    assert EXPONENTIAL.squared_variation == pytest.approx(1, rel=1e-2)
    uniform = Service((1.0, 3.0), (0.0, 1.0))
    assert uniform.mean_s == 2
    assert uniform.squared_variation == pytest.approx(4 / 12 / 4)  # (b - a)^2 / 12 over the mean's


def test_a_wide_service_time_agrees_with_a_simulated_queue() -> None:
    """A tail that closed forms do not have, against Lindley's recursion over a million requests."""
    service = Service((0.002, 0.003, 0.004, 0.02), (0.0, 0.5, 0.95, 1.0))
    generator = np.random.default_rng(7)
    count, rho = 1_000_000, 0.7
    times_s = np.interp(generator.random(count), service.shares, service.times_s)
    gaps_s = generator.exponential(service.mean_s / rho, count)
    steps = np.concatenate(([0.0], np.cumsum(times_s[:-1] - gaps_s[1:])))
    waits_s = steps - np.minimum.accumulate(steps)
    expected = float(np.quantile(waits_s + times_s, 0.99))
    found = sojourn_percentile_s(service, rho / service.mean_s, 0.99, 3 * expected)
    assert found == pytest.approx(expected, rel=0.02)


def test_a_device_that_cannot_keep_up_answers_nothing_in_time() -> None:
    assert sojourn_percentile_s(CONSTANT, 1.01 / SERVICE_S, 0.99, 1.0) == inf
    assert sojourn_share(CONSTANT, 1.01 / SERVICE_S, 1.0) == 0.0
    assert sojourn_percentile_s(CONSTANT, 0.9 / SERVICE_S, 0.99, SERVICE_S) == inf  # beyond it


def test_a_limit_below_the_service_time_is_met_at_no_load() -> None:
    assert largest_utilisation(CONSTANT, 0.99, 0.99 * SERVICE_S, 0.95) == 0.0
    assert largest_utilisation(CONSTANT, 0.99, 100 * SERVICE_S, 0.95) == 0.95
    # At the limit itself only those may come that find nobody: one in a hundred waits.
    found = largest_utilisation(CONSTANT, 0.99, SERVICE_S, 0.95)
    assert found == pytest.approx(0.01, rel=0.02)


def test_a_limit_thousands_of_service_times_away_is_no_trap() -> None:
    """A lattice over seconds must not lose microseconds: at 99.9 % load p99 is far out."""
    short = Service((1e-6, 1e-6), (0.0, 1.0))
    assert largest_utilisation(short, 0.99, 10.0, 0.95) == 0.95
    assert largest_utilisation(short, 0.99, 10.0, 0.9999) < 0.9999


def test_a_batch_fills_as_fast_as_its_requests_come() -> None:
    assert fill_s(1, 10.0, 0.99) == 0.0
    assert fill_s(2, 10.0, 0.99) == pytest.approx(-log(0.01) / 10)  # one exponential gap
    generator = random.Random(1)
    waits = sorted(sum(generator.expovariate(10.0) for _ in range(7)) for _ in range(20_000))
    assert fill_s(8, 10.0, 0.95) == pytest.approx(waits[19_000], rel=0.03)


def test_what_is_no_distribution_is_refused() -> None:
    for times, shares in (((2.0, 1.0), (0.0, 1.0)), ((1.0, 2.0), (0.0, 0.9)), ((1.0,), (0.0, 1.0))):
        with pytest.raises(ValueError, match="not a distribution"):
            Service(times, shares)
    assert from_knots([1.0, 0.9, 2.0], [0.0, 0.5, 1.0]).times_s == (1.0, 1.0, 2.0)


@st.composite
def services(draw: st.DrawFn) -> Service:
    inner = sorted(draw(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True)))
    steps = draw(st.lists(st.floats(0, 0.02), min_size=len(inner) + 1, max_size=len(inner) + 1))
    times = np.cumsum([draw(st.floats(1e-4, 0.01)), *steps]).tolist()
    return Service(tuple(times), (0.0, *inner, 1.0))


LIMIT_S = st.floats(0.001, 0.2)


@given(services(), LIMIT_S, LIMIT_S)
@settings(max_examples=30, deadline=None)
def test_more_time_never_allows_less_load(service: Service, one_s: float, other_s: float) -> None:
    low, high = (largest_utilisation(service, 0.99, s, 0.9) for s in sorted((one_s, other_s)))
    assert low <= high + 0.01  # a lattice of its own each


@given(services(), LIMIT_S, st.floats(1.0, 3.0))
@settings(max_examples=30, deadline=None)
def test_a_slower_device_never_takes_more(service: Service, limit_s: float, factor: float) -> None:
    slower = Service(tuple(factor * one for one in service.times_s), service.shares)
    fast = largest_utilisation(service, 0.99, limit_s, 0.9) / service.mean_s
    slow = largest_utilisation(slower, 0.99, limit_s, 0.9) / slower.mean_s
    assert slow <= fast * 1.02 + 1e-9


@given(services(), st.floats(0.05, 0.9), st.floats(0.1, 10.0))
@settings(max_examples=30, deadline=None)
def test_the_unit_of_time_decides_nothing(service: Service, rho: float, factor: float) -> None:
    other = Service(tuple(factor * one for one in service.times_s), service.shares)
    span_s = 50 * service.mean_s
    one = sojourn_percentile_s(service, rho / service.mean_s, 0.9, span_s)
    two = sojourn_percentile_s(other, rho / other.mean_s, 0.9, factor * span_s)
    step_s = service.mean_s / FINEST  # at a step of the distribution a rounding moves it by one
    assert two / factor == pytest.approx(one, abs=1.1 * step_s)
