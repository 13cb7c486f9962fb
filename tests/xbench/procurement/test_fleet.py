"""Devices for a load: whole, enough, no more, and monotone in all that a buyer may turn."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xbench.procurement.market import row
from tests.xbench.report.runs import interval
from xbench.errors import UsageError
from xbench.load.scenario import parse_scenario
from xbench.load.slo import Slo, parse_slo
from xbench.procurement.evidence import Row
from xbench.procurement.fleet import (
    Demand,
    Fleet,
    Unfit,
    devices_for,
    fleet,
    headroom,
)
from xbench.procurement.queueing import fill_s
from xbench.procurement.service import service_of
from xbench.result import PERCENTILES

SLO = Slo("p99", 0.1)


def sized(one: Row, rate_per_s: float, slo: Slo | None = SLO, most_load: float = 0.8) -> Fleet:
    found = fleet(one, Demand(rate_per_s, slo, most_load))
    assert isinstance(found, Fleet), found
    return found


def unfit(one: Row, rate_per_s: float = 100.0, slo: Slo | None = SLO) -> str:
    found = fleet(one, Demand(rate_per_s, slo, 0.8))
    assert isinstance(found, Unfit), found
    return found.reason


def test_devices_by_hand() -> None:
    """At 100 a second each and 80 % load, 200 a second take three: two would take 160."""
    found = sized(row(100.0, width=0.0), 200.0, None)
    assert found.devices.value == found.devices.low == found.devices.high == 3
    assert found.load_share == pytest.approx(200 / 300)
    assert found.evidence == "capped"
    assert sized(row(100.0, width=0.0), 160.0, None).devices.value == 2
    assert devices_for(0.5, 100.0) == 1
    assert devices_for(3 * 0.1, 0.1) == 3  # not four, though 3 * 0.1 / 0.1 is above 3 in floats


def test_an_interval_of_throughput_becomes_one_of_devices() -> None:
    found = sized(row(100.0, width=0.2), 800.0, None)
    assert (found.devices.low, found.devices.value, found.devices.high) == (9, 10, 13)


def test_a_tight_limit_takes_more_devices_than_the_load_alone() -> None:
    """A lone inference takes 10 ms, 14 at p99: within 20 ms there is hardly time to wait."""
    one = row(100.0, width=0.0)
    loose, tight = sized(one, 200.0, Slo("p99", 0.5)), sized(one, 200.0, Slo("p99", 0.02))
    assert loose.devices.value == 3
    assert tight.devices.value > 5
    for found, limit_s in ((loose, 0.5), (tight, 0.02)):
        assert found.evidence == "modelled"
        assert found.latency_s is not None
        assert 0.014 < found.latency_s.value <= limit_s * 1.01


def test_a_limit_below_what_a_lone_request_takes_is_met_by_no_number() -> None:
    assert "misses p99 within 10 ms, however few" in unfit(row(100.0), slo=Slo("p99", 0.01))


def test_a_limit_within_the_interval_of_the_percentile_is_not_decided() -> None:
    """Between the bounds of p99: not a yes and not a no."""
    assert "is not decided" in unfit(row(100.0, width=0.2), slo=Slo("p99", 0.0145))


def test_a_percentile_that_was_not_bounded_is_not_made_up() -> None:
    one = row(100.0)
    few = replace(one, latency_s={**one.latency_s, "p99": None}, timed=98)
    assert "98 inferences are too few to tell its p99" in unfit(few)
    assert sized(few, 100.0, Slo("p90", 0.1)).devices.value >= 2


def test_what_is_no_single_stream_is_not_put_in_a_queue() -> None:
    for text in ("offline", "streams:4", "multi-stream:8"):
        one = row(100.0, scenario=parse_scenario(text))
        assert "no latency that a queue" in unfit(one)
        assert sized(one, 200.0, None).devices.value == 3


def test_a_server_is_measured_at_its_rate_and_no_other() -> None:
    server = row(100.0, scenario=parse_scenario("server:30"), throughput_per_s=None)
    found = sized(server, 100.0)
    assert found.evidence == "measured"
    assert found.devices.value == 4
    assert found.load_share == pytest.approx(100 / 120)
    assert found.latency_s == server.latency_s["p99"]
    assert "it misses" in unfit(server, slo=Slo("p99", 0.01))
    wide = replace(server, latency_s={**server.latency_s, "p99": interval(0.1, 0.1)})
    assert "is not decided" in unfit(wide, slo=Slo("p99", 0.105))
    drowned = replace(server, latency_s=dict.fromkeys(PERCENTILES), extremes_s=None, timed=0)
    assert "could not keep up" in unfit(drowned)
    assert "could not keep up" in unfit(drowned, slo=None)


def test_a_batch_waits_until_it_is_full() -> None:
    """Eight requests at 1000 a second come within 10 ms; at 20 a second within half a second."""
    one = row(800.0, batch=8, width=0.0)
    assert sized(one, 1000.0).evidence == "modelled"
    assert "filling a batch of 8 at 20 a second takes" in unfit(one, 20.0)


def test_the_time_that_a_batch_takes_to_fill_is_part_of_the_limit() -> None:
    """15 ms to fill at p99, and 14 for the batch itself: 35 ms leave 6 to wait, not 21."""
    one, filled_s = row(800.0, batch=8, width=0.0), fill_s(8, 1000.0, 0.99)
    alone = one.latency_s["p99"]
    assert alone is not None
    tight = Slo("p99", filled_s + alone.value + 0.006)
    found = sized(one, 1000.0, tight)
    assert found.latency_s is not None
    assert filled_s + alone.value < found.latency_s.value <= tight.limit_s * 1.01
    assert found.devices.value > sized(one, 1000.0, Slo("p99", 0.2)).devices.value


def test_the_service_time_keeps_percentiles_and_mean() -> None:
    one = row(100.0, width=0.01, timed=10_000)
    service = service_of(one, "value")
    for name, q in PERCENTILES.items():
        known = one.latency_s[name]
        if known:
            assert service.times_s[service.shares.index(q / 100)] == pytest.approx(known.value)
    ends = [service_of(one, end).mean_s for end in ("best", "value", "worst")]
    assert ends == sorted(ends)
    assert ends[0] <= 1 / 101 * (1 + 1e-9)
    assert ends[2] >= 1 / 99 * (1 - 1e-9)


def test_limits_are_read_as_people_write_them() -> None:
    assert parse_slo("p99=50ms") == Slo("p99", 0.05)
    assert parse_slo(" P99.9 = 1.5s ") == Slo("p99_9", 1.5)
    assert str(Slo("p99_9", 1.5)) == "p99.9 within 1.5 s"
    for text in ("50ms", "p98=50ms", "p99", "p99=", "p99=-1", "mean=3ms", "p99=0s"):
        with pytest.raises(UsageError):
            parse_slo(text)


def test_headroom_is_what_is_left_of_a_limit() -> None:
    assert headroom(40.0, 50.0) == pytest.approx(0.2)
    assert headroom(60.0, 50.0) == pytest.approx(-0.2)
    with pytest.raises(ValueError, match="above 0"):
        headroom(1.0, 0.0)


rates = st.floats(0.01, 1e6)
capacities = st.floats(0.1, 1e5)


@given(rates, capacities)
def test_devices_are_enough_and_no_more(rate_per_s: float, each_per_s: float) -> None:
    count = devices_for(rate_per_s, each_per_s)
    assert count * each_per_s >= rate_per_s * (1 - 1e-8)
    assert count == 1 or (count - 1) * each_per_s < rate_per_s


@given(rates, rates, capacities, capacities)
def test_devices_rise_with_the_rate_and_fall_with_the_capacity(
    one: float, other: float, each: float, another: float
) -> None:
    low, high = sorted((one, other))
    slow, fast = sorted((each, another))
    assert devices_for(low, fast) <= devices_for(high, fast) <= devices_for(high, slow)


@given(rates, capacities, st.integers(2, 20))
def test_a_multiple_of_the_rate_takes_at_most_that_multiple(
    rate: float, each: float, factor: int
) -> None:
    """Twice the rate takes at most twice the devices, and at least all but one of twice."""
    once, many = devices_for(rate, each), devices_for(factor * rate, each)
    assert factor * (once - 1) < many <= factor * once


@given(rates, capacities, st.floats(1e-3, 1e3))
def test_the_unit_of_the_rate_decides_nothing(rate: float, each: float, factor: float) -> None:
    assert abs(devices_for(rate * factor, each * factor) - devices_for(rate, each)) <= 1


measured = st.builds(
    row, st.floats(10, 1000), st.floats(0, 0.05), tail=st.floats(1.1, 4), timed=st.just(5000)
)


@given(measured, st.floats(1, 1e4), st.floats(1, 1e4))
@settings(max_examples=25, deadline=None)
def test_a_fleet_never_shrinks_as_the_rate_rises(one: Row, rate: float, other: float) -> None:
    slo = Slo("p99", 1.0)
    low, high = (sized(one, r, slo).devices for r in sorted((rate, other)))
    assert (low.low, low.value, low.high) <= (high.low, high.value, high.high)
    assert low.high <= high.high


@given(measured, st.floats(1.5, 30), st.floats(1.5, 30))
@settings(max_examples=25, deadline=None)
def test_a_fleet_never_grows_as_the_limit_is_relaxed(one: Row, factor: float, other: float) -> None:
    assert one.throughput_per_s is not None
    limits_s = [f * 4 / one.throughput_per_s.value for f in sorted((factor, other))]
    tight, loose = (sized(one, 1000.0, Slo("p99", s)).devices for s in limits_s)
    assert loose.value <= tight.value * 1.01 + 1  # each limit has a lattice of its own
    assert tight.low <= tight.value <= tight.high


@given(measured, st.floats(1, 1e4), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
@settings(max_examples=25, deadline=None)
def test_a_fleet_never_grows_as_devices_may_be_loaded_more(
    one: Row, rate: float, load: float, other: float
) -> None:
    low, high = sorted((load, other))
    assert sized(one, rate, None, high).devices.value <= sized(one, rate, None, low).devices.value
