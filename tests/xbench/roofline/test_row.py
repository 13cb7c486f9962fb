"""A row beside its machine's limits: the numbers by hand, and a reason wherever one is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xbench.roofline.ceilings import Ceiling, Ceilings, best_of, none_of
from xbench.roofline.row import FIELDS, roofline_of
from xbench.roofline.work import Work

MIB = 2**20
CEILINGS = Ceilings(
    device="cpu",
    threads=2,
    caches_bytes=32 * MIB,
    bandwidth=best_of({"read": [2e10]}),
    flops={
        "fp32": best_of({"numpy 1024x1024": [1e11]}),
        "int8": best_of({"openvino": [4e11]}),
        "fp16": none_of("onnxruntime: it computed in fp32"),
    },
)
SMALL = Work(flops=10**9, compulsory_bytes=14 * MIB, float32_bytes=13 * MIB, moved_bytes=60 * MIB)
LARGE = Work(
    flops=10**9, compulsory_bytes=432 * MIB, float32_bytes=431 * MIB, moved_bytes=500 * MIB
)


def told(work: Work, latency_ns: float | None = 2e7, **own: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"ceilings": CEILINGS, "requested": "fp32", "effective": "fp32"} | own
    found = roofline_of(work=work, latency_ns=latency_ns, **asked)
    assert tuple(found) == FIELDS
    return found


def test_what_fits_in_the_caches_is_bound_by_arithmetic_when_warm() -> None:
    """No byte must come again, so the floor is that of the operations: 10 of 20 ms."""
    found = told(SMALL)
    assert (found["bound"], found["floor_ns"], found["share"]) == ("compute", 1e7, 0.5)
    assert found["bytes"] == {"floor": 0, "compulsory": 14 * MIB, "moved": 60 * MIB}
    assert found["intensity"] is None
    assert found["flops_per_s"] == 5e10
    assert found["attainable_flops_per_s"] == found["peak_flops_per_s"] == 1e11
    assert found["ridge_flop_per_byte"] == 5.0
    assert found["unfused"]["bound"] == "compute"
    assert found["reached_by"] == {"flops": "numpy 1024x1024", "bandwidth": "read"}
    assert found["reason"] is None


def test_what_the_caches_cannot_hold_must_come_again_and_bind_by_memory() -> None:
    """400 MiB at 20 GB/s take 21 ms, whatever the arithmetic."""
    found = told(LARGE, latency_ns=4e7)
    again = 400 * MIB
    assert found["bytes"]["floor"] == again
    assert found["bound"] == "memory"
    assert found["floor_ns"] == again / 2e10 * 1e9
    assert found["share"] == again / 2e10 / 0.04
    assert found["intensity"] == 1e9 / again
    assert found["attainable_flops_per_s"] == 1e9 / again * 2e10


def test_narrow_weights_make_the_floor_of_memory_lower() -> None:
    """Float32 weights that a variant holds in int8: a quarter of their bytes, and its FLOP/s."""
    found = told(LARGE, requested="int8", effective="int8")
    assert found["bytes"]["compulsory"] == 1 * MIB + 431 * MIB / 4
    assert found["peak_flops_per_s"] == 4e11
    assert found["precision"] == "int8"


def test_a_precision_that_was_not_held_is_not_what_a_row_is_judged_by() -> None:
    """Asked for fp16, computed in fp32: fp32's limit. Not told: that of what was asked for."""
    assert told(SMALL, requested="fp16", effective="fp32")["peak_flops_per_s"] == 1e11
    found = told(SMALL, requested="fp16", effective=None)
    assert found["share"] is None
    assert found["bound"] is None
    assert "computed in fp32" in found["reason"]


def test_of_mixed_precisions_the_fastest_limits() -> None:
    assert told(SMALL, requested="int8", effective="int8+fp32")["peak_flops_per_s"] == 4e11
    unknown = told(SMALL, requested="fp16", effective="fp16+fp32")
    assert unknown["share"] is None
    assert "no FLOP/s at fp16" in unknown["reason"]
    assert "not probed" in told(SMALL, requested="bf16", effective="bf16")["reason"]


def test_faster_than_the_floor_is_a_contradiction_and_no_share() -> None:
    found = told(SMALL, latency_ns=8e6)
    assert found["share"] is None
    assert "1/1.25 of the least time" in found["reason"]
    assert found["flops_per_s"] == 1.25e11  # what was computed is told all the same


def test_however_scattered_the_probe_was_a_clear_contradiction_is_one() -> None:
    """Slow tries do not make the best one doubtful: only a few per cent above it are its noise."""
    peaks = {"fp32": best_of({"numpy": [1e11, 4e10, 3e10]})}
    scattered = replace(CEILINGS, flops=peaks)
    assert "at the limit" in told(SMALL, latency_ns=0.98e7, ceilings=scattered)["reason"]
    assert "least time" in told(SMALL, latency_ns=0.9e7, ceilings=scattered)["reason"]


def test_what_is_not_known_is_none_with_a_reason() -> None:
    """Counts, limits, caches, latency: each missing alone."""
    no_flops = told(replace(SMALL, flops=None, unknown="how often 'loop' runs depends on data"))
    assert (no_flops["flops_per_s"], no_flops["share"]) == (None, None)
    assert "'loop'" in no_flops["reason"]
    no_bytes = told(replace(SMALL, compulsory_bytes=None, unknown="the size of 'y'"))
    assert (no_bytes["bound"], no_bytes["flops_per_s"]) == (None, 5e10)
    assert "'y'" in no_bytes["reason"]
    lost: Ceiling = none_of("the worker left with exit status 1")
    no_bandwidth = told(SMALL, ceilings=replace(CEILINGS, bandwidth=lost))
    assert (no_bandwidth["bound"], no_bandwidth["share"]) == (None, None)
    assert "exit status 1" in no_bandwidth["reason"]
    no_caches = told(SMALL, ceilings=replace(CEILINGS, caches_bytes=None))
    assert "caches" in no_caches["reason"]
    assert told(replace(SMALL, moved_bytes=None))["unfused"] is None
    no_latency = told(SMALL, latency_ns=None)
    assert (no_latency["floor_ns"], no_latency["share"]) == (1e7, None)
    assert no_latency["reason"] == "no latency was measured"


@given(
    st.integers(0, 10**13),
    st.integers(0, 10**11),
    st.floats(1.0, 1e12),
    st.sampled_from(["fp32", "int8", "int8+fp32", "fp16"]),
)
def test_a_row_has_a_share_of_at_most_one_or_a_reason(
    flops: int, size: int, latency_ns: float, effective: str
) -> None:
    work = Work(flops=flops, compulsory_bytes=size, float32_bytes=size // 2, moved_bytes=size)
    found = told(work, latency_ns, effective=effective)
    assert (found["share"] is None) == (found["reason"] is not None)
    assert found["share"] is None or 0 < found["share"] <= 1
