"""TensorRT on its double: what is called, and in which order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from tests.adapters.tensorrt import double
from xbench.adapter import Array, BoundModel, Limits, TensorSpec
from xbench.errors import UsageError
from xbench.testing import models
from xbench.testing.conformance import infer
from xbench_adapters.tensorrt import TensorRtAdapter
from xbench_adapters.tensorrt.session import TensorRtSession

LIMITS = Limits(threads=1, device="cuda:0")
HALF, INT64 = TensorProto.FLOAT16, TensorProto.INT64
close: Any = np.testing.assert_allclose


def load(model: BoundModel, variant: str = "", precision: str = "fp32") -> TensorRtSession:
    adapter = TensorRtAdapter(variant)
    adapter.prepare(LIMITS)
    return adapter.load(model, LIMITS, precision)


def graph(
    folder: Path,
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, Array],
    outputs: Mapping[str, tuple[int, tuple[int | str, ...]]],
) -> BoundModel:
    """Return a file of nodes whose inputs have the types and shapes of arrays."""
    types = {a.dtype: onnx.helper.np_dtype_to_tensor_dtype(a.dtype) for a in inputs.values()}
    proto = make_model(
        make_graph(
            nodes,
            "g",
            [make_tensor_value_info(n, types[a.dtype], a.shape) for n, a in inputs.items()],
            [make_tensor_value_info(n, kind, shape) for n, (kind, shape) in outputs.items()],
        ),
        opset_imports=[make_opsetid("", 17), make_opsetid("some.domain", 3)],
        ir_version=8,
    )
    path = folder / "model.onnx"
    onnx.save(proto, path)
    specs = tuple(TensorSpec(n, a.dtype.name, a.shape) for n, a in inputs.items())
    return BoundModel(path, specs, tuple(outputs), {})


def fail(patch: pytest.MonkeyPatch, call: str, what: Any) -> None:
    patch.setenv(double.FAULTS, json.dumps({call: what}))


def options(session: TensorRtSession) -> Mapping[str, str]:
    found = session.facts().options
    assert found is not None
    return found


def kept(tmp_path: Path) -> list[Path]:
    """Return the folders of the engines that are kept."""
    return sorted((tmp_path / "cache/tensorrt").glob("[!.]*/"))


def test_a_run_copies_in_computes_and_copies_out_and_only_then_waits(
    tmp_path: Path, record: Path
) -> None:
    """The order of a timed inference with two inputs and three outputs."""
    example = models.elementwise()
    session = load(example.write(tmp_path))
    session.bind(example.feeds[0])
    before = len(double.calls(record))
    session.run()
    session.synchronize()
    copies = ["cudaMemcpyAsync"]
    expected = [*copies * 2, "execute_async_v3", *copies * 3, "cudaStreamSynchronize"]
    assert double.calls(record)[before:] == expected
    session.close()


def test_outputs_are_there_only_after_waiting(tmp_path: Path, record: Path) -> None:
    """The stream is asynchronous: a harness that forgets to wait would time nothing."""
    example = models.perceptron()
    session = load(example.write(tmp_path))
    session.bind(example.feeds[0])
    session.run()
    assert not session.outputs()["y"].any()
    session.synchronize()
    close(session.outputs()["y"], example.expected(0)["y"], rtol=1e-5)
    session.close()


def test_a_cuda_graph_is_captured_once_and_launched_from_then_on(
    tmp_path: Path, record: Path
) -> None:
    """The first run sets TensorRT up and is captured after; each later one is one launch."""
    example = models.elementwise()
    session = load(example.write(tmp_path), "graph")
    before = len(double.calls(record))
    for feed in (0, 1, 0):
        found = infer(session, example.feeds[feed])
        for name, right in example.expected(feed).items():
            close(found[name], right, rtol=1e-5)
    once = ["cudaMemcpyAsync"] * 2 + ["execute_async_v3"] + ["cudaMemcpyAsync"] * 3
    wait, launch = "cudaStreamSynchronize", "cudaGraphLaunch"
    capture = ["cudaStreamBeginCapture", *once, "cudaStreamEndCapture"]
    made = ["cudaGraphInstantiate", "cudaGraphDestroy"]
    expected = [*once, wait, *capture, *made, wait, launch, wait, launch, wait]
    assert double.calls(record)[before:] == expected
    assert options(session)["cuda_graph"] == "True"
    session.close()


@pytest.mark.parametrize("call", ["cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_what_cannot_be_captured_is_unsupported(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Not a slower row under the same name: the variant says that it cannot."""
    session = load(models.perceptron().write(tmp_path), "graph")
    session.bind(models.perceptron().feeds[0])
    fail(monkeypatch, call, "cudaErrorStreamCaptureUnsupported")
    with pytest.raises(UsageError, match=r"captured.*cudaErrorStreamCaptureUnsupported"):
        session.run()
    monkeypatch.delenv(double.FAULTS)
    session.close()


def test_open_dimensions_get_one_profile(tmp_path: Path, record: Path) -> None:
    """An engine for the shapes that were asked for, and for no others."""
    example = models.open_axes()
    session = load(example.write(tmp_path))
    assert double.calls(record, children=True).count("set_shape") == 2
    found = infer(session, example.feeds[0])
    close(found["y"], example.expected(0)["y"], rtol=1e-5)
    longer = {name: np.repeat(array, 2, axis=0) for name, array in example.feeds[0].items()}
    with pytest.raises(UsageError, match="The engine takes float32 of shape"):
        session.bind(longer)
    session.close()


def test_a_shape_that_the_data_decides_is_that_of_the_run(tmp_path: Path, record: Path) -> None:
    x = np.array([0.0, 3.0, 0.0, 5.0], np.float32)
    nodes = [make_node("NonZero", ["x"], ["y"], name="find")]
    model = graph(tmp_path, nodes, {"x": x}, {"y": (INT64, ("one", "found"))})
    session = load(model)
    for values in (x, np.ones(4, np.float32), np.zeros(4, np.float32)):
        np.testing.assert_array_equal(infer(session, {"x": values})["y"], np.nonzero(values))
    session.close()
    with pytest.raises(UsageError, match="no CUDA graph"):
        load(model, "graph")


def test_arrays_without_elements_are_no_null_pointers(tmp_path: Path, record: Path) -> None:
    x = np.ones((0, 3), np.float32)
    nodes = [make_node("Relu", ["x"], ["y"])]
    session = load(graph(tmp_path, nodes, {"x": x}, {"y": (TensorProto.FLOAT, (0, 3))}), "graph")
    for _ in range(2):
        assert infer(session, {"x": x})["y"].shape == (0, 3)
    session.close()


def test_a_tensor_that_tensorrt_has_on_the_host_is_not_copied(tmp_path: Path, record: Path) -> None:
    """Some outputs are shapes, which it writes into the CPU's memory by itself."""
    x = np.ones((2, 3), np.float32)
    nodes = [make_node("Shape", ["x"], ["on_host"])]
    session = load(graph(tmp_path, nodes, {"x": x}, {"on_host": (INT64, (2,))}))
    np.testing.assert_array_equal(infer(session, {"x": x})["on_host"], [2, 3])
    assert double.calls(record).count("cudaMemcpyAsync") == 1
    session.close()
