"""Small ONNX models with their inputs: what the conformance suite gives to an adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
)

from xbench.adapter import Array, BoundModel, TensorSpec

OPSET = 17
IR_VERSION = 8
NO_SUCH_DOMAIN = "xbench.testing"
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64

Shape = Sequence[int | str]
Value = tuple[str, int, Shape]


@dataclass(frozen=True, slots=True)
class Example:
    """A model and two sets of inputs for it.

    Attributes:
        proto: The model; its inputs may have named dimensions.
        symbols: The length of each named dimension.
        external: Whether to keep the weights in a file beside the model.
    """

    name: str
    proto: ModelProto
    feeds: tuple[dict[str, Array], dict[str, Array]]
    symbols: Mapping[str, int] = field(default_factory=dict)
    external: bool = False

    def write(self, folder: Path) -> BoundModel:
        """Return the model, written to ``folder``, with every dimension decided."""
        path = folder / f"{self.name}.onnx"
        beside: dict[str, Any] = {"location": f"{self.name}.data", "size_threshold": 0}
        copy = ModelProto.FromString(self.proto.SerializeToString())  # saving moves the weights out
        onnx.save(
            copy, path, save_as_external_data=self.external, **(beside if self.external else {})
        )
        inputs = tuple(TensorSpec(n, a.dtype.name, a.shape) for n, a in self.feeds[0].items())
        outputs = tuple(value.name for value in self.proto.graph.output)
        return BoundModel(path, inputs, outputs, self.symbols)

    def expected(self, feed: int) -> dict[str, Array]:
        """Return the outputs for one of the input sets, by ``onnx.reference``."""
        from onnx.reference import ReferenceEvaluator

        outputs: Any = ReferenceEvaluator(self.proto).run(None, self.feeds[feed])
        return dict(zip((v.name for v in self.proto.graph.output), outputs, strict=True))


def elementwise() -> Example:
    """Return a model of two inputs and three outputs, in an order of their own."""
    nodes = [
        make_node("Add", ["a", "b"], ["sum"]),
        make_node("Relu", ["sum"], ["positive"]),
        make_node("Sigmoid", ["a"], ["gate"]),
        make_node("Mul", ["positive", "gate"], ["gated"]),
    ]
    shape = (2, 3, 5)
    proto = _model(nodes, [("b", FLOAT, shape), ("a", FLOAT, shape)], ["gated", "sum", "gate"])
    return Example("elementwise", proto, _feeds(lambda r: {"b": _f(r, *shape), "a": _f(r, *shape)}))


def convolution() -> Example:
    """Return a small convolutional network, and 1x1 and depthwise convolutions in it."""
    nodes = [
        make_node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1], strides=[2, 2]),
        make_node("Relu", ["c0"], ["r0"]),
        make_node("Conv", ["r0", "w1"], ["c1"], pads=[1, 1, 1, 1], group=8),
        make_node("Conv", ["c1", "w2"], ["c2"]),
        make_node("GlobalAveragePool", ["c2"], ["pooled"]),
        make_node("Flatten", ["pooled"], ["y"]),
    ]
    weights = _weights(w0=(8, 3, 3, 3), b0=(8,), w1=(8, 1, 3, 3), w2=(4, 8, 1, 1))
    proto = _model(nodes, [("x", FLOAT, (2, 3, 16, 16))], ["y"], weights)
    return Example("convolution", proto, _feeds(lambda r: {"x": _f(r, 2, 3, 16, 16)}))


def perceptron(*, external: bool = False) -> Example:
    """Return two linear layers and a softmax; with ``external``, weights beside the file."""
    nodes = [
        make_node("MatMul", ["x", "w0"], ["h0"]),
        make_node("Add", ["h0", "b0"], ["h1"]),
        make_node("Relu", ["h1"], ["h2"]),
        make_node("Gemm", ["h2", "w1"], ["h3"], transB=1),
        make_node("Softmax", ["h3"], ["y"], axis=-1),
    ]
    weights = _weights(w0=(24, 32), b0=(32,), w1=(10, 32))
    proto = _model(nodes, [("x", FLOAT, (4, 24))], ["y"], weights)
    name = "external_data" if external else "perceptron"
    return Example(name, proto, _feeds(lambda r: {"x": _f(r, 4, 24)}), external=external)


def integers() -> Example:
    """Return a model that looks up ids and counts in int64."""
    nodes = [
        make_node("Gather", ["table", "ids"], ["rows"]),
        make_node("Add", ["ids", "ids"], ["twice"]),
        make_node("ArgMax", ["rows"], ["best"], axis=-1, keepdims=0),
    ]
    proto = _model(
        nodes, [("ids", INT64, (2, 6))], ["rows", "twice", "best"], _weights(table=(50, 8))
    )
    _retype(proto, INT64, "twice", "best")
    return Example("integers", proto, _feeds(lambda r: {"ids": r.integers(0, 50, (2, 6))}))


def open_axes() -> Example:
    """Return a model with named dimensions that it also computes with."""
    nodes = [
        make_node("Shape", ["x"], ["shape"], start=0, end=2),
        make_node("Concat", ["shape", "heads"], ["split"], axis=0),
        make_node("MatMul", ["x", "w"], ["h"]),
        make_node("Reshape", ["h", "split"], ["parts"]),
        make_node("Transpose", ["parts"], ["y"], perm=[0, 2, 1, 3]),
        make_node("Add", ["x", "mask"], ["z"]),
    ]
    weights = [*_weights(w=(8, 8)), numpy_helper.from_array(np.array([2, 4]), "heads")]
    inputs = [("x", FLOAT, ("batch", "length", 8)), ("mask", FLOAT, ("batch", "length", 1))]
    proto = _model(nodes, inputs, ["y", "z"], weights)
    feeds = _feeds(lambda r: {"x": _f(r, 3, 5, 8), "mask": _f(r, 3, 5, 1)})
    return Example("open_axes", proto, feeds, symbols={"batch": 3, "length": 5})


def long_sums() -> Example:
    """Return products of long sums, which bfloat16 and TF32 get wrong in the fourth digit."""
    nodes = [
        make_node("MatMul", ["x", "w"], ["y"]),
        make_node("Conv", ["image", "k"], ["z"], pads=[1, 1, 1, 1]),
    ]
    inputs = [("x", FLOAT, (16, 256)), ("image", FLOAT, (1, 32, 12, 12))]
    proto = _model(nodes, inputs, ["y", "z"], _weights(w=(256, 64), k=(16, 32, 3, 3)))
    feeds = _feeds(lambda r: {"x": _f(r, 16, 256), "image": _f(r, 1, 32, 12, 12)})
    return Example("long_sums", proto, feeds)


def work(width: int = 512, layers: int = 4) -> Example:
    """Return a model with enough work in one inference for several threads."""
    nodes = [make_node("MatMul", [f"h{i}", "w"], [f"h{i + 1}"]) for i in range(layers)]
    proto = _model(
        nodes, [("h0", FLOAT, (width, width))], [f"h{layers}"], _weights(w=(width, width))
    )
    return Example("work", proto, _feeds(lambda r: {"h0": _f(r, width, width)}))


def unknown_operator() -> Example:
    """Return a model with a node that no framework knows, named ``nonsense_1``."""
    nodes = [
        make_node("Relu", ["x"], ["r"], name="relu_0"),
        make_node("Nonsense", ["r"], ["y"], name="nonsense_1", domain=NO_SUCH_DOMAIN),
    ]
    proto = _model(nodes, [("x", FLOAT, (2, 3))], ["y"])
    proto.opset_import.append(make_opsetid(NO_SUCH_DOMAIN, 1))
    return Example("unknown_operator", proto, _feeds(lambda r: {"x": _f(r, 2, 3)}))


def examples() -> tuple[Example, ...]:
    """Return the models that every adapter runs."""
    return (
        elementwise(),
        convolution(),
        perceptron(),
        perceptron(external=True),
        integers(),
        open_axes(),
        long_sums(),
    )


def _model(
    nodes: list[NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[str],
    weights: Sequence[TensorProto] = (),
) -> ModelProto:
    graph = make_graph(
        nodes,
        "example",
        [make_tensor_value_info(*value) for value in inputs],
        [make_tensor_value_info(name, FLOAT, None) for name in outputs],
        list(weights),
    )
    opsets = [make_opsetid("", OPSET)]
    return make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _retype(proto: ModelProto, dtype: int, *names: str) -> None:
    for value in proto.graph.output:
        if value.name in names:
            value.type.tensor_type.elem_type = dtype


def _weights(**shapes: tuple[int, ...]) -> list[TensorProto]:
    """Return seeded weights, scaled so that activations keep their size."""
    random = np.random.default_rng(1)
    return [
        numpy_helper.from_array(_f(random, *shape) / np.float32(np.sqrt(shape[-1])), name)
        for name, shape in shapes.items()
    ]


def _feeds(
    draw: Callable[[np.random.Generator], dict[str, Any]],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return two different sets of inputs, the same ones in every process."""
    return draw(np.random.default_rng(2)), draw(np.random.default_rng(3))


def _f(random: np.random.Generator, *shape: int) -> Any:
    return random.standard_normal(shape, dtype=np.float32)


def in_float64(example: Example, feed: int) -> dict[str, Array]:
    """Return the outputs for one of the input sets, every product and sum in float64."""
    from onnx.reference import ReferenceEvaluator

    proto = ModelProto.FromString(example.proto.SerializeToString())
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for weight in proto.graph.initializer:
        weight.CopyFrom(
            numpy_helper.from_array(_double(numpy_helper.to_array(weight)), weight.name)
        )
    feeds = {name: _double(array) for name, array in example.feeds[feed].items()}
    outputs: Any = ReferenceEvaluator(proto).run(None, feeds)
    return dict(zip((v.name for v in proto.graph.output), outputs, strict=True))


def _double(array: Array) -> Array:
    return array.astype(np.float64)
