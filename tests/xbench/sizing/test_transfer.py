"""From a latency here to a range for a device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xbench.procurement.market import row
from tests.xbench.sizing.made import device, least
from xbench.roofline.work import Work
from xbench.sizing.least import Least
from xbench.sizing.transfer import LEAST_SHARE, Scale, Unscaled, scale_to, scaled

HERE_S = 0.01
RATES = st.floats(1.0, 1e4)


def roofline(floor_ns: float | None, bound: str = "compute") -> dict[str, object]:
    return {"floor_ns": floor_ns, "bound": bound, "reason": None if floor_ns else "not probed"}


def scale(
    *,
    gflops: float = 100.0,
    gbytes: float | None = 10.0,
    threads: int = 4,
    of: Least | None = None,
    share: float = 0.5,
    bound: str = "compute",
    fastest_s: float = 0.01,
) -> Scale | Unscaled:
    """Return how a device compares with a host that took 10 ms, with two threads."""
    profile = device(gflops=gflops, gbytes=gbytes, threads=threads)
    told = roofline(share * HERE_S * 1e9, bound)
    return scale_to(
        profile,
        of or least(),
        median_s=HERE_S,
        fastest_s=fastest_s,
        precision="fp32",
        threads=2,
        roofline=told,
    )


def ends_ms(found: Scale | Unscaled) -> tuple[float, float]:
    assert isinstance(found, Scale), found
    return found.low * HERE_S * 1e3, found.high * HERE_S * 1e3


def test_both_ends_by_hand() -> None:
    """1 GFLOP at 100 GFLOP/s is 10 ms; this host came to half of its own limits.

    High end: three times as long, over that half, and 50 MB at a third of 10 GB/s.
    """
    low_ms, high_ms = ends_ms(scale())
    assert low_ms == pytest.approx(10 / 0.5)
    assert high_ms == pytest.approx(10 * 3 / 0.5 + 15)


def test_a_host_that_others_disturb_does_not_make_a_device_slow_at_its_low_end() -> None:
    """The fastest inference took half the median: that was disturbed, and the device need not be.

    The ends are factors of the median, as the whole distribution is scaled by them.
    """
    low_ms, high_ms = ends_ms(scale(fastest_s=HERE_S / 2))
    assert low_ms == pytest.approx(10 / (2 * 0.5))
    assert high_ms == pytest.approx(10 * 3 / 0.5 + 15)


def test_the_share_belongs_to_the_side_that_binds_here() -> None:
    low_ms, high_ms = ends_ms(scale(bound="memory"))
    assert low_ms == pytest.approx(10 / 0.5)
    assert high_ms == pytest.approx(10 * 3 + 15 / 0.5)


def test_at_the_high_end_a_device_uses_twice_the_threads_measured_and_no_more() -> None:
    """Eight cores, two threads measured: four of them count at the high end, all at the low."""
    low_ms, high_ms = ends_ms(scale(gflops=200.0, threads=8))
    assert low_ms == pytest.approx(5 / 0.5)
    assert high_ms == pytest.approx(10 * 3 / 0.5 + 15)


@given(RATES, RATES, st.floats(1.0, 10.0))
def test_a_faster_device_is_never_slower(gflops: float, gbytes: float, times: float) -> None:
    slow = scale(gflops=gflops, gbytes=gbytes)
    fast = scale(gflops=gflops * times, gbytes=gbytes * times)
    assert isinstance(slow, Scale)
    assert isinstance(fast, Scale)
    assert fast.low <= slow.low * (1 + 1e-9)
    assert fast.high <= slow.high * (1 + 1e-9)
    assert slow.low <= slow.high


@given(RATES, RATES, st.floats(LEAST_SHARE, 3.0))
def test_no_end_lies_below_the_floor(gflops: float, gbytes: float, share: float) -> None:
    """Not even where this host beat what was counted, as convolutions by Winograd's method do."""
    found = scale(gflops=gflops, gbytes=gbytes, share=share)
    low_ms, _ = ends_ms(found)
    floor_s = least().floor_s(device(gflops=gflops, gbytes=gbytes), "fp32")
    assert floor_s is not None
    assert low_ms >= floor_s * 1e3 * (1 - 1e-9)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (scale(share=0.1), "reaches 10% of what this host allows"),
        (scale(gbytes=None), "tells no peak at fp32, or no bandwidth"),
        (scale(of=least(moved=None)), "not known before a run: a loop"),
    ],
)
def test_what_is_not_known_has_a_reason(found: Scale | Unscaled, said: str) -> None:
    assert isinstance(found, Unscaled)
    assert said in found.reason


def test_without_this_hosts_limits_nothing_is_scaled() -> None:
    asked: dict[str, Any] = {"precision": "fp32", "threads": 2, "fastest_s": HERE_S}
    found = scale_to(device(), least(), median_s=HERE_S, roofline=roofline(None), **asked)
    assert isinstance(found, Unscaled)
    assert "not probed" in found.reason
    found = scale_to(device(), least(), median_s=None, roofline=roofline(1e6), **asked)
    assert found == Unscaled("no latency was measured")


@given(st.floats(0.01, 100.0))
def test_a_scaled_row_is_a_row_of_that_speed(factor: float) -> None:
    """Its units stay: seconds longer, inferences a second fewer."""
    one = row(100.0)
    other = scaled(one, factor)
    assert one.throughput_per_s
    assert other.throughput_per_s
    for name, before in one.latency_s.items():
        after = other.latency_s[name]
        assert (before is None) == (after is None)
        if before and after:
            assert after.value == pytest.approx(before.value * factor)
            assert after.low <= after.value <= after.high
    assert other.throughput_per_s.value == pytest.approx(one.throughput_per_s.value / factor)
    assert replace(other, latency_s={}, throughput_per_s=None, extremes_s=None) == replace(
        one, latency_s={}, throughput_per_s=None, extremes_s=None
    )


@pytest.mark.parametrize(
    ("gflops", "gbytes", "published_ms"),
    [(48.0, 12.8, 44.0), (44.8, 3.6, 79.0)],
    ids=["Raspberry Pi 4 at 1.5 GHz", "Raspberry Pi 3 B+"],
)
def test_published_latencies_lie_within_the_range(
    gflops: float, gbytes: float, published_ms: float
) -> None:
    """MobileNetV2 by XNNPACK on all cores, as its README of 2020 has it; docs/sizing.md.

    Scaled from LiteRT here, which runs on XNNPACK too: 71 % of this host's limits.
    """
    work = Work(flops=602_000_000, compulsory_bytes=14_600_000, moved_bytes=95_000_000)
    found = scale(gflops=gflops, gbytes=gbytes, of=Least(work, 5.8e8), share=0.71)
    low_ms, high_ms = ends_ms(found)
    assert low_ms <= published_ms <= high_ms
