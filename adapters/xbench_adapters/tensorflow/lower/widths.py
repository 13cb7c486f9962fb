"""Arithmetic in wider types, where TensorFlow's kernels lack a type or sum in too few bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

from xbench_adapters.tensorflow.unfolded import gpu_is_on, onednn_is_on

NARROW: Final = (tf.float16, tf.bfloat16)
SMALL: Final = (tf.int8, tf.int16, tf.uint8)

FLOATS: Final = {1: tf.float32, 10: tf.float16, 11: tf.float64, 16: tf.bfloat16}
"""The types that nodes may ask to be computed in, by ONNX's numbers for them."""


def at_least_float32(dtype: tf.DType) -> tf.DType:
    """Return the type of floats that results of ``dtype`` are computed in."""
    return tf.float32 if dtype in NARROW else dtype


def multiplies(dtype: tf.DType) -> bool:
    """Return whether the kernels multiply floats of this type as they are, and sum in enough bits.

    On GPUs, and for bfloat16 with oneDNN, there are instructions for it. TensorFlow's own kernels
    for CPUs widen what they are given piece by piece, and cut bfloat16 off where it should be
    rounded.
    """
    return dtype not in NARROW or gpu_is_on() or (dtype == tf.bfloat16 and onednn_is_on())


def products(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors that multiplies floats of 16 bits as such, or with 32."""
    wide = in_float32(function)

    def multiplied(x: Any, *others: Any) -> Any:
        return (function if multiplies(x.dtype) else wide)(x, *others)

    return multiplied


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
