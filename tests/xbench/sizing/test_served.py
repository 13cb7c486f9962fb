"""A measured server goes before the queue that was worked out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.xbench.sizing.made import bare, demand, device, least, measured
from xbench.load.scenario import Kind, Scenario
from xbench.profiles import Profile
from xbench.result import Interval
from xbench.sizing.judge import Answer, judge
from xbench.sizing.rows import Measured
from xbench.sizing.served import as_served
from xbench.sizing.trial import Verdict

FAST = device(gflops=800.0, gbytes=80.0)


def answer(profile: Profile) -> Answer:
    return judge(profile, (measured(per_s=200.0),), least(), demand(), "fp32")


def server(low_s: float, high_s: float, rate_per_s: float = 30.0) -> Measured:
    one = measured(per_s=200.0)
    latency = {**one.row.latency_s, "p99": Interval((low_s + high_s) / 2, low_s, high_s)}
    scenario = Scenario(kind=Kind.SERVER, rate_per_s=rate_per_s)
    return replace(one, row=replace(one.row, latency_s=latency, scenario=scenario))


def test_what_a_server_was_measured_to_do_stands_in_place_of_the_queue() -> None:
    found = as_served(answer(bare()), server(0.020, 0.022), demand())
    assert found.verdict is Verdict.FITS_CAPPED
    assert found.trial
    latency = found.trial.latency_s
    assert latency
    assert (latency.low, latency.high) == (0.020, 0.022)


def drowned(rate_per_s: float = 30.0) -> Measured:
    """Return a server that could not keep up: `xbench.rows` gives it no latency."""
    one = server(0.0, 0.0, rate_per_s)
    empty = dict.fromkeys(one.row.latency_s)
    why = "it is not ranked in its own run: it cannot keep up with that rate"
    row = replace(
        one.row, latency_s=empty, extremes_s=None, throughput_per_s=None, problem=(why, "")
    )
    return replace(one, row=row, load={"saturated": "the mean wait grew"})


def test_a_server_that_cannot_keep_up_takes_the_fit_back() -> None:
    found = as_served(answer(bare()), drowned(), demand())
    assert found.verdict is Verdict.MISSES_CAPPED
    assert found.reason == "as a server at 30 a second it could not keep up"
    assert (found.devices, found.devices_least) == (None, None)


def test_a_device_only_may_fit_where_the_server_here_cannot_keep_up() -> None:
    found = as_served(answer(FAST), drowned(), demand())
    assert found.verdict is Verdict.MAY_FIT
    assert "could not keep up with 30 a second, where the queue" in (found.reason or "")


def test_a_server_at_the_rate_of_another_number_of_devices_says_nothing() -> None:
    before = answer(bare())
    assert before.devices == 1
    for other in (drowned(15.0), server(0.060, 0.070, 15.0), server(0.02, 0.022, 15.0)):
        assert as_served(before, other, demand()) == before


@pytest.mark.parametrize(
    ("low_s", "high_s", "verdict"),
    [(0.060, 0.070, Verdict.MISSES_CAPPED), (0.026, 0.0526, Verdict.UNKNOWN)],
)
def test_a_server_that_misses_or_leaves_it_open_takes_the_fit_back(
    low_s: float, high_s: float, verdict: Verdict
) -> None:
    before = answer(bare())
    assert before.verdict is Verdict.FITS_CAPPED
    found = as_served(before, server(low_s, high_s), demand())
    assert found.verdict is verdict
    assert (found.devices, found.devices_least) == (None, None)
    assert "as a server" in (found.reason or "")


def test_a_device_is_no_surer_than_the_queue_proved_to_be_here() -> None:
    """Slower than the queue even at its lower bound: the device only may fit."""
    before = answer(FAST)
    assert before.verdict is Verdict.FITS
    found = as_served(before, server(0.026, 0.0526), demand())
    assert found.verdict is Verdict.MAY_FIT
    assert found.devices is None
    assert found.devices_least == before.devices_least
    assert "26 ms to 52.6 ms" in (found.reason or "")
    assert as_served(before, server(0.002, 0.006), demand()) == before


def test_the_server_of_another_backend_says_nothing() -> None:
    before = answer(FAST)
    other = server(0.026, 0.0526)
    other = replace(other, row=replace(other.row, name="other"))
    assert as_served(before, other, demand()) == before
    assert as_served(before, None, demand()) == before
