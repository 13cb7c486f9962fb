"""The open-loop server against queueing theory, and against a harness that times from the send.

The code is the one that serves real requests; only its clock and its sessions are simulated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.xbench.load.simulated import SimulatedClock, constant, exponential, server
from xbench.load.account import Account, account, reading
from xbench.load.arrivals import schedule_ns
from xbench.load.open_loop import serve
from xbench.load.scenario import parse_scenario
from xbench.load.search import Reading, largest_rate
from xbench.load.served import Served
from xbench.load.theory import (
    erlang_c,
    md1_percentile_s,
    mg1_mean_s,
    mm1_percentile_s,
    mmc_percentile_s,
    utilisation,
)
from xbench.result import Interval

SERVICE_S = 0.01
REQUESTS = {0.3: 10_000, 0.6: 30_000, 0.8: 150_000}
"""By utilisation: what a p99 takes whose bounds are some ten per cent."""


def simulate(
    text: str, seconds: float, service_ns: Callable[[int], float], seed: int, streams: int = 1
) -> Served:
    """Return what becomes of a scenario's requests on a simulated server."""
    clock = SimulatedClock()
    schedule = schedule_ns(parse_scenario(text), seconds, seed)
    return serve([server(clock, service_ns) for _ in range(streams)], schedule, clock=clock)


def p99(found: Account) -> Interval:
    assert found.latency_ns is not None, found.saturated
    interval = found.latency_ns.percentiles["p99"]
    assert interval is not None, found.latency_ns.needed
    assert interval.high <= 1.5 * interval.low  # it could fail
    return interval


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.8])
def test_p99_with_exponential_services_is_that_of_mm1(rho: float) -> None:
    rate = rho / SERVICE_S
    drawn = exponential(SERVICE_S * 1e9, seed=int(100 * rho))
    found = account([simulate(f"server:{rate:g}", REQUESTS[rho] / rate, drawn, seed=1)])
    interval = p99(found)
    assert interval.low <= mm1_percentile_s(rate, SERVICE_S, 99) * 1e9 <= interval.high
    assert found.busy_share == pytest.approx(rho, abs=0.03)


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.8])
def test_p99_with_constant_services_is_that_of_md1(rho: float) -> None:
    rate = rho / SERVICE_S
    schedule_s = REQUESTS[rho] / rate
    found = account([simulate(f"server:{rate:g}", schedule_s, constant(SERVICE_S * 1e9), seed=2)])
    interval = p99(found)
    assert interval.low <= md1_percentile_s(rate, SERVICE_S, 99) * 1e9 <= interval.high
    assert found.latency_ns is not None
    assert found.latency_ns.mean == pytest.approx(mg1_mean_s(rate, SERVICE_S, 0) * 1e9, rel=0.06)


def test_p99_of_two_streams_is_that_of_mmc() -> None:
    rate = 0.6 * 2 / SERVICE_S
    drawn = exponential(SERVICE_S * 1e9, seed=3)
    served = simulate(f"server:{rate:g}", 20_000 / rate, drawn, seed=3, streams=2)
    found = account([served])
    interval = p99(found)
    assert interval.low <= mmc_percentile_s(rate, SERVICE_S, 2, 99) * 1e9 <= interval.high
    assert found.busy_share == pytest.approx(utilisation(rate, SERVICE_S, 2), abs=0.03)
    waited = np.mean([batch.free_ns > served.schedule_ns[batch.first] for batch in served.batches])
    assert waited == pytest.approx(erlang_c(rate, SERVICE_S, 2), abs=0.04)


def test_the_largest_rate_of_a_server_is_that_of_theory() -> None:
    """A limit of 35 ms for 10 ms of service; windows at one rate are taken together."""
    windows: dict[float, list[Served]] = {}
    limit_s = 0.035

    def measure(rate: float) -> Reading:
        own = windows.setdefault(rate, [])
        own.append(simulate(f"server:{rate:f}", 200, constant(SERVICE_S * 1e9), seed=len(own)))
        return reading(account(own))

    found = largest_rate(measure, limit_s * 1e9, 30.0, tolerance=0.05)
    assert found.holds_per_s is not None
    assert found.fails_per_s is not None
    assert md1_percentile_s(found.holds_per_s, SERVICE_S, 99) <= limit_s
    assert md1_percentile_s(found.fails_per_s, SERVICE_S, 99) > limit_s
    assert md1_percentile_s(1.25 * found.holds_per_s, SERVICE_S, 99) > limit_s


def with_stalls(every_s: float, seconds: float) -> Served:
    """Return 100 requests a second of 1 ms each, with a stall of 500 ms now and then."""
    clock = SimulatedClock()
    stalls = iter(np.arange(every_s / 2, seconds, every_s) * 1e9)
    next_ns = [next(stalls)]

    def service_ns(_: int) -> float:
        if clock.now_ns() < next_ns[0]:
            return 1e6
        next_ns[0] = next(stalls, float("inf"))
        return 500e6

    schedule = schedule_ns(parse_scenario("server:100,arrivals=constant"), seconds, 0)
    return serve([server(clock, service_ns)], schedule, clock=clock)


def test_stalls_appear_in_p99_and_a_harness_that_times_from_the_send_misses_them() -> None:
    """Half a second every ten delays fifty requests of a thousand; it is sent to one of them."""
    served = with_stalls(every_s=10, seconds=1000)
    interval = p99(account([served]))
    from_send_ns = [batch.end_ns - batch.start_ns for batch in served.batches]
    assert interval.low > 250e6
    assert interval.high <= 500e6
    assert np.percentile(from_send_ns, 99) == 1e6


def test_a_single_stall_shows_and_proves_nothing_of_p99() -> None:
    """The same in ten seconds: p99 of the samples is the stall's; one event bounds no p99."""
    served = with_stalls(every_s=10, seconds=10)
    found = account([served])
    assert found.latency_ns is not None
    from_due_ns = [batch.end_ns - served.schedule_ns[batch.first] for batch in served.batches]
    from_send_ns = [batch.end_ns - batch.start_ns for batch in served.batches]
    assert np.percentile(from_due_ns, 99) > 350e6
    assert np.percentile(from_send_ns, 99) == 1e6
    assert found.latency_ns.percentiles["p99"] is None
    assert found.latency_ns.needed["p99"] > 10_000
    assert found.latency_ns.max == 500e6
