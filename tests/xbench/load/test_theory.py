"""Queueing formulas: against others of the same queue, their limits, and each other."""

from __future__ import annotations

from decimal import Decimal, localcontext
from math import exp, inf, log

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xbench.load.theory import (
    erlang_c,
    md1_percentile_s,
    md1_wait_share,
    mg1_mean_s,
    mm1_percentile_s,
    mmc_mean_s,
    mmc_percentile_s,
    utilisation,
)

loads = st.floats(0.01, 0.97)
services_s = st.floats(1e-5, 10.0)
percentiles = st.floats(1, 99.9)
servers = st.integers(1, 40)
FEW = settings(max_examples=40, deadline=None)


def erlang_1909(rate_per_s: float, service_s: float, time_s: float) -> float:
    """Return the share that waits at most that long, by the sum whose terms cancel, in decimals."""
    with localcontext() as context:
        context.prec = 400
        rate, service, time = Decimal(rate_per_s), Decimal(service_s), Decimal(time_s)
        total, factorial = Decimal(0), Decimal(1)
        for k in range(int(time / service) + 1):
            factorial *= max(k, 1)
            x = rate * (k * service - time)
            total += (x**k if k else Decimal(1)) / factorial * (-x).exp()
        return float((1 - rate * service) * total)


@FEW
@given(loads, st.floats(0, 60))
def test_md1_waits_are_those_of_erlangs_own_formula(rho: float, services: float) -> None:
    assert md1_wait_share(rho, 1.0, services) == pytest.approx(
        erlang_1909(rho, 1, services), abs=1e-9
    )


@pytest.mark.parametrize(("rho", "wait", "share"), [(0.5, 0.0, 0.5), (0.5, 0.999999, 0.8243604)])
def test_md1_waits_below_one_service_are_known_in_closed_form(
    rho: float, wait: float, share: float
) -> None:
    """``(1 - rho) e^(rate t)``."""
    assert md1_wait_share(rho, 1.0, wait) == pytest.approx(share, abs=1e-6)
    assert share == pytest.approx((1 - rho) * exp(rho * wait), abs=1e-6)


@FEW
@given(loads, services_s)
def test_the_mean_of_md1s_waits_is_pollaczeks_and_khinchines(rho: float, service_s: float) -> None:
    """The mean is the area above the distribution, here by the trapezoid rule."""
    assume(rho < 0.9)
    step, end = 0.05, 60.0
    shares = [1 - md1_wait_share(rho, 1.0, k * step) for k in range(round(end / step) + 1)]
    area = step * (sum(shares) - (shares[0] + shares[-1]) / 2)
    exact_s = mg1_mean_s(rho / service_s, service_s, 0.0) - service_s
    assert area * service_s == pytest.approx(exact_s, rel=0.02, abs=1e-3 * service_s)


@given(loads, services_s)
def test_means_agree_where_queues_are_the_same(rho: float, service_s: float) -> None:
    rate_per_s = rho / service_s
    assert mg1_mean_s(rate_per_s, service_s, 1.0) == pytest.approx(service_s / (1 - rho))
    assert mmc_mean_s(rate_per_s, service_s, 1) == pytest.approx(service_s / (1 - rho))
    assert mg1_mean_s(rate_per_s, service_s, 0.0) < mg1_mean_s(rate_per_s, service_s, 0.5)


@given(loads, services_s, percentiles)
def test_one_server_of_mmc_is_mm1(rho: float, service_s: float, q: float) -> None:
    rate_per_s = rho / service_s
    one = mmc_percentile_s(rate_per_s, service_s, 1, q)
    assert one == pytest.approx(mm1_percentile_s(rate_per_s, service_s, q), rel=1e-6)
    assert erlang_c(rate_per_s, service_s, 1) == pytest.approx(rho)


def test_erlang_c_is_that_of_the_tables() -> None:
    """Two servers: ``2 rho^2 / (1 + rho)``; five with a load of four: 0.5541."""
    assert erlang_c(1.6, 1.0, 2) == pytest.approx(2 * 0.8**2 / 1.8)
    assert erlang_c(4.0, 1.0, 5) == pytest.approx(0.5541, abs=1e-4)


