"""The computed floor: the roofline of peak arithmetic and peak bandwidth."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.errors import UnknownNameError
from xbench.profiles import floor_latency_s, peak_per_s, ridge_flop_per_byte
from xbench.profiles.model import Accelerator, Cluster, Cpu, Memory, Profile

AMOUNTS = st.floats(0, 1e15)
FACTORS = st.floats(1.001, 1e3)


def device(
    clock_ghz: float = 2.0, bandwidth: float | None = 8e9, big: float = 16, little: float | None = 8
) -> Profile:
    """Return two fast and two slow cores: 2 x big + 2 x little operations a cycle."""
    rates = [{"fp32": big}, {} if little is None else {"fp32": little}]
    clusters = tuple(Cluster(count=2, clock_ghz=clock_ghz, per_cycle=rate) for rate in rates)
    return Profile(
        name="d",
        family="d",
        title="D",
        kind="device",
        cpu=Cpu(clusters=clusters),
        memory=Memory(size_bytes=2**30, bandwidth_bytes_per_s=bandwidth),
        threads=4,
        accelerators=(Accelerator(name="NPU", kind="npu", dense_per_s={"int8": 1e12}),),
    )


def test_the_slower_of_arithmetic_and_memory_decides() -> None:
    """96 GFLOPS and 8 GB/s: 0.96 GFLOP take 10 ms, 0.16 GB take 20 ms."""
    assert floor_latency_s(device(), 0.96e9, 0, "fp32") == pytest.approx(0.010)
    assert floor_latency_s(device(), 0, 0.16e9, "fp32") == pytest.approx(0.020)
    assert floor_latency_s(device(), 0.96e9, 0.16e9, "fp32") == pytest.approx(0.020)
    assert floor_latency_s(device(), 0, 0, "fp32") == 0


def test_fewer_threads_are_the_fastest_cores() -> None:
    """One thread has a fast core, three have both fast ones and a slow one."""
    assert peak_per_s(device(), "fp32", threads=1) == pytest.approx(32e9)
    assert peak_per_s(device(), "fp32", threads=3) == pytest.approx(80e9)
    assert peak_per_s(device(), "fp32", threads=64) == peak_per_s(device(), "fp32")
    assert peak_per_s(replace(device(), threads=1), "fp32") == pytest.approx(32e9)


@pytest.mark.parametrize("profile", [device(bandwidth=None), device(little=None)])
def test_a_missing_figure_is_no_floor_rather_than_a_guess(profile: Profile) -> None:
    assert floor_latency_s(profile, 1e9, 1e6, "fp32") is None
    assert ridge_flop_per_byte(profile, "fp32") is None


def test_a_precision_that_the_cores_do_not_tell_has_no_floor() -> None:
    assert floor_latency_s(device(), 1e9, 1e6, "int8") is None
    assert peak_per_s(device(), "bf16") is None


def test_an_accelerator_has_a_floor_of_its_own() -> None:
    """1 TOPS beside the CPU, at the same 8 GB/s."""
    assert floor_latency_s(device(), 1e9, 0, "int8", accelerator="NPU") == pytest.approx(1e-3)
    assert ridge_flop_per_byte(device(), "int8", accelerator="NPU") == pytest.approx(125)
    assert floor_latency_s(device(), 1e9, 0, "fp32", accelerator="NPU") is None
    with pytest.raises(UnknownNameError, match="Did you mean 'NPU'"):
        floor_latency_s(device(), 1e9, 0, "int8", accelerator="NPV")


@pytest.mark.parametrize("amount", [-1.0, float("nan"), float("inf")])
def test_an_amount_that_cannot_be_is_refused(amount: float) -> None:
    with pytest.raises(ValueError, match="finite amounts"):
        floor_latency_s(device(), amount, 0, "fp32")
    with pytest.raises(ValueError, match="finite amounts"):
        floor_latency_s(device(), 0, amount, "fp32")


def floor(profile: Profile, flops: float, bytes_moved: float) -> float:
    found = floor_latency_s(profile, flops, bytes_moved, "fp32")
    assert found is not None
    return found


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_more_work_never_lowers_the_floor(flops: float, moved: float, more: float) -> None:
    least = floor(device(), flops, moved)
    assert floor(device(), flops + more, moved) >= least
    assert floor(device(), flops, moved + more) >= least


@given(AMOUNTS, AMOUNTS, FACTORS)
def test_the_floor_scales_inversely_with_both_peaks(
    flops: float, moved: float, factor: float
) -> None:
    faster = device(clock_ghz=2.0 * factor, bandwidth=8e9 * factor)
    expected = floor(device(), flops, moved) / factor
    assert floor(faster, flops, moved) == pytest.approx(expected, rel=1e-9)


@given(AMOUNTS, AMOUNTS, FACTORS)
def test_a_faster_part_never_raises_the_floor_and_only_its_own_side_falls(
    flops: float, moved: float, factor: float
) -> None:
    least = floor(device(), flops, moved)
    for faster in (device(clock_ghz=2.0 * factor), device(bandwidth=8e9 * factor)):
        assert floor(faster, flops, moved) <= least
    assert floor(device(clock_ghz=2.0 * factor), 0, moved) == floor(device(), 0, moved)
    assert floor(device(bandwidth=8e9 * factor), flops, 0) == floor(device(), flops, 0)


@given(st.floats(1, 1e15))
def test_at_the_ridge_memory_and_arithmetic_take_equally_long(moved: float) -> None:
    ridge = ridge_flop_per_byte(device(), "fp32")
    assert ridge is not None
    arithmetic, memory = floor(device(), ridge * moved, 0), floor(device(), 0, moved)
    assert arithmetic == pytest.approx(memory, rel=1e-9)
