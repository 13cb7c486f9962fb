"""Scales and zero points: how they meet a tensor, and how floats become whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.tensors import DTYPES, held
from xbench_adapters.tensorflow.unfolded import unfolded

if TYPE_CHECKING:
    from xbench.graph.plain import Array
    from xbench_adapters.tensorflow.builder import Builder

LIMITS: dict[str, tuple[int, int]] = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int4": (-8, 7),
    "uint4": (0, 15),
    "int2": (-2, 1),
    "uint2": (0, 3),
}
"""The least and the largest number of each type that floats are quantised to."""

Target = tuple[int, int, tf.DType]
"""The least and the largest number that a result may be, and the type that holds it."""

Quantised = tuple[Any, Any, Any]
"""Whole numbers, their scale, and their zero point as floats, or None."""

Place = tuple[int, int]
"""The axis along which a scale changes, and the length of its blocks: 0 for none."""


def now(function: Callable[..., Any], *arrays: Array | None) -> Array:
    """Return what a function of tensors makes of arrays, computed at once."""
    with tf.init_scope():
        given = [None if one is None else tf.constant(held(one)) for one in arrays]
        found: Array = function(*given).numpy()
    return found


def spread(value: Any, x: Any, axis: int, block: int) -> Any:
    """Return a scale or zero point so that it broadcasts against ``x``.

    Args:
        value: One number, one for each place of ``axis``, or one for each block along it.
        x: The tensor that it goes with.
        axis: The axis along which it changes.
        block: How many elements in a row share a number; 0 where it is a vector.
    """
    if block and value.shape.num_elements() != 1:
        wide = tf.repeat(value, block, axis)
        place = axis % x.shape.rank
        return wide[(slice(None),) * place + (slice(0, tf.shape(x)[place]),)]
    return along(value, axis, x.shape.rank)


def along(value: Any, axis: int, rank: int) -> Any:
    """Return a number, or a vector laid along one axis of ``rank``."""
    if value.shape.num_elements() == 1:
        return tf.reshape(value, [])
    lengths = [1] * rank
    lengths[axis] = -1
    return tf.reshape(value, lengths)


def single(value: Any) -> Any:
    """Return a tensor of one element as one of no axes, or None for None."""
    return None if value is None else tf.reshape(value, [])


def quantized(x: Any, zero: Any, low: int, high: int, dtype: tf.DType) -> Any:
    """Return floats as whole numbers: rounded half to even, moved by ``zero``, kept in range.

    What is no number becomes the least one.
    """
    found = tf.round(x)
    if zero is not None:
        found = found + tf.cast(zero, found.dtype)
    return tf.cast(bounded(found, low, high), dtype)


def bounded(x: Any, low: float, high: float) -> Any:
    """Return floats kept in range; what is no number becomes the least one."""
    least, most = tf.constant(low, x.dtype), tf.constant(high, x.dtype)
    return tf.where(x > least, tf.minimum(x, most), least)  # NaN is above nothing


def real(x: Any, scale: Any, zero: Any) -> Any:
    """Return the floats that whole numbers stand for, with one scale for all."""
    found = tf.cast(x, tf.float32)
    if zero is not None:
        found = found - single(zero)
    return found * tf.cast(single(scale), tf.float32)


def requantized(x: Any, scale: Any, zero: Any, target: Target) -> Any:
    """Return floats as whole numbers of one scale."""
    return quantized(x / single(scale), single(zero), *target)


def scale_of(to: Builder, name: str) -> Any:
    """Return a scale, which no optimisation may touch: the last bit decides what is halfway."""
    array = to.constant(name)
    return to.raw(name) if array is None else unfolded(held(array))


def offset(to: Builder, name: str) -> Any:
    """Return a zero point as floats; None where there is none, or it is known to be zero."""
    if not name:
        return None
    array = to.constant(name)
    if array is None:
        return tf.cast(to.raw(name), tf.float32)
    wide = np.asarray(array).astype(np.float32)
    return tf.constant(wide) if wide.any() else None


def target_of(to: Builder, name: str) -> Target:
    """Return what numbers of the type of ``name`` may be, and what holds them."""
    dtype = to.graph.value(name).dtype
    if dtype is None:
        to.refuse(f"the element type of {name!r} must be known")
    if dtype.name not in LIMITS:
        to.refuse(f"{dtype.name} is no type to quantise to")
    return (*LIMITS[dtype.name], DTYPES[dtype.name])


def last_axis(axis: int, rank: int) -> int:
    """Return where an axis stands with the channels last."""
    return 0 if axis == 0 else (rank - 1 if axis == 1 else axis - 1)