def test_two_servers_whose_rates_coincide_are_no_special_case() -> None:
    """At ``c/S - rate = 1/S`` the general formula divides nothing by nothing."""
    at, near = (mmc_percentile_s(rate, 1.0, 2, 99) for rate in (1.0, 1.0 + 1e-7))
    assert at == pytest.approx(near, rel=1e-6)


@FEW
@given(st.tuples(loads, loads), services_s, percentiles, servers)
def test_latency_grows_with_the_rate_and_falls_with_servers(
    rhos: tuple[float, float], service_s: float, q: float, count: int
) -> None:
    low, high = (rho * count / service_s for rho in sorted(rhos))
    slack = 1 + 1e-9
    for more, less in (
        (mmc_percentile_s(high, service_s, count, q), mmc_percentile_s(low, service_s, count, q)),
        (mmc_mean_s(high, service_s, count), mmc_mean_s(low, service_s, count)),
        (
            mmc_percentile_s(high, service_s, count, q),
            mmc_percentile_s(high, service_s, count + 1, q),
        ),
        (
            mm1_percentile_s(high / count, service_s, q),
            mm1_percentile_s(low / count, service_s, q),
        ),
        (
            md1_percentile_s(high / count, service_s, q),
            md1_percentile_s(low / count, service_s, q),
        ),
    ):
        assert more * slack >= less


@FEW
@given(loads, services_s, st.floats(90, 99.9))
def test_constant_services_wait_less_than_exponential_ones(
    rho: float, service_s: float, q: float
) -> None:
    rate_per_s = rho / service_s
    assert service_s <= md1_percentile_s(rate_per_s, service_s, q)
    assert md1_percentile_s(rate_per_s, service_s, q) < mm1_percentile_s(rate_per_s, service_s, q)


@given(services_s, percentiles, servers)
def test_an_idle_server_takes_its_service_time(service_s: float, q: float, count: int) -> None:
    alone_s = -log(1 - q / 100) * service_s
    assert mm1_percentile_s(0.0, service_s, q) == pytest.approx(alone_s)
    assert mmc_percentile_s(0.0, service_s, count, q) == pytest.approx(alone_s, rel=1e-6)
    assert md1_percentile_s(0.0, service_s, q) == service_s
    assert mg1_mean_s(0.0, service_s, 3.0) == service_s == mmc_mean_s(0.0, service_s, count)


@given(st.floats(1, 50), services_s, servers)
def test_a_server_that_cannot_keep_up_takes_forever(
    rho: float, service_s: float, count: int
) -> None:
    rate_per_s = 1.0000001 * rho * count / service_s
    assert mmc_percentile_s(rate_per_s, service_s, count, 99) == inf
    assert mmc_mean_s(rate_per_s, service_s, count) == inf
    assert erlang_c(rate_per_s, service_s, count) == 1.0
    for one in (mm1_percentile_s, md1_percentile_s):
        assert one(rate_per_s / count, service_s, 99) == inf
    assert mg1_mean_s(rate_per_s / count, service_s, 0.0) == inf


def test_time_scales_with_the_service() -> None:
    """A server ten times as fast, asked ten times as often, takes a tenth of the time."""
    for one in (mm1_percentile_s, md1_percentile_s):
        assert one(700.0, 0.001, 99) == pytest.approx(one(70.0, 0.01, 99) / 10, rel=1e-9)


@pytest.mark.parametrize(
    ("rate", "service", "count"), [(-1, 1, 1), (1, 0, 1), (1, 1, 0), (inf, 1, 1)]
)
def test_what_is_no_queue_is_refused(rate: float, service: float, count: int) -> None:
    with pytest.raises(ValueError, match="need a rate"):
        utilisation(rate, service, count)
    with pytest.raises(ValueError, match="percentile"):
        mm1_percentile_s(0.5, 1.0, 100)
    with pytest.raises(ValueError, match="utilisation of at most"):
        md1_percentile_s(0.9995, 1.0, 99)
    with pytest.raises(ValueError, match="less than 32768 services"):
        md1_wait_share(0.5, 1.0, 1e5)


def test_percentiles_all_but_beyond_what_numbers_tell_are_found() -> None:
    """Also where 1 less the share is a rounding error."""
    for q in (99.99, 99.999999, 100 - 1e-13):
        assert md1_percentile_s(0.9, 1.0, q) < mm1_percentile_s(0.9, 1.0, q)
        assert mmc_percentile_s(1.8, 1.0, 2, q) < inf
