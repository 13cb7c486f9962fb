"""Arithmetic of several inputs that broadcast against each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.lower.operands import of_two, plain
from xbench_adapters.tensorflow.lower.widths import in_float32, in_int32
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.unfolded import unfolded

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_FLOOR_MOD_OF_FLOATS = 28
"""The version of Mod that defines fmod=0 for floats."""

of_two("Add")(plain(tf.math.add))
of_two("Mul")(plain(tf.math.multiply))
of_two("Sub")(plain(tf.math.subtract))


@of_two("Div", raw=True)
def div(node: Node, to: Builder, left: Any, right: Any) -> Any:
    """Return quotients; those of whole numbers are cut towards zero."""
    if left.dtype.is_floating:
        return tf.realdiv(left, as_divisor(right))
    known = to.constant(node.inputs[1])
    if left.dtype.is_unsigned or (known is not None and not bool((known == -1).any())):
        return tf.truncatediv(left, right)
    return quotient(left, right)


def as_divisor(right: Any) -> Any:
    """Return floats to divide by so that the graph's optimiser leaves the division one.

    It would multiply by reciprocals of constants, and what is rounded next would be another
    number here and there. Powers of two have exact ones.
    """
    array = tf.get_static_value(right)
    if array is None or _is_power_of_two(array.astype(np.float64)):
        return right
    return unfolded(array)


def _is_power_of_two(array: Any) -> bool:
    return bool((np.abs(np.frexp(array)[0]) == 0.5).all())


def quotient(left: Any, right: Any) -> Any:
    """Return quotients cut towards zero, with a way round what processors stop at.

    Of the lowest number by minus one the quotient has no place in the type: it wraps around.
    """
    negates = tf.equal(right, tf.constant(-1, right.dtype))
    divided = tf.truncatediv(left, tf.where(negates, tf.ones([], right.dtype), right))
    return tf.where(negates, -left, divided)


@of_two("Mod", 10, raw=True)
def mod(node: Node, to: Builder, left: Any, right: Any) -> Any:
    """Return remainders: with the divisor's sign, or with ``fmod`` the dividend's."""
    of_floats, cut = left.dtype.is_floating, bool(node.attributes["fmod"])
    if of_floats and not cut and node.version < _FLOOR_MOD_OF_FLOATS:
        to.refuse("fmod=0 is not defined for floats before version 28")
    if of_floats:
        return in_float32(tf.truncatemod if cut else floor_mod)(left, right)
    if left.dtype.is_unsigned:
        return tf.math.floormod(left, right)
    return in_int32(whole_remainder)(left, right, cut)


def floor_mod(left: Any, right: Any) -> Any:
    """Return what floored quotients of floats leave; a zero has the divisor's sign too."""
    rest = tf.math.floormod(left, right)
    zero = tf.where(right < 0, tf.constant(-0.0, right.dtype), tf.constant(0.0, right.dtype))
    return tf.where(tf.equal(rest, 0), zero, rest)


def whole_remainder(left: Any, right: Any, cut: bool) -> Any:
    """Return remainders of numbers with a sign; what is left by one, minus one leaves too."""
    minus = tf.constant(-1, right.dtype)
    safe = tf.where(tf.equal(right, minus), tf.ones([], right.dtype), right)
    return tf.truncatemod(left, safe) if cut else tf.math.floormod(left, safe)


def _folded(function: Callable[[Any, Any], Any], node: Node, to: Builder) -> Any:
    return reduce(function, [to.value(name) for name in node.inputs])


@lowering("Max", layout="any")
def maximum(node: Node, to: Builder) -> Any:
    """Return the largest of the inputs, element by element."""
    return _folded(tf.math.maximum, node, to)


@lowering("Min", layout="any")
def minimum(node: Node, to: Builder) -> Any:
    """Return the smallest of the inputs, element by element."""
    return _folded(tf.math.minimum, node, to)


@lowering("Sum", layout="any")
def total(node: Node, to: Builder) -> Any:
    """Return the sum of the inputs."""
    return _folded(tf.math.add, node, to)


@lowering("Mean", layout="any")
def mean(node: Node, to: Builder) -> Any:
    """Return the mean of the inputs."""
    summed = _folded(tf.math.add, node, to)
    count = len(node.inputs)
    return summed / as_divisor(tf.constant(count, summed.dtype)) if count > 1 else summed
