"""The session of a GPU: on the CPU itself, and on a double of ``torch.cuda``.

No machine of the project's has run it on a GPU so far; `test_gpu.py` is for one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from tests.adapters.graphs import model, normal
from tests.adapters.pytorch.double_cuda import Cuda
from xbench.adapter import BOUNDARIES, BoundModel, Limits, Resident, Session, TensorSpec
from xbench.errors import DeviceMemoryError, UsageError
from xbench.testing.conformance import infer
from xbench_adapters.pytorch import PyTorchAdapter, cuda, import_onnx
from xbench_adapters.pytorch.cuda import CudaLane
from xbench_adapters.pytorch.lane import CpuLane
from xbench_adapters.pytorch.session import ResidentSession
from xbench_adapters.pytorch.variants import loaded

GPU = Limits(threads=1, device="cuda:0", uuid="GPU-1")
FEEDS = [{"x": normal(2, 8, seed=seed)} for seed in range(2)]
WEIGHT = normal(8, 3)


@pytest.fixture
def bound(tmp_path: Path) -> BoundModel:
    """Return a product of x and what x itself is, bound to two rows."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["y"]),
        helper.make_node("Identity", ["x"], ["same"]),
    ]
    onnx.save(model(nodes, FEEDS[0], ["y", "same"], {"w": WEIGHT}), tmp_path / "m.onnx")
    specs = (TensorSpec("x", "float32", (2, 8)),)
    return BoundModel(tmp_path / "m.onnx", specs, ("y", "same"), {})


def on_double(bound: BoundModel, variant: str = "", call: Any = None) -> tuple[Any, Cuda]:
    """Return a session on the double of a GPU, and the double."""
    double = Cuda()
    lane = CudaLane(double, "cpu", torch.empty_like)
    module = import_onnx(bound.path, bound.shapes)
    wrap = None if call is None else (lambda _: call)
    session = ResidentSession(bound, loaded(variant, module, lane, "", wrap=wrap), lane)
    return session, double


def on_cpu(bound: BoundModel) -> tuple[Any, None]:
    lane = CpuLane()
    return ResidentSession(bound, loaded("", import_onnx(bound.path), lane, ""), lane), None


