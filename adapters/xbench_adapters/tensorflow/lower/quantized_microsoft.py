"""Operators of ONNX Runtime's quantiser that work element by element, or move elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.quantized_scales import (
    Quantised,
    Target,
    last_axis,
    offset,
    quantized,
    real,
    requantized,
    scale_of,
    single,
    target_of,
)
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

MICROSOFT = "com.microsoft"

Result = tuple[Any, Any, Target]
"""The scale and the zero point of a result, and what its numbers may be."""


def parts(node: Node, to: Builder, place: int, x: Any = None) -> Quantised:
    """Return the numbers, the scale and the zero point that stand at ``place`` and after it."""
    zero = offset(to, node.input(place + 2))
    found = to.value(node.inputs[place]) if x is None else x
    return found, scale_of(to, node.inputs[place + 1]), zero


def result(node: Node, to: Builder, place: int, like: int = 0) -> Result:
    """Return the scale, the zero point and the type of a result, which stand at ``place``.

    Args:
        node: The node.
        to: The builder.
        place: Where its scale stands; the zero point is after it.
        like: An input that has the result's type.
    """
    zero = offset(to, node.input(place + 1))
    return scale_of(to, node.inputs[place]), zero, target_of(to, node.inputs[like])


def either(node: Node, to: Builder, places: list[int]) -> tuple[list[Any], bool]:
    """Return inputs in one layout, and whether it has the channels last: where one does."""
    names = [node.inputs[place] for place in places]
    if any(to.has_last(name) for name in names):
        return [to.last(name) for name in names], True
    return [to.value(name) for name in names], False


def _of_one(operator: str, function: Callable[[Any, Node], Any], doc: str) -> None:
    @lowering(operator, 1, domain=MICROSOFT, raw=True, layout="any")
    def lowered(node: Node, to: Builder) -> Any:
        return requantized(function(real(*parts(node, to, 0)), node), *result(node, to, 3))

    lowered.__doc__ = doc


_of_one(
    "QLinearSigmoid",
    lambda x, _: tf.sigmoid(x),
    "Return the logistic function of quantised numbers, quantised.",
)
_of_one(
    "QLinearLeakyRelu",
    lambda x, node: tf.nn.leaky_relu(x, node.attributes.get("alpha", 0.01)),
    "Return quantised numbers, a fraction of those below zero, quantised.",
)


@lowering("QLinearAdd", 1, domain=MICROSOFT, raw=True, layout="any")
def add(node: Node, to: Builder) -> Any:
    """Return the sum of what numbers stand for, quantised."""
    total = real(*parts(node, to, 0)) + real(*parts(node, to, 3))
    return requantized(total, *result(node, to, 6))


@lowering("QLinearMul", 1, domain=MICROSOFT, raw=True, layout="any")
def multiply(node: Node, to: Builder) -> Any:
    """Return the product of what numbers stand for, quantised: the numbers' own is exact."""
    a, b = parts(node, to, 0), parts(node, to, 3)
    scale, zero, target = result(node, to, 6)
    one = tf.ones([])
    ratio = single(a[1]) * single(b[1]) / single(scale)
    whole = real(a[0], one, a[2]) * real(b[0], one, b[2])
    return quantized(whole * ratio, single(zero), *target)


@lowering("QLinearSoftmax", 1, domain=MICROSOFT, raw=True)
def softmax(node: Node, to: Builder) -> Any:
    """Return the softmax of quantised numbers, quantised; of old over all axes that follow."""
    flattens = node.attributes.get("opset", 13) < 13
    rank = to.rank(node.inputs[0])
    axis = to.axis(node.attributes.get("axis", 1 if flattens else -1), rank)
    if not flattens and to.has_last(node.inputs[0]):
        x = real(*parts(node, to, 0, to.last(node.inputs[0])))
        found = tf.nn.softmax(x, last_axis(axis, rank))
        return Last(requantized(found, *result(node, to, 3)))
    x = real(*parts(node, to, 0))
    if flattens:
        size = tf.reduce_prod(tf.shape(x)[axis:])
        rows = tf.nn.softmax(tf.reshape(x, tf.stack([-1, size])))
        found = tf.ensure_shape(tf.reshape(rows, tf.shape(x)), x.shape)
    else:
        found = tf.nn.softmax(x, axis)
    return requantized(found, *result(node, to, 3))


@lowering("QLinearWhere", 1, domain=MICROSOFT, raw=True, layout="any")
def where(node: Node, to: Builder) -> Any:
    """Return numbers of the first where the condition holds, else of the second, quantised anew."""
    condition = to.value(node.inputs[0])
    found = tf.where(condition, real(*parts(node, to, 1)), real(*parts(node, to, 4)))
    return requantized(found, *result(node, to, 7, 1))


@lowering("QLinearConcat", 1, domain=MICROSOFT, raw=True)
def concat(node: Node, to: Builder) -> Any:
    """Return quantised numbers one after the other, each quantised anew."""
    places = list(range(2, len(node.inputs), 3))
    values, in_last = either(node, to, places)
    target = result(node, to, 0, 2)
    rows = [
        requantized(real(*parts(node, to, place, value)), *target)
        for place, value in zip(places, values, strict=True)
    ]
    rank = to.rank(node.inputs[2])
    axis = to.axis(node.attributes["axis"], rank)
    return Last(tf.concat(rows, last_axis(axis, rank))) if in_last else tf.concat(rows, axis)


@lowering("QLinearReduceMean", 1, domain=MICROSOFT, raw=True)
def mean(node: Node, to: Builder) -> Any:
    """Return means of quantised numbers, quantised."""
    axes = list(node.attributes.get("axes") or []) or None
    keeps = bool(node.attributes.get("keepdims", 1))
    found = tf.reduce_mean(real(*parts(node, to, 0)), axes, keeps)
    return requantized(found, *result(node, to, 3))


@lowering("MulInteger", 1, domain=MICROSOFT, raw=True, layout="any")
def mul_integer(node: Node, to: Builder) -> Any:
    """Return products of numbers less their zero points, in 32 bits."""
    found = []
    for place in (0, 2):
        whole, zero = tf.cast(to.value(node.inputs[place]), tf.int32), node.input(place + 1)
        found.append(whole - tf.cast(single(to.raw(zero)), tf.int32) if zero else whole)
    return found[0] * found[1]
