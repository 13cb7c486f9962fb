"""Changes of element type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from onnx import TensorProto, helper

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.small_types import EIGHTS, WIDTHS, converted, same_bits
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.tensors import DTYPES

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_PLAIN = frozenset(
    {"bfloat16", "bool", "float16", "float32", "float64", "int16", "int32", "int64", "int8"}
    | {"uint16", "uint32", "uint64", "uint8"}
)
"""Types between which TensorFlow's own conversion is ONNX's."""


def _wanted(node: Node, to: Builder) -> str:
    """Return NumPy's name of the type that a node asks for: by number, or at first by name."""
    code = node.attributes["to"]
    if isinstance(code, str):
        if code.upper() not in TensorProto.DataType.keys():  # noqa: SIM118  # no mapping
            to.refuse(f"the element type {code!r}")
        code = TensorProto.DataType.Value(code.upper())
    return _known(to, np.dtype(helper.tensor_dtype_to_np_dtype(code)).name)


def _known(to: Builder, name: str) -> str:
    if name not in DTYPES or name.startswith("complex"):
        to.refuse(f"TensorFlow has no elements of type {name}")
    return name


def _cast(node: Node, to: Builder, name: str) -> Any:
    given = node.inputs[0]
    if to.has_last(given):
        return Last(_converted(node, to, to.last(given), name))
    return _converted(node, to, to.value(given), name)


def _converted(node: Node, to: Builder, x: Any, name: str) -> Any:
    dtype = to.graph.value(node.inputs[0]).dtype
    source = x.dtype.name if dtype is None else dtype.name
    saturate = bool(node.attributes.get("saturate", 1))
    if source == name and (source != "float8_e5m2" or not saturate):  # its infinity saturates
        return x
    if source == "object" and name == "bool":
        to.refuse("ONNX does not say which text is true")
    if source in _PLAIN and name in _PLAIN and (source, name) != ("float64", "float16"):
        return tf.cast(x, DTYPES[name])
    mode = node.attributes.get("round_mode", "up")
    if mode not in ("up", "down", "nearest"):
        to.refuse(f"round_mode {mode!r}")
    return converted(x, name, saturate=saturate, round_mode=mode)


@lowering("Cast", raw=True)
def cast(node: Node, to: Builder) -> Any:
    """Return elements in another type; those of floats are cut towards zero."""
    return _cast(node, to, _wanted(node, to))


@lowering("CastLike", 15, raw=True)
def cast_like(node: Node, to: Builder) -> Any:
    """Return elements in the type of another tensor."""
    like = to.graph.value(node.inputs[1]).dtype or to.graph.value(node.outputs[0]).dtype
    if like is None:
        to.refuse(f"the element type of {node.inputs[1]!r} must be known")
    return _cast(node, to, _known(to, like.name))


@lowering("BitCast", 26, raw=True)
def bit_cast(node: Node, to: Builder) -> Any:
    """Return the elements of another type that have the same bits."""
    dtype, name = to.graph.value(node.inputs[0]).dtype, _wanted(node, to)
    if dtype is None:
        to.refuse(f"the element type of {node.inputs[0]!r} must be known")
    if "object" in (dtype.name, name) or _width(to, dtype.name) != _width(to, name):
        to.refuse(f"{dtype.name} and {name} do not have the same bits")
    x = to.value(node.inputs[0])
    return x if dtype.name == name else same_bits(x, dtype.name, name)


def _width(to: Builder, name: str) -> int:
    if name in EIGHTS:
        return 8
    return WIDTHS.get(name, int(DTYPES[_known(to, name)].size) * 8)
