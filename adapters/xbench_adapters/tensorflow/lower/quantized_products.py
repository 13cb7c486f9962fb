"""Products of whole numbers, exact: in floats wide enough that no sum is rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.lower.quantized_scales import offset
from xbench_adapters.tensorflow.unfolded import weight_of

if TYPE_CHECKING:
    from xbench.graph.plain import Array
    from xbench_adapters.tensorflow.builder import Builder

EXACT = 2**24
"""Up to here float32 holds every whole number, and so every sum that stays within it."""

REACH = 255
"""The most that a number of 8 bits and its zero point are apart."""


def wide_enough(terms: int | None, added: bool = False) -> tf.DType:
    """Return floats that are exact for sums of this many products; None for any number."""
    small = terms is not None and not added and terms * REACH * REACH <= EXACT
    return tf.float32 if small else tf.float64


def centred(x: Any, zero: Any, dtype: tf.DType) -> Any:
    """Return what numbers differ from their zero point by, as floats."""
    found = tf.cast(x, dtype)
    return found if zero is None else found - tf.cast(zero, dtype)


def by_row(value: Any) -> Any:
    """Return a number, or a vector with one for each row, so that it meets a matrix."""
    if value is None:
        return None
    if value.shape.num_elements() == 1:
        return tf.reshape(value, [])
    return value[..., None] if value.shape.rank == 1 else value


def by_column(value: Any) -> Any:
    """Return a number, or one for each column, so that it meets a matrix."""
    if value is None or value.shape.num_elements() != 1:
        return value
    return tf.reshape(value, [])


def product(a: Any, b: Any, a_zero: Any, b_zero: Any) -> Any:
    """Return the product of matrices less their zero points: whole numbers, held as floats.

    Args:
        a: Whole numbers of 8 bits.
        b: The same; or floats that are less their zero point already, in the type that holds
            every sum with them.
        a_zero: As floats: one, or one for each row.
        b_zero: As floats: one, or one for each column.
    """
    dtype = b.dtype if b.dtype.is_floating else wide_enough(a.shape[-1])
    return multiplied(centred(a, by_row(a_zero), dtype), centred(b, by_column(b_zero), dtype))


def multiplied(left: Any, right: Any) -> Any:
    """Return the product of two tensors as NumPy's ``matmul`` has it."""
    if left.shape.rank == 1:
        return tf.squeeze(multiplied(left[None], right), -1 if right.shape.rank == 1 else -2)
    if right.shape.rank == 1:
        return tf.squeeze(multiplied(left, right[:, None]), -1)
    if left.shape.rank == 2 or right.shape.rank > 2:
        return tf.matmul(left, right)
    shape = tf.concat([tf.shape(left)[:-1], tf.shape(right)[1:]], 0)
    found = tf.matmul(tf.reshape(left, tf.stack([-1, tf.shape(right)[0]])), right)
    return tf.ensure_shape(tf.reshape(found, shape), [*left.shape[:-1], right.shape[1]])


def to_int32(x: Any) -> Any:
    """Return whole floats as int32, modulo 2**32."""
    if x.dtype == tf.float32:
        return tf.cast(x, tf.int32)
    return tf.cast(tf.cast(x, tf.int64), tf.int32)


def known_factor(
    to: Builder, name: str, zero: str, axes: Sequence[int], added: Array | None = None
) -> Array | None:
    """Return a known factor less its zero point, in floats that hold every sum with it exactly.

    Args:
        to: The builder.
        name: The factor: whole numbers of 8 bits.
        zero: Its zero point, ``""`` for none; along the axis that ``axes`` leaves out.
        axes: The axes that are summed over.
        added: Known whole numbers that are added to the sums.
    """
    array, offsets = to.constant(name), to.constant(zero) if zero else None
    if array is None or (zero and offsets is None):
        return None
    whole = array.astype(np.int64)
    if offsets is not None:
        whole = whole - _laid(offsets.astype(np.int64), whole.ndim, axes)
    return in_floats(whole, axes, 0 if added is None else _largest(added))


def in_floats(whole: Array, axes: Sequence[int], added: int = 0) -> Array:
    """Return whole numbers in floats that hold every sum of products with 8 bits exactly.

    Args:
        whole: The numbers.
        axes: The axes that are summed over.
        added: The largest number that is added to a sum, without its sign.
    """
    most = REACH * int(np.abs(whole).sum(axis=tuple(axes)).max(initial=0)) + added
    return whole.astype(np.float32 if most <= EXACT else np.float64)


def _largest(x: Array) -> int:
    return int(np.abs(x.astype(np.int64)).max(initial=0))


def _laid(offsets: Array, rank: int, axes: Sequence[int]) -> Array:
    if offsets.size == 1:
        return offsets.reshape(())
    if offsets.ndim != 1:
        return offsets
    kept = [place for place in range(rank) if place not in {axis % rank for axis in axes}]
    shape = [1] * rank
    shape[kept[-1] if rank - 1 in kept else kept[0]] = -1
    return offsets.reshape(shape)


def factor(to: Builder, name: str, zero: str) -> tuple[Any, Any]:
    """Return the right factor of a product, and its zero point where it still has one."""
    array = to.constant(name)
    if array is not None and array.ndim >= 2:
        known = known_factor(to, name, zero, (-2,))
        if known is not None:
            return weight_of(known), None
    return to.raw(name), offset(to, zero)