def check(found: Any, place: int) -> None:
    x = FEEDS[place]["x"]
    assert list(found) == ["y", "same"]
    np.testing.assert_allclose(found["y"], np.maximum(x @ WEIGHT, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["same"], x)


# Boundaries


def on_graph(bound: BoundModel) -> tuple[Any, Cuda]:
    return on_double(bound, "graph")


WAYS = [(made, boundary) for made in (on_double, on_graph) for boundary in BOUNDARIES]


@pytest.mark.parametrize(("made", "boundary"), [(on_cpu, "host"), (on_cpu, "device"), *WAYS])
def test_outputs_are_right_at_each_boundary(bound: BoundModel, made: Any, boundary: str) -> None:
    """Those of the last run, whatever has been bound since; what was given stays as it is."""
    session, _ = made(bound)
    assert isinstance(session, Session)
    assert isinstance(session, Resident)
    session.at(boundary)
    first = infer(session, FEEDS[0])
    check(first, 0)
    session.bind(FEEDS[1])
    check(session.outputs(), 0)
    session.run()
    session.synchronize()
    check(session.outputs(), 1)
    check(first, 0)


@pytest.mark.parametrize(("boundary", "seen"), [("host", 1), ("device", 0), ("compute", 0)])
def test_only_a_run_at_host_reads_the_arrays(bound: BoundModel, boundary: str, seen: int) -> None:
    """At the others the inputs lie on the device from when they were bound."""
    session, _ = on_double(bound)
    session.at(boundary)
    feeds = {"x": FEEDS[0]["x"].copy()}
    session.bind(feeds)
    feeds["x"][...] = FEEDS[1]["x"]
    session.run()
    session.synchronize()
    check(session.outputs(), seen)


def test_events_stand_around_the_kernels(bound: BoundModel) -> None:
    """Their difference is in milliseconds, and is told in nanoseconds."""
    session, double = on_double(bound)
    session.at("compute")
    session.bind(FEEDS[0])
    double.calls.clear()
    session.run()
    session.synchronize()
    assert session.device_ns() == 250_000
    recorded = ["Event", "Event", "Event.record", "Event.record"]
    waited = ["current_stream", "Stream.synchronize"]
    assert double.calls == [*recorded, *waited, "Event.elapsed_time"]


def test_a_timed_run_waits_for_nothing_but_its_end(bound: BoundModel) -> None:
    """Copies and kernels are only asked for; `synchronize` is what waits for them."""
    session, double = on_double(bound)
    session.bind(FEEDS[0])
    double.calls.clear()
    session.run()
    assert double.calls == []
    session.synchronize()
    assert double.calls == ["current_stream", "Stream.synchronize"]


def test_pinned_memory_and_places_on_the_device_are_taken_once(bound: BoundModel) -> None:
    """A capture has their addresses, and pinning takes longer than most models."""
    session, _ = on_double(bound)
    lane = session._lane
    infer(session, FEEDS[0])
    inputs, landed = lane._inputs, lane._landed
    infer(session, FEEDS[1])
    assert lane._inputs is inputs
    assert lane._landed is landed


def test_a_boundary_that_there_is_not_is_refused(bound: BoundModel) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        on_double(bound)[0].at("nowhere")
    with pytest.raises(UsageError, match="no events"):
        on_cpu(bound)[0].at("compute")


def test_a_session_on_the_cpu_knows_the_hosts_boundary_only(bound: BoundModel) -> None:
    """Its data is where it always is."""
    session = PyTorchAdapter().load(bound, Limits(threads=1), "fp32")
    assert not isinstance(session, Resident)


def test_the_row_says_how_data_gets_there_and_what_the_allocator_gave(bound: BoundModel) -> None:
    session, _ = on_double(bound, "graph")
    infer(session, FEEDS[0])
    facts = session.facts()
    assert facts.allocator_bytes == 12345
    assert facts.precision == "fp32"
    assert "pinned" in facts.options["transfers"]
    assert "outside" in facts.options["cuda_graph"]
    assert facts.options["gpu"] == "Double"


# CUDA graphs


def test_kernels_are_captured_once_after_a_warm_up_aside(bound: BoundModel) -> None:
    session, double = on_double(bound, "graph")
    for place in (0, 1, 0):
        check(infer(session, FEEDS[place]), place)
    assert double.captures == 1
    assert double.calls.count("CUDAGraph.replay") == 3
    start = double.calls.index("Stream")
    assert double.calls[start : double.calls.index("CUDAGraph")] == [
        *("Stream", "current_stream", "Stream.wait_stream"),  # aside waits for what came before
        *("stream", "current_stream", "Stream.wait_stream"),  # and is waited for
    ]


def test_a_replay_is_all_that_a_captured_run_does(bound: BoundModel) -> None:
    calls: list[int] = []

    def call(x: torch.Tensor) -> list[torch.Tensor]:
        calls.append(1)
        return [torch.relu(x @ torch.from_numpy(WEIGHT)), x]

    session, _ = on_double(bound, "graph", call)
    infer(session, FEEDS[0])
    assert len(calls) == cuda.WARM_UPS + 1
    check(infer(session, FEEDS[1]), 1)
    assert len(calls) == cuda.WARM_UPS + 1


def test_what_cannot_be_captured_is_a_usage_error(bound: BoundModel) -> None:
    session, double = on_double(bound, "graph")
    double.fails = RuntimeError(
        "CUDA error: operation not permitted when stream is capturing\nmore"
    )
    session.bind(FEEDS[0])
    with pytest.raises(UsageError, match="not permitted when stream is capturing") as raised:
        session.run()
    assert "more" not in raised.value.reason
    assert "without a CUDA graph" in raised.value.fix


# Memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported …"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
@pytest.mark.parametrize("where", ["load", "bind", "run", "capture"])
def test_too_little_memory_is_told_as_such(
    bound: BoundModel, error: RuntimeError, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the framework finds out."""

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    if where == "load":
        monkeypatch.setattr("xbench_adapters.pytorch.placing.move", fails)
        with pytest.raises(DeviceMemoryError):
            PyTorchAdapter().load(bound, Limits(threads=1), "fp32")
        return
    session, double = on_double(bound, "graph", fails if where == "run" else None)
    if where == "bind":
        monkeypatch.setattr(session._lane, "_pinned", fails)
    double.fails = error if where == "capture" else None
    with pytest.raises(DeviceMemoryError) as raised:
        infer(session, FEEDS[0])
    assert "…" not in str(raised.value)


def test_another_fault_of_a_run_is_left_as_it_is(bound: BoundModel) -> None:
    def fails(_: torch.Tensor) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    session, _ = on_double(bound, call=fails)
    session.bind(FEEDS[0])
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        session.run()


# Devices


def test_a_gpu_that_pytorch_cannot_use_is_a_usage_error(bound: BoundModel) -> None:
    """Each with what helps: another build, or a driver."""
    if torch.cuda.is_available():
        pytest.skip("there is one")
    for call in (PyTorchAdapter().load, PyTorchAdapter().check, PyTorchAdapter("graph").load):
        with pytest.raises(UsageError) as raised:
            call(bound, GPU, "fp32")
        built = torch.version.cuda is not None
        assert ("sees no GPU" if built else "built without CUDA") in raised.value.reason


def test_graphs_of_kernels_are_for_gpus(bound: BoundModel) -> None:
    assert PyTorchAdapter.kinds == {"cpu", "cuda"}
    assert PyTorchAdapter.variant_kinds == {"graph": frozenset({"cuda"})}
    with pytest.raises(UsageError, match="cpu"):
        PyTorchAdapter("graph").load(bound, Limits(threads=1), "fp32")


@pytest.mark.parametrize(
    ("installed", "devices"),
    [
        ("2.13.0+cpu", ("cpu",)),
        ("2.13.0+cu130", ("cpu", "cuda")),
        ("2.13.0", ("cpu", "cuda")),
        ("2.13.0+rocm6.4", ("cpu",)),
    ],
)
def test_the_build_tells_for_which_devices_it_is(
    installed: str, devices: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xbench_adapters.pytorch.adapter.version", lambda _: installed)
    monkeypatch.setattr(sys, "platform", "linux")
    assert PyTorchAdapter().available().devices == devices


def test_only_a_build_for_linux_and_windows_without_a_suffix_is_for_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xbench_adapters.pytorch.adapter.version", lambda _: "2.13.0")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert PyTorchAdapter().available().devices == ("cpu",)
