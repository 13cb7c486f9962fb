"""In what TensorRT computes, on its double: the network's types, and what is not asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from tests.adapters.graphs import model as whole
from tests.adapters.tensorrt.double_network import INetworkDefinition
from tests.adapters.tensorrt.test_adapter import LIMITS, graph, load, options
from xbench.adapter import BoundModel, TensorSpec
from xbench.errors import UsageError
from xbench.testing import models
from xbench.testing.conformance import infer
from xbench_adapters.tensorrt import TensorRtAdapter
from xbench_adapters.tensorrt.build import precision

X = np.ones((2, 2), np.float32)
HALF = TensorProto.FLOAT16
WEIGHTS = {
    "w": np.ones((2, 2), np.float32),
    "narrow": np.ones((2, 2), np.int8),
    "scale": np.float32(0.5),
    "zero": np.int8(0),
}

QUANTIZED = [
    make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
    make_node("DequantizeLinear", ["q", "scale", "zero"], ["x8"]),
    make_node("DequantizeLinear", ["narrow", "scale", "zero"], ["w8"]),
]
WHOLE = make_node("MatMul", ["x", "w"], ["a"])
NARROW = make_node("MatMul", ["x8", "w8"], ["b"])
TURNED = [
    make_node("Transpose", ["w8"], ["turned"]),
    make_node("MatMul", ["x8", "turned"], ["b"]),
]
HALVED = [
    make_node("Cast", ["x"], ["h"], to=HALF),
    make_node("MatMul", ["h", "h"], ["c"]),
    make_node("Cast", ["c"], ["d"], to=TensorProto.FLOAT),
]
PLAIN_HALVED = [HALVED[0], make_node("Relu", ["h"], ["c"]), HALVED[2]]


def file(nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    """Return a model of nodes, each product of which is an output."""
    outputs = [name for node in nodes for name in node.output if name in ("a", "b", "c", "d")]
    used = {name for node in nodes for name in node.input}
    weights = {name: array for name, array in WEIGHTS.items() if name in used}
    return onnx.shape_inference.infer_shapes(whole(nodes, {"x": X}, outputs or ["x8"], weights))


def told(nodes: Sequence[onnx.NodeProto], *, tf32: bool = False) -> str | None:
    network = INetworkDefinition()
    network.fill(file(nodes))
    return precision(network, tf32=tf32)


@pytest.mark.parametrize(
    ("nodes", "kinds"),
    [
        ([*QUANTIZED, NARROW], "int8"),
        ([*QUANTIZED, *TURNED], "int8"),
        ([*QUANTIZED, NARROW, WHOLE], "int8+fp32"),
        ([WHOLE, *QUANTIZED, NARROW, *HALVED], "int8+fp16+fp32"),
        ([*HALVED, WHOLE], "fp16+fp32"),
        (HALVED, "fp16"),
    ],
)
def test_the_precisions_of_all_products_are_told(nodes: list[onnx.NodeProto], kinds: str) -> None:
    """As the other backends tell them: not the narrowest one alone."""
    assert told(nodes) == kinds


@pytest.mark.parametrize("sides", [["x8", "w"], ["x", "w8"]])
def test_a_product_is_int8_only_if_both_sides_are(sides: list[str]) -> None:
    """Weights that are narrow in memory alone are multiplied in float32."""
    assert told([*QUANTIZED, make_node("MatMul", sides, ["b"])]) == "fp32"


def test_without_products_the_rest_of_the_arithmetic_is_told() -> None:
    """Casts at its ends compute nothing, and neither does quantising."""
    assert told(PLAIN_HALVED) == "fp16"
    assert told([*PLAIN_HALVED, make_node("Relu", ["x"], ["a"])]) == "fp16+fp32"
    assert told(QUANTIZED[:2]) is None


def test_tf32_is_what_becomes_of_float32_alone() -> None:
    assert told([WHOLE], tf32=True) == "tf32"
    assert told([*QUANTIZED, NARROW, WHOLE], tf32=True) == "int8+tf32"
    assert told(HALVED, tf32=True) == "fp16"


def bound(nodes: Sequence[onnx.NodeProto], folder: Path) -> BoundModel:
    proto = file(nodes)
    onnx.save(proto, folder / "m.onnx")
    names = tuple(value.name for value in proto.graph.output)
    return BoundModel(folder / "m.onnx", (TensorSpec("x", "float32", X.shape),), names, {})


def test_a_graph_of_several_precisions_holds_each_and_says_so(tmp_path: Path, record: Path) -> None:
    """Whoever asked for one of them gets a row that tells the others."""
    session = load(bound([*QUANTIZED, NARROW, WHOLE], tmp_path), precision="int8")
    assert session.facts().precision == "int8+fp32"
    session.close()


def test_a_graph_that_only_keeps_its_weights_narrow_is_not_int8(
    tmp_path: Path, record: Path
) -> None:
    model = bound([*QUANTIZED, make_node("MatMul", ["x", "w8"], ["b"])], tmp_path)
    with pytest.raises(UsageError, match="computes in fp32, and int8 was asked for"):
        TensorRtAdapter().check(model, LIMITS, "int8")


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", "False"), ("tf32", "True")])
def test_tf32_is_off_unless_asked_for(
    tmp_path: Path, record: Path, precision: str, tf32: str
) -> None:
    """Both versions have it on by default; what was built is read back."""
    session = load(models.perceptron().write(tmp_path), precision=precision)
    facts = session.facts()
    assert (facts.precision, options(session)["tf32"]) == (precision, tf32)
    assert options(session)["strongly_typed"] == "True"
    session.close()


def test_a_narrower_precision_must_be_in_the_graph(tmp_path: Path, record: Path) -> None:
    """A strongly typed network computes in the graph's own types: nothing stands in for them."""
    with pytest.raises(UsageError, match="computes in fp32, and fp16"):
        load(models.perceptron().write(tmp_path), precision="fp16")
    x = np.ones((2, 2), np.float16)
    nodes = [make_node("MatMul", ["x", "x"], ["y"])]
    model = graph(tmp_path, nodes, {"x": x}, {"y": (HALF, (2, 2))})
    session = load(model, precision="fp16")
    assert session.facts().precision == "fp16"
    assert infer(session, {"x": x})["y"].dtype == np.float16
    session.close()
