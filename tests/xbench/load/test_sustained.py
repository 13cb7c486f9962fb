"""The curve of minutes of load, on made-up devices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xbench.load.sustained import Curve, curve
from xbench.result import Verdict

SECONDS = 300.0
BASE_NS = 50e6


def device(slower: NDArray[np.float64] | None = None, seed: int = 0, noise: float = 0.02) -> Curve:
    """Return the curve of a device whose latency is ``slower`` times that of its start.

    ``slower`` has a factor for each of 1000 moments; noise is lognormal, an inference at a time.
    """
    rng = np.random.default_rng(seed)
    latencies = BASE_NS * np.exp(rng.normal(0, noise, 6000))
    if slower is not None:
        moments = np.linspace(0, len(slower) - 1, len(latencies)).astype(int)
        latencies *= slower[moments]
    ends_s = np.cumsum(latencies) / 1e9
    return curve(ends_s * SECONDS / ends_s[-1], latencies)


@given(st.integers(0, 2**32))
@settings(max_examples=30)
def test_a_device_that_keeps_its_speed_ends_as_it_began(seed: int) -> None:
    found = device(seed=seed)
    assert found.verdict is Verdict.TIE
    assert (found.shape, found.changed_at_s) == (None, None)
    assert found.start_ns.low <= found.start_ns.value <= found.start_ns.high
    assert found.start_ns.value == pytest.approx(BASE_NS, rel=0.01)


@given(st.integers(0, 2**32), st.floats(1.1, 3.0), st.floats(0.2, 0.8))
@settings(max_examples=30)
def test_a_device_that_throttles_is_slower_by_a_step_at_that_time(
    seed: int, factor: float, share: float
) -> None:
    fast, slow = share, (1 - share) / factor  # inferences in either part of the time
    steps = np.where(np.arange(1000) < 1000 * fast / (fast + slow), 1.0, factor)
    found = device(steps, seed)
    assert found.verdict is Verdict.SLOWER
    assert found.shape == "step"
    assert found.speed.value == pytest.approx(1 / factor, rel=0.02)
    assert found.changed_at_s == pytest.approx(SECONDS * share, abs=SECONDS / 30)


@given(st.integers(0, 2**32))
@settings(max_examples=30)
def test_a_device_that_slows_down_bit_by_bit_drifts(seed: int) -> None:
    found = device(np.linspace(1.0, 1.4, 1000), seed)
    assert (found.verdict, found.shape, found.changed_at_s) == (Verdict.SLOWER, "drift", None)


def test_a_device_that_warms_up_is_faster_at_the_end() -> None:
    found = device(np.where(np.arange(1000) < 300, 1.5, 1.0))
    assert found.verdict is Verdict.FASTER
    assert found.speed.low > 1.4


def test_a_disturbance_that_passes_changes_neither_start_nor_end() -> None:
    bump = np.ones(1000)
    bump[400:600] = 2.0
    assert device(bump).verdict is Verdict.TIE


def test_points_cover_the_time_and_count_every_inference() -> None:
    found = device()
    assert len(found.points) == 60
    assert sum(point.inferences for point in found.points) == 6000
    assert [point.at_s for point in found.points] == pytest.approx(np.arange(2.5, 300, 5).tolist())


def test_too_few_inferences_tell_no_curve() -> None:
    with pytest.raises(ValueError, match="20 are needed"):
        curve([1.0, 2.0, 3.0], [1e9] * 3)
    with pytest.raises(ValueError, match="each end"):
        curve([1.0], [])
