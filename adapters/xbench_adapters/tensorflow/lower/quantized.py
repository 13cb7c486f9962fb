"""Floats to whole numbers of few bits, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from onnx import helper

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.quantized_scales import (
    LIMITS,
    Place,
    bounded,
    last_axis,
    now,
    offset,
    quantized,
    scale_of,
    single,
    spread,
)
from xbench_adapters.tensorflow.lower.small_types import FLOAT8, to_float4, to_float8
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.tensors import DTYPES, tf_dtype
from xbench_adapters.tensorflow.unfolded import unfolded

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

MICROSOFT = "com.microsoft"

_FLOATS = (tf.float32, tf.float16, tf.bfloat16)


def divided(x: Any, scale: Any, place: Place, precision: tf.DType) -> Any:
    """Return quotients in a precision, as floats that hold every whole number of 16 bits."""
    found = tf.cast(x, precision) / spread(tf.cast(scale, precision), x, *place)
    return found if precision == tf.float64 else tf.cast(found, tf.float32)


def dequantize(x: Any, scale: Any, zero: Any, place: Place, dtype: tf.DType) -> Any:
    """Return the floats that numbers of few bits stand for.

    Args:
        x: The numbers.
        scale: One number, one a place of the axis, or one a block along it.
        zero: The zero point, as floats and shaped like ``scale``; None for zero.
        place: The axis, and the length of its blocks: 0 for none.
        dtype: The type of the result.
    """
    found = tf.cast(x, tf.float32)
    if zero is not None:
        found = found - spread(tf.cast(zero, tf.float32), x, *place)
    return tf.cast(found * spread(tf.cast(scale, tf.float32), x, *place), dtype)


def quantize_by_range(x: Any) -> tuple[Any, Any, Any]:
    """Return bytes that cover the range of ``x`` and zero, their scale and their zero point."""
    least, most = tf.minimum(tf.reduce_min(x), 0.0), tf.maximum(tf.reduce_max(x), 0.0)
    span = most - least
    # Where all is zero any scale does; zero would divide.
    scale = tf.where(span == 0, tf.ones_like(span), span) / unfolded(255.0)
    zero = tf.round(tf.clip_by_value(-least / scale, 0.0, 255.0))
    return quantized(x / scale, zero, 0, 255, tf.uint8), scale, tf.cast(zero, tf.uint8)


@lowering("QuantizeLinear", 10, raw=True)
@lowering("QuantizeLinear", 1, domain=MICROSOFT, raw=True)
def quantize_linear(node: Node, to: Builder) -> Any:
    """Return floats in a type of few bits: divided by a scale, rounded, moved, kept in range."""
    kind, precision = _kind(node, to), _precision(node, to)
    x, place, in_last = _laid(node, to)
    found = divided(x, scale_of(to, node.inputs[1]), place, precision)
    if kind in FLOAT8:
        _no_zero(node, to)
        result = to_float8(
            tf.cast(found, tf.float32), kind, saturate=bool(node.attributes.get("saturate", 1))
        )
    elif kind in LIMITS or kind == "float4_e2m1fn":
        zero = offset(to, node.input(2))
        moved = None if zero is None else spread(zero, x, *place)
        if kind in LIMITS:
            result = quantized(found, moved, *LIMITS[kind], DTYPES[kind])
        else:
            found = tf.cast(found, tf.float32)
            result = to_float4(found if moved is None else found + moved)
    else:
        to.refuse(f"{kind} is no type to quantise to")
    return Last(result) if in_last else result


@lowering("DequantizeLinear", 10, raw=True)
@lowering("DequantizeLinear", 1, domain=MICROSOFT, raw=True)
def dequantize_linear(node: Node, to: Builder) -> Any:
    """Return what numbers of few bits stand for: moved by a zero point, times a scale."""
    code = node.attributes.get("output_dtype", 0)
    dtype = _dtype_of(to, code) if code else to.dtype(node.inputs[1])
    if dtype not in _FLOATS:
        to.refuse("its result must be float32, float16 or bfloat16")
    value = to.graph.value(node.inputs[0]).dtype
    eight = value is not None and value.name in FLOAT8
    if eight:
        _no_zero(node, to)
    zero_name = "" if eight else node.input(2)
    arrays = [to.constant(name) for name in (*node.inputs[:2], zero_name) if name]
    if all(one is not None for one in arrays):
        place = _place(node, to)
        given = arrays if zero_name else [*arrays, None]
        return tf.constant(
            now(lambda x, scale, zero: dequantize(x, scale, zero, place, dtype), *given)
        )
    x, place, in_last = _laid(node, to)
    zero = offset(to, zero_name)
    found = dequantize(x, scale_of(to, node.inputs[1]), zero, place, dtype)
    return Last(found) if in_last else found


@lowering("DynamicQuantizeLinear", 11)
def dynamic_quantize_linear(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return bytes that cover the range of the input, their scale and their zero point."""
    name = node.inputs[0]
    if not to.has_last(name):
        return quantize_by_range(to.value(name))
    found, scale, zero = quantize_by_range(to.last(name))
    return Last(found), scale, zero


