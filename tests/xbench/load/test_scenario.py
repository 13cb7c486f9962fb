"""Scenarios as text and as data."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.errors import UsageError
from xbench.load.scenario import ARRIVALS, Kind, Scenario, parse_scenario

counts = st.integers(1, 65_536)
durations_ns = st.integers(1, 10**14)


def server(**options: object) -> Scenario:
    return Scenario(kind=Kind.SERVER, **options)  # type: ignore[arg-type] # drawn below


servers = st.builds(
    server,
    rate_per_s=st.floats(1e-3, 1e6) | st.just(0.0),
    arrivals=st.sampled_from(ARRIVALS),
    streams=counts,
    max_batch=st.integers(2, 65_536),
    wait_ns=durations_ns | st.just(0),
)
scenarios = st.one_of(
    st.just(Scenario()),
    st.just(Scenario(kind=Kind.OFFLINE)),
    st.builds(lambda n: Scenario(kind=Kind.MULTI_STREAM, samples=n), counts),
    st.builds(lambda n: Scenario(kind=Kind.STREAMS, streams=n), counts),
    st.builds(lambda ns: Scenario(kind=Kind.SUSTAINED, duration_ns=ns), durations_ns),
    servers,
)


@given(scenarios)
def test_a_scenario_reads_back_what_it_writes(scenario: Scenario) -> None:
    assert parse_scenario(str(scenario)) == scenario


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("single-stream", "single-stream"),
        (" Offline ", "offline"),
        ("multi-stream: 8", "multi-stream:8"),
        ("streams:02", "streams:2"),
        ("sustained:300s", "sustained:5min"),
        ("sustained:1min 30s", "sustained:90s"),
        ("server:30", "server:30"),
        ("server:30.50/s", "server:30.5"),
        ("server:30,arrivals=poisson,streams=1", "server:30"),
        (
            "server:30, wait=0.005s, max_batch=8, streams=2, arrivals=constant",
            "server:30,arrivals=constant,streams=2,max_batch=8,wait=5ms",
        ),
    ],
)
def test_what_is_meant_alike_is_written_alike(text: str, canonical: str) -> None:
    assert str(parse_scenario(text)) == canonical


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("serve:30", "sustained:5min"),  # the fix names every form
        ("", "single-stream"),
        ("single-stream:2", "takes no value"),
        ("multi-stream", "multi-stream:8"),
        ("multi-stream:0", "from 1 to"),
        ("streams:two", "from 1 to"),
        ("offline,streams=2", "has no options"),
        ("server:", "server:30"),
        ("server:0", "not a rate"),
        ("server:1e3", "not a rate"),
        ("server:inf", "not a rate"),
        ("server:9999999", "up to 1000000"),
        ("server:30,burst=2", "max_batch=8"),
        ("server:30,streams", "no option"),
        ("server:30,streams=2,streams=3", "twice"),
        ("server:30,arrivals=uniform", "poisson, constant"),
        ("server:30,wait=5ms", "max_batch=8"),
        ("server:30,max_batch=8,wait=soon", "duration"),
        ("sustained:0s", "duration"),
    ],
)
def test_what_is_no_scenario_is_refused_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_scenario(text)
    assert says in str(refused.value)


@given(st.text(max_size=80) | st.text(max_size=40).map(lambda text: "server:30," + text))
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(UsageError):
        assert isinstance(parse_scenario(text), Scenario)


def test_reading_a_scenario_loads_no_numpy() -> None:
    """The command line reads it before anything heavy."""
    code = "import sys, xbench.load.scenario; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
