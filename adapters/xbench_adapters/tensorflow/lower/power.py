"""Powers: bases and exponents of different types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.lower.operands import of_two
from xbench_adapters.tensorflow.lower.widths import at_least_float32

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_EXACT = 2048
"""Whole numbers up to which every float type holds each."""


@of_two("Pow", raw=True)
def power(node: Node, to: Builder, base: Any, exponent: Any) -> Any:
    """Return powers, in the type of the base."""
    number = _number(node, to)
    if base.dtype.is_floating and number is not None:
        if number == 2:
            return tf.math.square(base)
        wide = tf.cast(base, at_least_float32(base.dtype))
        return tf.cast(tf.math.pow(wide, tf.constant(number, wide.dtype)), base.dtype)
    if not base.dtype.is_floating and not exponent.dtype.is_floating:
        found = whole_power(tf.cast(base, tf.int64), _whole_exponent(exponent))
        return tf.cast(found, base.dtype)
    wide = _common(base.dtype, exponent.dtype)
    return tf.cast(tf.math.pow(tf.cast(base, wide), tf.cast(exponent, wide)), base.dtype)


def _number(node: Node, to: Builder) -> float | None:
    """Return a single known exponent that adds no axes and that every float type holds."""
    base, exponent = node.inputs
    array, rank = to.constant(exponent), to.graph.value(base).rank
    if array is None or array.size != 1 or rank is None or array.ndim > rank:
        return None
    number = float(array.reshape(-1)[0])
    same = array.dtype == to.graph.value(base).dtype
    return number if same or (number == int(np.clip(number, -_EXACT, _EXACT))) else None


def _common(base: tf.DType, exponent: tf.DType) -> tf.DType:
    """Return the type to compute in, where one of both is a float."""
    if not (base.is_floating and exponent.is_floating):
        return tf.float64  # it holds whole numbers of 32 bits, and of 64 best
    return tf.float64 if tf.float64 in (base, exponent) else tf.float32


def whole_power(base: Any, exponent: Any) -> Any:
    """Return powers of whole numbers; of negative exponents the part before the point."""
    one = tf.ones([], base.dtype)
    found = tf.math.pow(base, tf.math.maximum(exponent, 0))
    odd = tf.equal(tf.bitwise.bitwise_and(exponent, 1), 1)
    turned = tf.where(tf.equal(base, -1), tf.where(odd, -one, one), tf.zeros([], base.dtype))
    inverse = tf.where(tf.equal(base, 1), one, turned)
    return tf.where(exponent < 0, inverse, found)


def _whole_exponent(exponent: Any) -> Any:
    """Return exponents in 64 bits with a sign, such that powers modulo 2**64 are the same.

    Powers of an odd number repeat after 2**62 at most, and those of an even one are zero from
    64 on: of a larger exponent only the remainder by 2**62 counts, and that it is large.
    """
    if exponent.dtype != tf.uint64:
        return tf.cast(exponent, tf.int64)
    same = tf.bitcast(exponent, tf.int64)
    low = tf.bitwise.bitwise_and(same, tf.constant(2**62 - 1, tf.int64))
    large = tf.bitwise.bitwise_or(low, tf.constant(2**62, tf.int64))
    return tf.where(same < 0, large, same)