@lowering("FakeQuantize", 1, domain="xbench", layout="any")
def fake_quantize(node: Node, to: Builder) -> Any:
    """Return floats as they are after a quantisation and its undoing.

    By TensorFlow's own operation where the node has ``named``: it halves another way, and nothing
    but a converter knows it for what it is.
    """
    x, given = to.value(node.inputs[0]), node.attributes
    if given.get("named"):
        scale = float(to.need(node.inputs[1], "scale").reshape(-1)[0])
        ends = given["low"] * scale, given["high"] * scale
        return tf.quantization.fake_quant_with_min_max_args(x, *ends, num_bits=8)
    step = single(scale_of(to, node.inputs[1]))
    return bounded(tf.round(x / step), given["low"], given["high"]) * step


def _kind(node: Node, to: Builder) -> str:
    """Return the type to quantise to: inferred, or that of the zero point."""
    dtype = to.graph.value(node.outputs[0]).dtype
    if dtype is None and node.input(2):
        dtype = to.graph.value(node.input(2)).dtype
        if dtype is None:
            to.refuse("the element type of its zero point must be known")
    code = node.attributes.get("output_dtype", 0)
    if dtype is None and code:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(code))
    return "uint8" if dtype is None else dtype.name


def _place(node: Node, to: Builder) -> Place:
    """Return the axis along which the scale changes, and the length of its blocks."""
    axis, block = node.attributes.get("axis", 1), node.attributes.get("block_size", 0)
    rank, shape = to.rank(node.inputs[0]), to.graph.value(node.inputs[1]).static
    if shape is not None and np.prod(shape) == 1:
        return 0, 0
    return to.axis(axis, rank), block


def _laid(node: Node, to: Builder) -> tuple[Any, Place, bool]:
    """Return the input in the layout that it has, its axis there, and whether channels are last."""
    name = node.inputs[0]
    axis, block = _place(node, to)
    if block or not to.has_last(name):
        return to.value(name), (axis, block), False
    return to.last(name), (last_axis(axis, to.rank(name)), 0), True


def _precision(node: Node, to: Builder) -> tf.DType:
    """Return the type that is divided in: that of the scale, unless the node names another."""
    code = node.attributes.get("precision", 0)
    if code:
        return _dtype_of(to, code)
    x, scale = (to.dtype(name) for name in node.inputs[:2])
    if not (x.is_floating and scale.is_floating):
        return tf.float64  # every number of 32 bits is exact
    return tf.float32 if scale.size == 1 else scale


def _dtype_of(to: Builder, code: int) -> tf.DType:
    dtype = tf_dtype(np.dtype(helper.tensor_dtype_to_np_dtype(code)))
    if dtype is None or not dtype.is_floating:
        to.refuse("TensorFlow does not divide in the type that it names")
    return dtype


def _no_zero(node: Node, to: Builder) -> None:
    """Refuse a zero point other than zero, which floats of 8 bits may not have."""
    array = to.constant(node.input(2)) if node.input(2) else None
    if array is not None and np.asarray(array).astype(np.float32).any():
        to.refuse("a zero point for floats of 8 bits")
