"""Arrays and element types of ONNX as TensorFlow's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from xbench.graph.plain import Array

_SAME = (
    "float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool", "complex64", "complex128",
    "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip
_HELD = {
    "int2": tf.int8,
    "int4": tf.int8,
    "uint2": tf.uint8,
    "uint4": tf.uint8,
    "float4_e2m1fn": tf.float32,
    "float8_e4m3fnuz": tf.float32,
    "float8_e5m2fnuz": tf.float32,
    "float8_e8m0fnu": tf.float32,
}
"""Types whose elements are held by value, since TensorFlow lacks them or their kernels."""

DTYPES: dict[str, tf.DType] = {
    **{name: getattr(tf, name) for name in _SAME if hasattr(tf, name)},
    "bool": tf.bool,
    "float8_e4m3fn": tf.dtypes.experimental.float8_e4m3fn,
    "float8_e5m2": tf.dtypes.experimental.float8_e5m2,
    **_HELD,
    "object": tf.string,
}
"""The type that holds elements of each ONNX type, by NumPy's name."""


def tf_dtype(dtype: np.dtype[Any] | None) -> tf.DType | None:
    """Return the type that holds elements of ``dtype``, or None where there is none."""
    return None if dtype is None else DTYPES.get(dtype.name)


def held(array: Array) -> Array:
    """Return an array in the type that TensorFlow holds it in."""
    if array.dtype.name == "object":
        return array
    plain = np.asarray(array, order="C")  # `ascontiguousarray` would give a scalar an axis
    return plain.astype(DTYPES[array.dtype.name].as_numpy_dtype, copy=False)
