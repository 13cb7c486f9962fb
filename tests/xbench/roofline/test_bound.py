"""The formulas: a floor never shrinks as work grows, has no unit of its own, and bounds shares."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.roofline.bound import COMPUTE, MEMORY, bound, share

WORK = st.floats(0, 1e15)
RATE = st.floats(1e3, 1e15)
FACTOR = st.floats(1, 1e6)


def test_by_hand_compute_binds_above_the_ridge_and_memory_below() -> None:
    """100 GFLOP/s and 20 GB/s meet at 5 FLOP a byte."""
    above = bound(2e9, 1e8, 1e11, 2e10)
    assert (above.bound, above.floor_s, above.intensity) == (COMPUTE, 0.02, 20.0)
    assert (above.ridge_flop_per_byte, above.attainable_flops_per_s) == (5.0, 1e11)
    below = bound(2e8, 1e8, 1e11, 2e10)
    assert (below.bound, below.floor_s, below.intensity) == (MEMORY, 0.005, 2.0)
    assert below.attainable_flops_per_s == 4e10
    assert share(1e7, below).share == 0.5


def test_what_stays_in_the_caches_is_bound_by_arithmetic() -> None:
    """No byte to move: there is no intensity, and nothing but FLOP/s is left to bind."""
    roof = bound(1e9, 0, 1e11, 2e10)
    assert (roof.bound, roof.intensity, roof.attainable_flops_per_s) == (COMPUTE, None, 1e11)


@given(WORK, WORK, RATE, RATE, FACTOR)
def test_more_work_never_takes_less_and_a_faster_machine_never_more(
    flops: float, moved: float, peak: float, bandwidth: float, factor: float
) -> None:
    floor_s = bound(flops, moved, peak, bandwidth).floor_s
    assert bound(flops * factor, moved, peak, bandwidth).floor_s >= floor_s
    assert bound(flops, moved * factor, peak, bandwidth).floor_s >= floor_s
    assert bound(flops, moved, peak * factor, bandwidth).floor_s <= floor_s
    assert bound(flops, moved, peak, bandwidth * factor).floor_s <= floor_s


@given(WORK, WORK, RATE, RATE, st.integers(-20, 20))
def test_scale_is_nothing_to_it(
    flops: float, moved: float, peak: float, bandwidth: float, power: int
) -> None:
    """As much more work on a machine as much faster: the same floor, bound and ridge."""
    factor = 2.0**power  # exact in floating point
    roof = bound(flops, moved, peak, bandwidth)
    scaled = bound(flops * factor, moved * factor, peak * factor, bandwidth * factor)
    assert math.isclose(scaled.floor_s, roof.floor_s, rel_tol=1e-12, abs_tol=1e-300)
    assert scaled.ridge_flop_per_byte == roof.ridge_flop_per_byte
    assert scaled.bound == roof.bound


@given(st.floats(1, 1e15), st.floats(1, 1e15), RATE, RATE)
def test_the_side_that_binds_is_the_side_of_the_ridge(
    flops: float, moved: float, peak: float, bandwidth: float
) -> None:
    """Attainable is operations over floor, below the peak just where memory binds."""
    roof = bound(flops, moved, peak, bandwidth)
    assert math.isclose(roof.attainable_flops_per_s, flops / roof.floor_s, rel_tol=1e-9)
    assert roof.intensity is not None
    if not math.isclose(roof.intensity, roof.ridge_flop_per_byte, rel_tol=1e-9):
        assert (roof.bound == COMPUTE) == (roof.intensity > roof.ridge_flop_per_byte)


@given(WORK, WORK, RATE, RATE, FACTOR)
def test_no_share_is_above_one(
    flops: float, moved: float, peak: float, bandwidth: float, factor: float
) -> None:
    """At the floor and above there is a share, unless there is no work; it falls with latency."""
    roof = bound(flops, moved, peak, bandwidth)
    latency_ns = roof.floor_s * 1e9 * factor
    if latency_ns > 0:
        reached = share(latency_ns * (1 + 1e-12), roof)
        assert reached.share is not None
        assert 0 < reached.share <= 1
        assert math.isclose(reached.share, 1 / factor, rel_tol=1e-9)


@given(st.floats(1e6, 1e15), RATE, st.floats(1.01, 1e6))
def test_a_share_above_one_is_told_as_a_contradiction(
    flops: float, peak: float, factor: float
) -> None:
    """Faster than the floor: no number, but what may be wrong."""
    roof = bound(flops, 0, peak, 1e9)
    reached = share(roof.floor_s * 1e9 / factor, roof)
    assert reached.share is None
    assert "probe fell short" in (reached.reason or "")
    assert "Winograd" in (reached.reason or "")
    of_memory = bound(0, flops, peak, 1e9)
    reason = share(of_memory.floor_s * 1e9 / factor, of_memory).reason or ""
    assert "caches" in reason


def test_just_above_one_is_at_the_limit_as_far_as_the_probe_knows() -> None:
    roof = bound(1e9, 0, 1e11, 1e10)
    reached = share(0.98e7, roof, spread=0.05)
    assert reached.share is None
    assert "at the limit" in (reached.reason or "")
    assert "probe fell short" in (share(0.9e7, roof, spread=0.05).reason or "")


def test_nothing_counted_has_no_share() -> None:
    reached = share(1e6, bound(0, 0, 1e11, 1e10))
    assert reached.share is None
    assert reached.reason


@pytest.mark.parametrize(
    "numbers",
    [(-1, 0, 1, 1), (0, -1, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0), (math.inf, 1, 1, 1)],
)
def test_impossible_numbers_are_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="no roof"):
        bound(*numbers)


def test_no_latency_is_refused() -> None:
    with pytest.raises(ValueError, match="no latency"):
        share(0.0, bound(1, 1, 1, 1))
