"""A small model at each precision, as `xbench.narrowing` gives it to an adapter.

Inputs and outputs stay float32. At ``fp16`` and ``bf16`` everything between is of that type; at
``int8`` what is multiplied goes through QuantizeLinear and DequantizeLinear, symmetric, with zero
point 0.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import make_node, tensor_dtype_to_np_dtype

from xbench.testing.models import Example, perceptron

HALVES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
MULTIPLIED = ("MatMul", "Gemm")
RANGE = 4.0  # no activation of the model lies beyond it
OPSET = 21  # of which QuantizeLinear and Gemm take all of these types


def narrow(precision: str) -> Example:
    """Return the perceptron of `xbench.testing.models` at ``fp16``, ``bf16`` or ``int8``."""
    example = perceptron()
    proto = ModelProto.FromString(example.proto.SerializeToString())
    proto.opset_import[0].version = OPSET
    proto.ir_version = 10
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    if precision in HALVES:
        proto.graph.node.extend(_of_type(proto, nodes, HALVES[precision]))
    else:
        proto.graph.node.extend(_quantised(proto, nodes))
    return replace(example, name=f"perceptron_{precision}", proto=proto)


def _of_type(proto: ModelProto, nodes: list[NodeProto], kind: int) -> list[NodeProto]:
    """Return the nodes between two Casts; the weights are of the type."""
    dtype = tensor_dtype_to_np_dtype(kind)
    for weight in proto.graph.initializer:
        values = numpy_helper.to_array(weight).astype(dtype)
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    names = {"x": "x_narrow", "y": "y_narrow"}
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    first = make_node("Cast", ["x"], ["x_narrow"], to=kind)
    return [first, *nodes, make_node("Cast", ["y_narrow"], ["y"], to=TensorProto.FLOAT)]


def _quantised(proto: ModelProto, nodes: list[NodeProto]) -> list[NodeProto]:
    """Return the nodes, with quantised weights, and activations that are quantised before them."""
    found: list[NodeProto] = []
    proto.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(RANGE / 127, np.float32), "scale"),
            numpy_helper.from_array(np.array(0, np.int8), "zero"),
        ]
    )
    weights = {weight.name: weight for weight in proto.graph.initializer}
    for node in nodes:
        if node.op_type in MULTIPLIED:
            data, weight = node.input[0], node.input[1]
            found += [
                make_node("QuantizeLinear", [data, "scale", "zero"], [f"{data}_q"]),
                make_node("DequantizeLinear", [f"{data}_q", "scale", "zero"], [f"{data}_dq"]),
                _dequantised(proto, weights[weight]),
            ]
            node.input[0], node.input[1] = f"{data}_dq", f"{weight}_dq"
        found.append(node)
    return found


def _dequantised(proto: ModelProto, weight: TensorProto) -> NodeProto:
    """Return the node that gives a weight back; what is kept are whole numbers and their scale."""
    values = numpy_helper.to_array(weight)
    scale = np.array(np.abs(values).max() / 127, np.float32)
    name = weight.name
    proto.graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    whole = np.rint(values / scale).astype(np.int8)
    weight.CopyFrom(numpy_helper.from_array(whole, name))
    return make_node("DequantizeLinear", [name, f"{name}_scale", "zero"], [f"{name}_dq"])
