"""Operators of one input, element by element."""

from __future__ import annotations

from collections.abc import Callable
from math import floor, inf
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.lower.widths import in_float32, in_int32
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "Acos": in_float32(tf.math.acos),
    "Acosh": in_float32(tf.math.acosh),
    "Asin": in_float32(tf.math.asin),
    "Asinh": in_float32(tf.math.asinh),
    "Atan": in_float32(tf.math.atan),
    "Atanh": in_float32(tf.math.atanh),
    "BitwiseNot": tf.bitwise.invert,
    "Ceil": tf.math.ceil,
    "Cos": in_float32(tf.math.cos),
    "Cosh": in_float32(tf.math.cosh),
    "Exp": tf.math.exp,
    "Floor": tf.math.floor,
    "Log": tf.math.log,
    "Neg": tf.math.negative,
    "Not": tf.math.logical_not,
    "Reciprocal": tf.math.reciprocal,
    "Round": tf.math.round,  # halves to even, in both
    "Sigmoid": tf.math.sigmoid,
    "Sin": in_float32(tf.math.sin),
    "Sinh": in_float32(tf.math.sinh),
    "Sqrt": tf.math.sqrt,
    "Tan": in_float32(tf.math.tan),
    "Tanh": tf.math.tanh,
}
"""By operator; the hints of first versions on inputs to overwrite change no result."""


def _register(operator: str, function: Callable[[Any], Any]) -> None:
    @lowering(operator, layout="any")
    def lowered(node: Node, to: Builder) -> Any:
        return function(to.value(node.inputs[0]))


for _operator, _function in _FUNCTIONS.items():
    _register(_operator, _function)


@lowering("Abs", raw=True, layout="any")
def absolute(node: Node, to: Builder) -> Any:
    """Return elements without their sign."""
    x = to.value(node.inputs[0])
    return x if x.dtype.is_unsigned else tf.math.abs(x)


@lowering("Sign", 9, raw=True, layout="any")
def sign(node: Node, to: Builder) -> Any:
    """Return -1, 0 or 1, as elements are below zero, zero or above."""
    x = to.value(node.inputs[0])
    if x.dtype.is_unsigned:
        return tf.cast(tf.cast(x, tf.bool), x.dtype)
    return tf.math.sign(x)


@lowering("Erf", 9, raw=True, layout="any")
def erf(node: Node, to: Builder) -> Any:
    """Return the error function, that of whole numbers cut towards zero."""
    x = to.value(node.inputs[0])
    if x.dtype.is_floating:
        return in_float32(tf.math.erf)(x)
    # Of whole numbers float32 tells apart only those whose error function is not one.
    return tf.cast(tf.math.erf(tf.cast(x, tf.float32)), x.dtype)


def _comparable(node: Node, to: Builder) -> Any:
    """Return floats in a type that can be asked about: those of 8 bits in a wider one."""
    x = to.value(node.inputs[0])
    return tf.cast(x, tf.float32) if x.dtype.size == 1 else x


@lowering("IsNaN", 9, raw=True, layout="any")
def is_nan(node: Node, to: Builder) -> Any:
    """Return where elements are no numbers."""
    return tf.math.is_nan(_comparable(node, to))


@lowering("IsInf", 10, raw=True, layout="any")
def is_inf(node: Node, to: Builder) -> Any:
    """Return where elements are infinite, of the signs asked for."""
    x = _comparable(node, to)
    up, down = node.attributes["detect_positive"], node.attributes["detect_negative"]
    if up and down:
        return tf.math.is_inf(x)
    if up:
        return tf.math.equal(x, inf)
    return tf.math.equal(x, -inf) if down else tf.zeros_like(x, dtype=tf.bool)


@lowering("Clip", 11, layout="any")
def clip(node: Node, to: Builder) -> Any:
    """Return elements kept within bounds, of which either may be absent."""
    low, high = (_bound(node.input(place), to) for place in (1, 2))
    return _clipped(to.value(node.inputs[0]), low, high)


def _bound(name: str, to: Builder) -> Any:
    """Return a bound: a plain float where it is known, so that native activations can be told."""
    array = to.constant(name) if name else None
    if array is not None and array.size == 1 and array.dtype.kind == "f" and not array.ndim:
        return float(array)
    return to.optional(name)


@lowering("Clip", 1, 10, layout="any")
def clip_by_attributes(node: Node, to: Builder) -> Any:
    """Return elements kept within bounds that are attributes, and within the type's own."""
    x = to.value(node.inputs[0])
    most = float(x.dtype.max)
    bounds = [node.attributes.get(name) for name in ("min", "max")]
    low, high = (None if one is None else max(-most, min(one, most)) for one in bounds)
    return _clipped(x, low, high)


def _clipped(x: Any, low: Any, high: Any) -> Any:
    """Return elements within bounds; where these cross, the upper one wins."""
    if isinstance(low, float) and low == 0:
        if high is None:
            return tf.nn.relu(x)
        if isinstance(high, float) and high == 6:
            return tf.nn.relu6(x)
    if low is not None:
        x = tf.math.maximum(x, low)
    return x if high is None else tf.math.minimum(x, high)


@lowering("Shrink", 9, layout="any")
def shrink(node: Node, to: Builder) -> Any:
    """Return elements moved towards zero by ``bias`` where they are further off than ``lambd``."""
    bias, limit = node.attributes["bias"], node.attributes["lambd"]
    x = to.value(node.inputs[0])
    if not x.dtype.is_floating:
        return in_int32(lambda whole: _shrunk_whole(whole, bias, limit))(x)
    zero = tf.zeros([], x.dtype)
    return tf.where(x < -limit, x + bias, tf.where(x > limit, x - bias, zero))


def _shrunk_whole(x: Any, bias: float, limit: float) -> Any:
    """Return whole numbers moved towards zero beyond a limit; fractions are cut off."""
    if bias == int(bias):
        lower, upper = x + int(bias), x - int(bias)
    else:
        wide = tf.cast(x, tf.float64)
        lower, upper = tf.cast(wide + bias, x.dtype), tf.cast(wide - bias, x.dtype)
    # Beyond a limit is beyond the whole number next to it, which needs no float.
    most = floor(limit)
    return tf.where(x < -most, lower, tf.where(x > most, upper, tf.zeros([], x.dtype)))


@lowering("Binarizer", 1, domain="ai.onnx.ml", layout="any")
def binarizer(node: Node, to: Builder) -> Any:
    """Return one where elements are above a threshold, else zero."""
    x, threshold = to.value(node.inputs[0]), node.attributes["threshold"]
    return tf.cast(x > (threshold if x.dtype.is_floating else floor(threshold)), x.dtype)
