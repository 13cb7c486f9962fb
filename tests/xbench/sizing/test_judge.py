"""The verdict on a profile: what is sure, what is measured, what is modelled, what is unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xbench.procurement.market import row
from tests.xbench.sizing.made import (
    GIB,
    MIB,
    NPU,
    bare,
    demand,
    device,
    failed,
    least,
    measured,
)
from xbench.procurement.fleet import Fleet
from xbench.profiles import Profile
from xbench.profiles.model import Cluster, Cpu
from xbench.result import Status
from xbench.sizing.judge import Answer, judge
from xbench.sizing.rows import Measured
from xbench.sizing.trial import LEAST_LOAD, Verdict

DEVICE = device(gflops=200.0, gbytes=20.0)


def answer(
    *rows: Measured, profile: Profile = DEVICE, rate: float = 30.0, slo: str = "p99=50ms"
) -> Answer:
    return judge(profile, rows, least(), demand(rate, slo), "fp32")


def test_a_device_whose_whole_range_keeps_the_limit_fits_by_the_model() -> None:
    """1 GFLOP at 200 GFLOP/s: 10 to 37.5 ms, and the limit is 90 ms; a tail adds to both."""
    found = answer(measured(tail=1.05), slo="p99=90ms")
    assert found.verdict is Verdict.FITS
    assert found.trial
    assert found.trial.measured.name == "fast"
    assert found.devices_least is not None
    assert found.devices is not None
    assert 1 == found.devices_least <= found.devices
    latency = found.trial.latency_s
    assert latency
    assert 0.010 < latency.low < latency.high <= 0.090
    assert found.headroom.latency == pytest.approx(1 - latency.high / 0.090)
    assert found.headroom.memory == pytest.approx(1 - 100 / 4096)
    assert found.headroom.load is not None
    assert 0 <= found.headroom.load < 1


def test_a_device_of_which_the_high_end_misses_may_fit() -> None:
    found = answer(measured(), slo="p99=26ms", rate=5.0)
    assert found.verdict is Verdict.MAY_FIT
    assert found.devices is None
    assert found.devices_least == 1
    assert "at the high end of its range" in (found.reason or "")
    assert found.headroom.load is None


def test_a_device_of_which_even_the_low_end_misses_does_so_by_the_model_only() -> None:
    """The floor is 5 ms and the limit 8 ms: nothing is sure."""
    found = answer(measured(), slo="p99=8ms")
    assert found.verdict is Verdict.MISSES
    assert "at the low end" in (found.reason or "")


def test_a_floor_beyond_the_limit_is_sure_and_names_what_is_not_sized() -> None:
    """1 GFLOP at 200 GFLOP/s takes 5 ms at the least, whatever was measured here."""
    profile = replace(DEVICE, accelerators=(NPU,))
    found = answer(measured(per_s=1e4), profile=profile, slo="p99=4ms")
    assert found.verdict is Verdict.NO
    assert "5 ms at the least, computed" in (found.reason or "")
    assert found.floor_s == pytest.approx(0.005)
    ((name, npu_s),) = found.accelerators
    assert name == "NPU"
    assert npu_s == pytest.approx(0.001)
    assert found.devices is None


def test_bare_caps_tell_of_this_host_and_of_no_device() -> None:
    found = answer(measured(per_s=100.0), profile=bare())
    assert found.verdict is Verdict.FITS_CAPPED
    assert found.floor_s is None
    assert found.trial
    assert found.trial.scale is None
    assert found.trial.latency_s
    assert found.trial.latency_s.low >= 0.009  # as it was measured, and longer in a queue
    slow = answer(measured(per_s=15.0), profile=bare())
    assert slow.verdict is Verdict.MISSES_CAPPED
    assert "it misses p99 within 50 ms" in (slow.reason or "")


def test_too_few_inferences_are_unknown_and_no_miss() -> None:
    few = measured()
    latency = {**few.row.latency_s, "p99": None}
    few = replace(few, row=replace(few.row, latency_s=latency, timed=100))
    for profile in (bare(), DEVICE):
        found = answer(few, profile=profile)
        assert found.verdict is Verdict.UNKNOWN
        assert "100 inferences are too few to tell its p99" in (found.reason or "")
        assert "--time-budget" in (found.fix or "")


def test_a_backend_far_from_this_hosts_limits_says_nothing_of_a_device() -> None:
    found = answer(measured(share=0.03))
    assert found.verdict is Verdict.UNKNOWN
    assert "reaches 3% of what this host allows" in (found.reason or "")
    assert found.trial
    assert isinstance(found.trial.here, Fleet)  # and what was measured here is still told


def test_memory_rules_out_what_the_peak_passes() -> None:
    small = device(memory=320 * MIB, gflops=200.0, gbytes=20.0)
    found = answer(
        measured("big", peak=600 * MIB), measured("large", peak=900 * MIB), profile=small
    )
    assert found.verdict is Verdict.NO
    assert "big, the smallest, held 600 MiB at its peak; 320 MiB are there" in (found.reason or "")
    mixed = answer(measured("big", peak=600 * MIB), measured("slim", 50.0), profile=small)
    assert mixed.trial
    assert mixed.trial.measured.name == "slim"
    assert mixed.trial.memory.evidence == "modelled"


def test_a_peak_near_the_memory_is_unknown_until_it_ran_under_that_cap() -> None:
    near = measured(peak=300 * MIB)
    small = device(memory=320 * MIB, gflops=400.0, gbytes=40.0)
    found = answer(near, profile=small)
    assert found.verdict is Verdict.UNKNOWN
    assert "whether fast fits into 320 MiB" in (found.reason or "")
    assert "--profile board" in (found.fix or "")
    there = answer(replace(near, cap_bytes=320 * MIB), profile=small)
    assert there.trial
    assert there.trial.memory.evidence == "measured"


def test_a_kill_under_the_cap_is_measured_and_sure() -> None:
    why = "it needs more than the 320 MiB that it was capped to"
    found = answer(failed("fat", Status.OOM_HOST, why), profile=device(memory=320 * MIB))
    assert found.verdict is Verdict.NO
    assert why in (found.reason or "")


def test_a_kill_is_not_sure_while_another_backend_is_undecided() -> None:
    killed = failed("fat", Status.OOM_HOST, "too much")
    found = answer(killed, failed("slow", Status.TIMEOUT, "it took too long"))
    assert found.verdict is Verdict.UNKNOWN
    assert found.reason == "slow: timeout: it took too long"
    gone = answer(killed, failed("gone", Status.UNAVAILABLE, "it is not installed"))
    assert gone.verdict is Verdict.UNKNOWN
    assert gone.reason == "gone: unavailable: it is not installed"
    assert gone.fix == "Do something"
    assert answer(killed, failed("odd")).verdict is Verdict.NO


def test_memory_is_not_sure_while_a_backend_is_missing_here() -> None:
    small = device(memory=320 * MIB, gflops=200.0, gbytes=20.0)
    big, gone = measured("big", peak=600 * MIB), failed("gone", Status.UNAVAILABLE, "not installed")
    assert answer(big, profile=small).verdict is Verdict.NO
    found = answer(big, gone, profile=small)
    assert found.verdict is Verdict.UNKNOWN
    assert found.reason == "gone: unavailable: not installed"
    assert answer(gone, profile=small, slo="p99=4ms").verdict is Verdict.NO  # by its floor, still


def test_the_floor_is_the_least_of_all_that_backends_compute_in() -> None:
    """5 ms at fp32 and 1.25 at int8: with an int8 backend 4 ms are not ruled out."""
    cores = Cluster(count=4, clock_ghz=1.0, per_cycle={"fp32": 50.0, "int8": 200.0})
    both = replace(DEVICE, cpu=Cpu(clusters=(cores,)))
    only = answer(measured(), profile=both, slo="p99=4ms")
    assert only.verdict is Verdict.NO
    assert only.floor_s == pytest.approx(0.005)
    narrow = measured("narrow", 400.0, precision="int8")
    for rows in ((narrow,), (measured(), narrow), (measured(effective="int8+fp32"),)):
        found = answer(*rows, profile=both, slo="p99=4ms")
        assert found.verdict is not Verdict.NO
        assert found.floor_s == pytest.approx(0.00125)
    untold = answer(narrow, profile=DEVICE, slo="p99=4ms")  # that has no figure at int8
    assert untold.verdict is not Verdict.NO
    assert untold.floor_s is None


def test_a_device_that_takes_smaller_batches_does_not_fit() -> None:
    """Whatever was measured for others with as many threads."""
    four = replace(bare(), max_batch=4)
    for batch, verdict in ((None, Verdict.FITS_CAPPED), (4, Verdict.FITS_CAPPED), (8, Verdict.NO)):
        of = replace(least(), batch=batch)
        found = judge(four, (measured(),), of, demand(), "fp32")
        assert found.verdict is verdict
    assert found.reason == "it takes batches up to 4, and the model's is 8"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (Status.UNSUPPORTED, Verdict.NO),
        (Status.CRASHED, Verdict.NO),
        (Status.PARITY_FAILED, Verdict.NO),
        (Status.UNAVAILABLE, Verdict.UNKNOWN),
        (Status.TIMEOUT, Verdict.UNKNOWN),
        (Status.INTERRUPTED, Verdict.UNKNOWN),
        (Status.OK, Verdict.UNKNOWN),  # it ran, and its row is not to be relied on
    ],
)
def test_no_backend_that_runs_is_sure_only_where_it_is_not_this_hosts_fault(
    status: Status, verdict: Verdict
) -> None:
    found = answer(failed("broken", status, "a reason of its own"))
    assert found.verdict is verdict
    assert "a reason of its own" in (found.reason or "")
    assert answer().verdict is Verdict.UNKNOWN


def test_the_backend_is_the_one_that_takes_the_fewest_devices() -> None:
    rows = (measured("slow", 60.0, share=0.3), measured("fast", 100.0), failed())
    found = answer(*rows, rate=200.0, slo="p99=100ms")
    assert found.trial
    assert found.trial.measured.name == "fast"
    alone = answer(rows[0], rate=200.0, slo="p99=100ms")
    assert found.devices is not None
    assert alone.devices is None or found.devices <= alone.devices


def test_a_device_that_must_idle_to_keep_the_limit_is_no_fit() -> None:
    """Thousands of nearly idle devices hold any load: nobody buys these."""
    tight = measured(per_s=100.0, tail=1.2, width=0.0)
    p99 = tight.row.latency_s["p99"]
    assert p99
    found = answer(tight, profile=bare(), slo=f"p99={p99.value * 1.0005 * 1e6:.0f}us")
    assert found.verdict is Verdict.MISSES_CAPPED
    assert f"busy for less than {LEAST_LOAD:.0%}" in (found.reason or "")


SPEEDS = st.floats(20.0, 500.0)
LIMITS = st.floats(0.005, 1.0)
BOARDS = st.builds(
    lambda gflops, gbytes, plain: bare() if plain else device(gflops=gflops, gbytes=gbytes),
    st.floats(20.0, 500.0),
    st.floats(2.0, 100.0),
    st.booleans(),
)
BETTER = list(Verdict)


@settings(max_examples=8, deadline=None)
@given(BOARDS, SPEEDS, SPEEDS, LIMITS, st.floats(0.5, 500.0), st.floats(1.0, 20.0))
def test_more_load_never_takes_fewer_devices(
    profile: Profile, first: float, second: float, limit_s: float, rate: float, times: float
) -> None:
    rows = (measured("a", first, tail=1.3), measured("b", second, tail=3.0))
    slo = f"p99={limit_s * 1e6:.0f}us"
    less = answer(*rows, profile=profile, rate=rate, slo=slo)
    more = answer(*rows, profile=profile, rate=rate * times, slo=slo)
    assert less.verdict is more.verdict  # a queue's limit is one of each device, not of the rate
    if less.devices is not None:
        assert more.devices is not None
        assert less.devices <= more.devices
    if less.devices_least is not None and len({first, second}) == 1:
        assert more.devices_least is not None
        assert less.devices_least <= more.devices_least


@settings(max_examples=8, deadline=None)
@given(BOARDS, SPEEDS, SPEEDS, LIMITS, st.floats(0.5, 500.0), st.floats(1.0, 10.0))
def test_a_looser_limit_never_takes_more_devices_nor_a_worse_verdict(
    profile: Profile, first: float, second: float, limit_s: float, rate: float, times: float
) -> None:
    rows = (measured("a", first, tail=1.3), measured("b", second, tail=3.0))
    tight, loose = (
        answer(*rows, profile=profile, rate=rate, slo=f"p99={limit * 1e6:.0f}us")
        for limit in (limit_s, limit_s * times)
    )
    assert BETTER.index(loose.verdict) <= BETTER.index(tight.verdict)
    if tight.devices is not None:
        assert loose.devices is not None
        assert loose.devices <= tight.devices


@settings(max_examples=8, deadline=None)
@given(st.integers(8, 8192), st.integers(1, 8192), st.integers(0, 8192))
def test_more_memory_is_never_worse(peak: int, memory: int, more: int) -> None:
    one = measured(peak=peak * MIB, cap=2**20 * GIB)
    small, large = (
        answer(one, profile=device(memory=size * MIB, gflops=400.0, gbytes=40.0))
        for size in (memory, memory + more)
    )
    rank = {Verdict.NO: 2, Verdict.UNKNOWN: 1}
    assert rank.get(large.verdict, 0) <= rank.get(small.verdict, 0)


@settings(max_examples=8, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1.0, 200.0))
def test_time_has_no_unit_of_its_own(stretch: float, rate: float) -> None:
    """Everything ``stretch`` times as slow, and the rate as much lower: the answer is the same."""
    one = measured(per_s=100.0, width=0.0)
    other = measured(per_s=100.0 / stretch, width=0.0)
    slow = device(gflops=200.0 / stretch, gbytes=20.0 / stretch)
    found = answer(one, rate=rate, slo="p99=60ms")
    again = answer(other, profile=slow, rate=rate / stretch, slo=f"p99={60e6 * stretch:.0f}ns")
    assert found.verdict is again.verdict
    assert found.devices == pytest.approx(again.devices, abs=1)
    assert found.trial
    assert again.trial
    if found.trial.latency_s and again.trial.latency_s and found.devices == again.devices:
        assert again.trial.latency_s.high == pytest.approx(
            found.trial.latency_s.high * stretch, rel=0.02
        )


def test_a_measured_row_needs_no_latency_to_be_refused() -> None:
    """A row without a median is no best one, and crashes nothing."""
    blind = measured()
    nothing = dict.fromkeys(blind.row.latency_s)
    found = answer(replace(blind, row=replace(row(), latency_s=nothing)))
    assert found.verdict is Verdict.UNKNOWN
