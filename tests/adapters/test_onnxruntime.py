"""ONNX Runtime: what it is told, what it tells, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from xbench.adapter import BoundModel, Facts, Limits, TensorSpec
from xbench.errors import UnsupportedNodeError, UsageError, XbenchError
from xbench.testing import models
from xbench.testing.conformance import infer
from xbench_adapters.onnxruntime import OnnxRuntimeAdapter, refusal


def facts_of(variant: str, threads: int, folder: Path) -> Facts:
    """Return what a session tells after a run."""
    example = models.convolution()
    adapter = OnnxRuntimeAdapter(variant)
    limits = Limits(threads)
    adapter.prepare(limits)
    session = adapter.load(example.write(folder), limits, "fp32")
    infer(session, example.feeds[0])
    facts = session.facts()
    session.close()
    return facts


def write(folder: Path, *nodes: onnx.NodeProto, opset: int = 17, ir: int = 8) -> BoundModel:
    """Return a file of ``nodes`` from input ``x`` to output ``y``, as a user may have it."""
    float_ = TensorProto.FLOAT
    graph = make_graph(
        list(nodes),
        "g",
        [make_tensor_value_info("x", float_, [1, 2, 4])],
        [make_tensor_value_info("y", float_, None)],
    )
    opsets = [make_opsetid("", opset), make_opsetid("some.domain", 3)]
    path = folder / "model.onnx"
    path.write_bytes(make_model(graph, opset_imports=opsets, ir_version=ir).SerializeToString())
    return BoundModel(path, (TensorSpec("x", "float32", (1, 2, 4)),), ("y",), {})


def load(model: BoundModel) -> Any:
    adapter = OnnxRuntimeAdapter()
    adapter.prepare(Limits(1))
    return adapter.load(model, Limits(1), "fp32")


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_are_read_back(threads: int, tmp_path: Path) -> None:
    facts = facts_of("", threads, tmp_path)
    assert facts.threads == threads
    assert facts.options is not None
    assert facts.options["inter_op_threads"] == "1"
    assert facts.options["execution_mode"] == "ORT_SEQUENTIAL"


def test_the_reference_is_not_optimised(tmp_path: Path) -> None:
    levels = {}
    for variant in ("", "reference"):
        options = facts_of(variant, 1, tmp_path).options
        assert options is not None
        levels[variant] = options["graph_optimization"]
    assert levels == {"": "ORT_ENABLE_ALL", "reference": "ORT_DISABLE_ALL"}


def test_no_node_is_off_the_provider(tmp_path: Path) -> None:
    """On the CPU nothing can fall back: a counted zero, not an unknown."""
    fallback = facts_of("", 1, tmp_path).fallback
    assert fallback is not None
    assert fallback.nodes == 0


def test_named_dimensions_are_fixed(tmp_path: Path) -> None:
    """A plan for known shapes is faster than one for any; the file is not rewritten."""
    example = models.open_axes()
    model = example.write(tmp_path)
    before = model.path.read_bytes()
    session = load(model)
    longer = {name: np.repeat(array, 2, axis=0) for name, array in example.feeds[0].items()}
    with pytest.raises(Exception, match="Got: 6 Expected: 3"):
        infer(session, longer)
    assert model.path.read_bytes() == before


@pytest.mark.parametrize(
    ("node", "operator", "version"),
    [
        (make_node("Foo", ["x"], ["y"], name="foo"), "Foo", 17),
        (make_node("Foo", ["x"], ["y"], name="foo", domain="some.domain"), "some.domain::Foo", 3),
    ],
)
def test_an_unknown_operator_is_named(
    tmp_path: Path, node: onnx.NodeProto, operator: str, version: int
) -> None:
    with pytest.raises(UnsupportedNodeError) as raised:
        load(write(tmp_path, node))
    found = raised.value
    assert (found.node, found.operator, found.version) == ("foo", operator, version)


def test_a_node_without_a_name_is_named_by_its_output(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedNodeError) as raised:
        load(write(tmp_path, make_node("Foo", ["x"], ["y"])))
    assert raised.value.node == "y"


def test_an_operator_without_a_kernel_is_named(tmp_path: Path) -> None:
    """The schema is known, and the CPU provider has nothing that runs it for this type."""
    nodes = [
        make_node("Cast", ["x"], ["wide"], to=TensorProto.DOUBLE),
        make_node("Conv", ["wide", "wide"], ["z"], name="wide_conv"),
        make_node("Cast", ["z"], ["y"], to=TensorProto.FLOAT),
    ]
    with pytest.raises(UnsupportedNodeError) as raised:
        load(write(tmp_path, *nodes))
    assert (raised.value.node, raised.value.operator) == ("wide_conv", "Conv")


def test_an_operator_set_of_the_future_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedNodeError) as raised:
        load(write(tmp_path, make_node("Relu", ["x"], ["y"], name="relu"), opset=99))
    found = raised.value
    assert (found.node, found.operator, found.version) == ("relu", "Relu", 99)
    assert "newer" in found.detail


def test_a_file_format_of_the_future_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        load(write(tmp_path, make_node("Relu", ["x"], ["y"]), ir=99))
    assert "99" in raised.value.reason
    assert raised.value.fix


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    """A damaged file is no unsupported operator."""
    model = write(tmp_path, make_node("Relu", ["x"], ["y"]))
    model.path.write_bytes(b"not a model")
    with pytest.raises(Exception, match="INVALID_PROTOBUF") as raised:
        load(model)
    assert not isinstance(raised.value, XbenchError)
    assert refusal("some other message", model.path) is None
