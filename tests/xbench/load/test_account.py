"""What the requests of a server say together."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.xbench.load.simulated import SimulatedClock, constant, exponential, server
from xbench.load.account import account, saturation
from xbench.load.arrivals import schedule_ns
from xbench.load.open_loop import Batching, serve
from xbench.load.scenario import parse_scenario
from xbench.load.served import Batch, Served

MS = 1_000_000


def simulate(rate: float, service_ms: float, seconds: float, seed: int = 0) -> Served:
    """Return what becomes of Poisson arrivals at a server with constant service times."""
    clock = SimulatedClock()
    schedule = schedule_ns(parse_scenario(f"server:{rate:g}"), seconds, seed)
    return serve([server(clock, constant(service_ms * MS))], schedule, clock=clock)


def by_hand(*times_ms: tuple[float, float, float, float]) -> Served:
    """Return requests that ran one by one: free, due, start and end of each, in milliseconds."""
    rows = [[round(one * MS) for one in row] for row in times_ms]
    batches = [
        Batch(place, 1, 0, free, max(free, due), start, end)
        for place, (free, due, start, end) in enumerate(rows)
    ]
    return Served(tuple(due for _, due, _, _ in rows), 1, tuple(batches))


def test_latency_counts_from_when_a_request_was_due() -> None:
    """The second waits for the first: 15 ms, of which its run is 10. The first is left out."""
    found = account([by_hand((0, 0, 0, 10), (10, 100, 100, 140), (140, 125, 140, 150))])
    assert found.latency_ns is not None
    assert (found.latency_ns.min, found.latency_ns.max) == (25 * MS, 40 * MS)
    assert (found.requests, found.left_out) == (2, 1)


def test_lateness_is_that_of_requests_that_found_the_stream_free() -> None:
    """2 and 4 ms; the third waited for the second, and is not late for that."""
    found = account([by_hand((0, 10, 12, 20), (20, 30, 34, 60), (60, 40, 60, 70))])
    assert found.lateness_ns is not None
    assert (found.lateness_ns.p50, found.lateness_ns.max) == (3 * MS, 4 * MS)


def test_a_server_that_is_always_busy_has_no_lateness() -> None:
    found = account([by_hand((1, 0, 1, 20), (20, 1, 20, 30))])
    assert found.lateness_ns is None


def test_the_queue_is_what_an_arriving_request_finds_waiting() -> None:
    """Of 0, 1, 2 and 3 ms with 10 ms each: nothing, nothing, one, two; the first is left out."""
    served = by_hand((0, 0, 0, 10), (10, 1, 10, 20), (20, 2, 20, 30), (30, 3, 30, 40))
    assert account([served]).queue == {"mean": 1.0, "max": 2.0}


def test_busy_share_and_throughput_are_those_of_the_window() -> None:
    found = account([simulate(50, 10, 200)])
    assert found.busy_share == pytest.approx(0.5, abs=0.03)
    assert found.throughput_per_s == pytest.approx(found.rate_per_s, rel=0.01)
    assert found.rate_per_s == pytest.approx(50, rel=0.04)
    assert found.batch_sizes.keys() == {1}


def test_batches_are_counted_by_size() -> None:
    clock = SimulatedClock()
    schedule = [100 * MS * place + one * MS for place in range(10) for one in range(3)]
    served = serve([server(clock, constant(MS))], schedule, Batching(4, 50 * MS), clock)
    assert account([served]).batch_sizes == {3: 10}


def test_windows_are_taken_together() -> None:
    windows = [simulate(50, 10, 20, seed) for seed in range(3)]
    found, each = account(windows), [account([one]) for one in windows]
    assert found.requests == sum(one.requests for one in each)
    assert found.left_out == sum(one.left_out for one in each)
    assert found.latency_ns is not None
    assert found.latency_ns.n == found.requests
    assert found.latency_ns.max == max(one.latency_ns.max for one in each if one.latency_ns)


def test_each_window_is_a_cycle_of_its_own() -> None:
    """A dozen busy spells prove a median that one does not."""
    busy = [(10.0 * k + 5, 10.0 * k, 10.0 * k + 5, 10.0 * k + 15) for k in range(20)]
    one, dozen = (account([by_hand(*busy)] * count).latency_ns for count in (1, 12))
    assert one
    assert dozen
    assert one.percentiles["p50"] is None
    assert dozen.percentiles["p50"]


@pytest.mark.parametrize("rate", [125.0, 200.0, 2000.0])
def test_a_server_beyond_its_capacity_is_saturated_and_has_no_latency(rate: float) -> None:
    """100 a second is what it can do."""
    found = account([simulate(rate, 10, 20)])
    assert found.saturated
    assert found.latency_ns is None
    assert found.throughput_per_s == pytest.approx(100, rel=0.01)
    assert found.busy_share == pytest.approx(1, abs=0.01)


def test_a_slight_excess_is_saturation_and_says_how_the_wait_grew() -> None:
    """5 % above its capacity, where nothing is left over when the grace ends."""
    served = simulate(105, 10, 60)
    assert served.unserved == 0
    assert "mean wait grew from" in str(saturation([served]))


def test_requests_that_were_not_served_say_how_many() -> None:
    served = simulate(2000, 10, 20)
    assert str(saturation([served])).startswith(f"{served.unserved} of {len(served.schedule_ns)} ")


@pytest.mark.parametrize("rho", [0.6, 0.9])
def test_a_server_that_keeps_up_is_not_called_saturated(rho: float) -> None:
    """Of 30 windows of 20 s each, with exponential services of 10 ms."""
    for seed in range(30):
        clock = SimulatedClock()
        schedule = schedule_ns(parse_scenario(f"server:{100 * rho:g}"), 20, seed)
        run = server(clock, exponential(10 * MS, seed))
        assert saturation([serve([run], schedule, clock=clock)]) is None


def test_requests_left_over_in_one_window_are_enough() -> None:
    found = account([simulate(50, 10, 20), simulate(200, 10, 20)])
    assert found.saturated
    assert found.latency_ns is None


@cache
def short_windows(percent: int) -> list[Served]:
    """Return windows of some 200 requests, as most that are measured, at a utilisation."""
    return [simulate(percent, 10, 200 / percent, seed) for seed in range(200)]


@pytest.mark.parametrize(
    ("percent", "of_1", "of_5", "of_20"),
    [
        (80, (0, 0.01), (0, 0), (0, 0)),
        (90, (0.01, 0.06), (0, 0.05), (0, 0)),
        (95, (0.1, 0.2), (0, 0.2), (0, 0.1)),
        (102, (0.2, 0.4), (0.4, 0.7), (0.4, 0.8)),
        (105, (0.4, 0.6), (0.7, 1), (0.8, 1)),
        (120, (0.8, 1), (1, 1), (1, 1)),
    ],
)
def test_windows_that_grow_by_chance_are_no_saturation_and_an_overload_is(
    percent: int, of_1: tuple[float, float], of_5: tuple[float, float], of_20: tuple[float, float]
) -> None:
    """The share of rows that are called saturated, of one window, of five and of twenty."""
    windows = short_windows(percent)
    for size, (least, most) in ((1, of_1), (5, of_5), (20, of_20)):
        rows = [windows[start : start + size] for start in range(0, len(windows), size)]
        share = sum(saturation(row) is not None for row in rows) / len(rows)
        assert least <= share <= most, (size, share)


def test_saturation_over_several_windows_says_in_how_many_the_wait_grew() -> None:
    windows = short_windows(120)[:20]
    grew = sum(saturation([one]) is not None for one in windows)
    assert str(saturation(windows)).endswith(f", in {grew} of 20 windows")


def test_an_account_is_plain_data() -> None:
    import json

    for rate in (50, 200):
        told = account([simulate(rate, 10, 20)]).to_json()
        assert json.loads(json.dumps(told)) == told
        assert (told["latency_ns"] is None) == (rate == 200)


def test_windows_in_which_nothing_was_served_are_refused() -> None:
    with pytest.raises(ValueError, match="served"):
        account([Served((1, 2), 1, ())])
    with pytest.raises(ValueError, match="served"):
        account([])


def test_the_first_tenth_of_a_window_is_left_out() -> None:
    """A slow start that is over by then does not show."""
    clock = SimulatedClock()
    schedule = schedule_ns(parse_scenario("server:10,arrivals=constant"), 100, 0)
    run = server(clock, lambda _: 90 * MS if clock.now_ns() < 9e9 else 10 * MS)
    found = account([serve([run], schedule, clock=clock)])
    assert found.latency_ns is not None
    assert np.isclose(found.latency_ns.max, 10 * MS)
    assert found.left_out == 99
