"""Operators on the bits of whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.lower.operands import of_two, plain

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

of_two("BitwiseAnd")(plain(tf.bitwise.bitwise_and))
of_two("BitwiseOr")(plain(tf.bitwise.bitwise_or))
of_two("BitwiseXor")(plain(tf.bitwise.bitwise_xor))


@of_two("BitShift", 11, raw=True)
def bit_shift(node: Node, to: Builder, x: Any, by: Any) -> Any:
    """Return shifted bits; by the width of the type or more, what filling up alone gives."""
    left, width = node.attributes["direction"] == "LEFT", 8 * x.dtype.size
    known = to.constant(node.inputs[1])
    if known is not None and bool(((known >= 0) & (known < width)).all()):
        return tf.bitwise.left_shift(x, by) if left else tf.bitwise.right_shift(x, by)
    return shifted(x, by, left)


def shifted(x: Any, by: Any, left: bool) -> Any:
    """Return bits moved up or down; where none is left zero, or in a shift down the sign."""
    width, zero = 8 * x.dtype.size, tf.zeros([], x.dtype)
    count = tf.bitcast(by, tf.int64) if by.dtype == tf.uint64 else tf.cast(by, tf.int64)
    inside = (count >= 0) & (count < width)
    if left:
        return tf.where(inside, tf.bitwise.left_shift(x, tf.where(inside, by, zero)), zero)
    moved = tf.bitwise.right_shift(x, tf.where(inside, by, tf.constant(width - 1, x.dtype)))
    return tf.where(inside, moved, zero) if x.dtype.is_unsigned else moved
