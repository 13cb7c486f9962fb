"""The softmax family: along an axis, or until version 12 over all axes from one on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.places import (
    flat_from,
    in_last,
    known_axis,
    known_rank,
    length,
    lengths,
)
from xbench_adapters.tensorflow.lower.widths import in_float32
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

Along = Callable[[Any, int], Any]


def _is_last(x: Any, axis: int) -> bool:
    rank = x.shape.rank
    return axis == -1 or (rank is not None and axis >= rank - 1)


def softmax(x: Any, axis: int) -> Any:
    """Return the softmax along an axis; the kernel takes the last one, and others need turning."""
    if _is_last(x, axis):
        return tf.nn.softmax(x, -1)
    weights = tf.math.exp(x - tf.reduce_max(x, axis, keepdims=True))
    return weights / tf.reduce_sum(weights, axis, keepdims=True)


def log_softmax(x: Any, axis: int) -> Any:
    """Return the softmax's logarithm along an axis."""
    if _is_last(x, axis):
        return tf.nn.log_softmax(x, -1)
    less = x - tf.reduce_max(x, axis, keepdims=True)
    return less - tf.math.log(tf.reduce_sum(tf.math.exp(less), axis, keepdims=True))


def one_hot_max(x: Any, axis: int) -> Any:
    """Return 1 at the first largest element along an axis, 0 elsewhere."""
    if x.shape.is_fully_defined() and not x.shape.num_elements():
        return tf.zeros_like(x)
    first = tf.math.argmax(x, axis)
    return tf.one_hot(first, length(x, axis), axis=axis, dtype=x.dtype)


def _register(operator: str, along: Along, *, even: bool) -> None:
    """Register the operator; ``even`` means that it treats all elements of a row alike."""

    @lowering(operator, 13)
    def one_axis(node: Node, to: Builder) -> Any:
        name = node.inputs[0]
        axis = known_axis(to, node.attributes["axis"], name)
        rank = known_rank(to, name) if even else to.rank(name)
        if rank is not None and to.has_last(name):
            return Last(along(to.last(name), in_last(axis, rank)))
        return along(to.value(name), axis)

    @lowering(operator, 1, 12)
    def all_axes(node: Node, to: Builder) -> Any:
        name = node.inputs[0]
        axis, rank = known_axis(to, node.attributes["axis"], name), known_rank(to, name)
        if even and axis in (0, 1) and to.has_last(name):
            return Last(_flattened(along, to.last(name), axis))
        x = to.value(name)
        if rank is not None and axis >= rank - 1:
            return along(x, axis)
        return _flattened(along, x, axis)


def _flattened(along: Along, x: Any, axis: int) -> Any:
    return tf.reshape(along(flat_from(x, axis), -1), lengths(x))


_register("Softmax", in_float32(softmax), even=True)
_register("LogSoftmax", in_float32(log_softmax), even=True)
_register("Hardmax", one_hot_max, even=False)
