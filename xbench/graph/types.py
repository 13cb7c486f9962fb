"""What ONNX's own schemas and shape inference say of one node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import checker, defs, helper, numpy_helper, shape_inference

from xbench.errors import ModelError
from xbench.graph.plain import UNKNOWN, Array, Dim, Value
from xbench.graph.read import tensor_array

_DATA_LIMIT = 1024
"""Most elements of a constant that inference is shown; it reads shapes, axes and the like."""

_STRICT = frozenset({"Range", "Resize", "StringNormalizer"})
"""Operators for which inference rejects what runs, and whose results are of their input's type.

ONNX itself gives `Range` vectors of one; an open number of sizes is taken for none by `Resize`,
and open lengths for zero by `StringNormalizer`.
"""


def schema_of(node: onnx.NodeProto, opsets: Mapping[str, int]) -> defs.OpSchema | None:
    """Return the schema that holds for a node, or None for an operator unknown to ONNX."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        return defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except defs.SchemaError:
        return None


def attributes_of(node: onnx.NodeProto, schema: defs.OpSchema | None) -> dict[str, Any]:
    """Return a node's attributes, decoded, with the schema's defaults filled in."""
    given = {one.name: _decoded(one) for one in node.attribute}
    if schema is None:
        return given
    defaults = {
        name: _decoded(attribute.default_value)
        for name, attribute in schema.attributes.items()
        if attribute.default_value.type != onnx.AttributeProto.UNDEFINED
    }
    return defaults | given


def _decoded(attribute: onnx.AttributeProto) -> Any:
    if attribute.type == onnx.AttributeProto.TENSOR:
        return tensor_array(attribute.t, None)
    if attribute.type == onnx.AttributeProto.STRING:
        return attribute.s.decode("utf-8", "replace")
    if attribute.type == onnx.AttributeProto.STRINGS:
        return [one.decode("utf-8", "replace") for one in attribute.strings]
    value = helper.get_attribute_value(attribute)
    return list(value) if isinstance(value, list | tuple) else value


def infer(
    node: onnx.NodeProto,
    schema: defs.OpSchema,
    types: Mapping[str, onnx.TypeProto],
    constants: Mapping[str, Array],
    opsets: Mapping[str, int],
) -> dict[str, onnx.TypeProto]:
    """Return the type of each of a node's outputs, as far as ONNX can infer it.

    Raises:
        ModelError: If the node's inputs do not fit together.
    """
    known = {name: types[name] for name in node.input if name in types}
    if any(name and name not in known for name in node.input):
        return {}
    if schema.deprecated:
        # Inference would refuse it, though its operator set still has it.
        alike = schema.name == "GroupNormalization"
        return {node.output[0]: known[node.input[0]]} if alike else {}
    data = {
        name: numpy_helper.from_array(constants[name])
        for name in node.input
        if name in constants and constants[name].size <= _DATA_LIMIT
    }
    node = _from_front(node, schema, known)
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    try:
        found = shape_inference.infer_node_outputs(
            schema, node, dict(known), data, opset_imports=imports
        )
    except ValueError:
        return {}  # inference has no words for some types, such as maps
    except (checker.ValidationError, shape_inference.InferenceError, RuntimeError) as error:
        if node.op_type in _STRICT:
            kind = known[node.input[0]].tensor_type.elem_type
            return {node.output[0]: helper.make_tensor_type_proto(kind, None)}
        text = str(error).strip().splitlines()[0]
        raise ModelError(f"node {node.name!r} ({node.op_type}) does not fit: {text}") from error
    return {name: typed for name, typed in found.items() if tells(typed)}


def _from_front(
    node: onnx.NodeProto, schema: defs.OpSchema, known: Mapping[str, onnx.TypeProto]
) -> onnx.NodeProto:
    """Return a node whose axes count from the front: of others early inference loses track."""
    if schema.name not in ("Squeeze", "Unsqueeze") or schema.since_version >= 11:
        return node
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for axes in (one.ints for one in copy.attribute if one.name == "axes"):
        rank = len(known[node.input[0]].tensor_type.shape.dim)
        rank += len(axes) if schema.name == "Unsqueeze" else 0
        axes[:] = [axis + rank if axis < 0 else axis for axis in axes]
    return copy


def tells(typed: onnx.TypeProto) -> bool:
    """Return whether a type is more than a blank that stands for an unknown one."""
    kind = typed.WhichOneof("value")
    return kind is not None and (kind != "tensor_type" or typed.tensor_type.elem_type != 0)


def value_of(typed: onnx.TypeProto) -> Value:
    """Return what a type says, as plain data; nothing for what is no tensor."""
    if not typed.HasField("tensor_type") or not typed.tensor_type.elem_type:
        return UNKNOWN
    tensor = typed.tensor_type
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    if not tensor.HasField("shape"):
        return Value(dtype)
    return Value(dtype, tuple(_dim(dim) for dim in tensor.shape.dim))


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    return int(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or None


def type_of(array: Array) -> onnx.TypeProto:
    """Return the type of a constant."""
    return helper.make_tensor_type_proto(
        helper.np_dtype_to_tensor_dtype(array.dtype), list(array.shape)
    )
