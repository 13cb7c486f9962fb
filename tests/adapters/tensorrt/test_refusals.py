"""What TensorRT refuses, and what fails, on its double: each is an error that says which."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from tests.adapters.tensorrt import double
from tests.adapters.tensorrt.test_adapter import LIMITS, fail, graph, kept, load
from xbench.errors import DeviceMemoryError, ModelError, UnsupportedNodeError, UsageError
from xbench.testing import models
from xbench.testing.conformance import infer
from xbench_adapters.tensorrt import TensorRtAdapter
from xbench_adapters.tensorrt.gpu import CudaError

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE


def test_float64_is_refused_not_narrowed(tmp_path: Path, record: Path) -> None:
    x = np.ones((2, 2), np.float64)
    nodes = [make_node("MatMul", ["x", "x"], ["y"])]
    with pytest.raises(UsageError, match="'x' as float32, and the model as float64"):
        load(graph(tmp_path, nodes, {"x": x}, {"y": (DOUBLE, (2, 2))}))


def test_an_input_that_decides_shapes_is_refused(tmp_path: Path, record: Path) -> None:
    x, shape = np.ones(6, np.float32), np.array([2, 3])
    nodes = [make_node("Reshape", ["x", "decides_shapes"], ["y"])]
    model = graph(tmp_path, nodes, {"x": x, "decides_shapes": shape}, {"y": (FLOAT, (2, 3))})
    with pytest.raises(UsageError, match="shapes depend on the input 'decides_shapes'"):
        load(model)


def test_every_refused_node_is_named(tmp_path: Path, record: Path) -> None:
    x = np.ones((2, 2), np.float32)
    nodes = [
        make_node("Foo", ["x"], ["z"], name="foo_1", domain="some.domain"),
        make_node("Bar", ["z"], ["y"], name="bar_2", domain="some.domain"),
    ]
    with pytest.raises(UnsupportedNodeError) as raised:
        load(graph(tmp_path, nodes, {"x": x}, {"y": (FLOAT, (2, 2))}))
    found = raised.value
    assert (found.node, found.operator, found.version) == ("foo_1", "some.domain::Foo", 3)
    assert "Plugin not found" in found.detail
    assert "bar_2 (Bar)" in found.detail


def test_a_damaged_file_is_no_unsupported_node(tmp_path: Path, record: Path) -> None:
    model = models.perceptron().write(tmp_path)
    model.path.write_bytes(b"\x00not a model")
    with pytest.raises(ModelError):
        load(model)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("Error Code 2: OutOfMemory (Requested size was 4096 bytes.)", DeviceMemoryError, "4096"),
        ("Error Code 10: Internal Error", RuntimeError, "builds no engine: Error Code 10"),
    ],
)
def test_a_build_that_fails_says_why(
    tmp_path: Path,
    record: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    kind: type[Exception],
    words: str,
) -> None:
    fail(monkeypatch, "build_serialized_network", said)
    with pytest.raises(kind, match=words):
        load(models.perceptron().write(tmp_path))
    assert kept(tmp_path) == []


@pytest.mark.parametrize("node", ["/a/Relu", "/a/Relu + /b/Add", "{ForeignNode[/a/Relu.../b]}"])
def test_a_node_without_a_kernel_is_named(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch, node: str
) -> None:
    """Of several that were fused the first is."""
    x = np.ones((2, 2), np.float32)
    model = graph(
        tmp_path,
        [make_node("Relu", ["x"], ["y"], name="/a/Relu")],
        {"x": x},
        {"y": (FLOAT, (2, 2))},
    )
    said = f"Error Code 10: Internal Error (Could not find any implementation for node {node}.)"
    fail(monkeypatch, "build_serialized_network", said)
    with pytest.raises(UnsupportedNodeError) as raised:
        load(model)
    assert (raised.value.node, raised.value.operator) == ("/a/Relu", "Relu")


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaMallocHost"])
@pytest.mark.parametrize("place", [1, 2])
def test_a_gpu_without_memory_is_told_apart(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch, call: str, place: int
) -> None:
    """What was taken before is given back."""
    fail(monkeypatch, call, ["cudaErrorMemoryAllocation", place])
    with pytest.raises(DeviceMemoryError, match=r"cudaErrorMemoryAllocation.*means"):
        load(models.perceptron().write(tmp_path))


def test_no_memory_for_a_context_is_told_apart(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, "create_execution_context", "Error Code 2: OutOfMemory (Requested 9 bytes.)")
    with pytest.raises(DeviceMemoryError, match="opens no engine"):
        load(models.perceptron().write(tmp_path))


@pytest.mark.parametrize(
    ("call", "what", "words"),
    [
        ("cudaStreamSynchronize", "cudaErrorIllegalAddress", "CUDA says cudaErrorIllegalAddress"),
        ("execute_async_v3", "Error Code 1: Cuda Runtime", "runs no inference: Error Code 1"),
    ],
)
def test_a_fault_while_running_is_a_clear_error(
    tmp_path: Path,
    record: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    what: str,
    words: str,
) -> None:
    session = load(models.perceptron().write(tmp_path))
    fail(monkeypatch, call, what)
    with pytest.raises(RuntimeError, match=words):
        infer(session, models.perceptron().feeds[0])
    monkeypatch.delenv(double.FAULTS)
    session.close()
    assert issubclass(CudaError, RuntimeError)


def test_a_device_that_cuda_does_not_see_is_refused(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's GPU 0 may be hidden, and CUDA's GPU 0 another one."""
    model = models.perceptron().write(tmp_path)
    with pytest.raises(UsageError, match="cuda:1 cannot be used"):
        TensorRtAdapter().load(model, replace(LIMITS, device="cuda:1"), "fp32")
    fail(monkeypatch, "cudaDeviceGetByPCIBusId", "cudaErrorInvalidDevice")
    with pytest.raises(UsageError, match="hidden from CUDA"):
        load(model)


def test_tf32_that_would_be_fp32_is_refused(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older GPU has none, and a variable switches it off in NVIDIA's libraries."""
    model = models.perceptron().write(tmp_path)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    with pytest.raises(UsageError, match="NVIDIA_TF32_OVERRIDE=0"):
        load(model, precision="tf32")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    monkeypatch.setattr("pynvml.nvmlDeviceGetCudaComputeCapability", lambda _: (7, 5))
    with pytest.raises(UsageError, match=r"7\.5, and TF32"):
        load(model, precision="tf32")
    load(model).close()


def test_whether_it_can_run_names_what_is_missing(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its devices are named only when all of it is there."""
    assert TensorRtAdapter().available().devices == ("cuda:0",)
    assert TensorRtAdapter().available().version == double.VERSION
    monkeypatch.setattr("xbench_adapters.tensorrt.gpu.count", lambda: (0, "no driver"))
    absent = TensorRtAdapter().available()
    assert (absent.devices, absent.reason) == ((), "no driver")
    assert absent.fix

    for hidden in ("tensorrt", "cuda"):

        def version(name: str, hidden: str = hidden) -> str:
            if name.startswith(hidden):
                raise PackageNotFoundError(name)
            return "11.4"

        monkeypatch.setattr("xbench.authoring.version", version)
        absent = TensorRtAdapter().available()
        assert (absent.version, absent.devices) == (None, ())
        assert hidden in str(absent.reason)

    monkeypatch.setattr("xbench.authoring.version", lambda _: "8.6.1")
    assert "too old" in str(TensorRtAdapter().available().reason)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(UsageError, match="no variant 'fast'"):
        TensorRtAdapter("fast")
