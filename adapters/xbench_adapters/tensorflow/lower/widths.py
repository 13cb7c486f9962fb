"""Arithmetic in wider types, where TensorFlow's kernels lack a type or sum in too few bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

NARROW: Final = (tf.float16, tf.bfloat16)
SMALL: Final = (tf.int8, tf.int16, tf.uint8)

FLOATS: Final = {1: tf.float32, 10: tf.float16, 11: tf.float64, 16: tf.bfloat16}
"""The types that nodes may ask to be computed in, by ONNX's numbers for them."""


def at_least_float32(dtype: tf.DType) -> tf.DType:
    """Return the type of floats that results of ``dtype`` are computed in."""
    return tf.float32 if dtype in NARROW else dtype


def in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors that computes floats of 16 bits with 32."""
    return _in_wider(function, NARROW, tf.float32)


def in_int32(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors that computes whole numbers of 8 and 16 bits with 32."""
    return _in_wider(function, SMALL, tf.int32)


def _in_wider(
    function: Callable[..., Any], narrow: tuple[tf.DType, ...], wide: tf.DType
) -> Callable[..., Any]:
    def widened(x: Any, *others: Any) -> Any:
        dtype = x.dtype
        if dtype not in narrow:
            return function(x, *others)
        # What has another type is no operand: axes, or a place.
        given = (
            tf.cast(one, wide) if tf.is_tensor(one) and one.dtype == dtype else one
            for one in (x, *others)
        )
        return tf.cast(function(*given), dtype)

    return widened
