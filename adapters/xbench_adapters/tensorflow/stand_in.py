"""Element types that TensorFlow computes with in the shape of another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from xbench.graph.stand_ins import Way
from xbench_adapters.tensorflow.tensors import DTYPES

_LOWEST = -(2**63)


@dataclass(frozen=True, slots=True)
class StandIn:
    """How a type is computed with: what it becomes, there and back."""

    dtype: tf.DType
    into: Callable[[Any], Any]
    back: Callable[[Any], Any]


def _cast(there: tf.DType, back: tf.DType) -> StandIn:
    return StandIn(there, lambda x: tf.cast(x, there), lambda x: tf.cast(x, back))


def _bits(there: tf.DType, back: tf.DType) -> StandIn:
    return StandIn(there, lambda x: tf.bitcast(x, there), lambda x: tf.bitcast(x, back))


def _flipped(x: Any) -> Any:
    return tf.bitwise.bitwise_xor(x, tf.constant(_LOWEST, tf.int64))


_ORDERED = StandIn(
    tf.int64,
    lambda x: _flipped(tf.bitcast(x, tf.int64)),
    lambda x: tf.bitcast(_flipped(x), tf.uint64),
)


def stand_in(dtype: str, way: Way) -> StandIn | None:
    """Return what a type becomes while a node computes with it, or None for itself."""
    if way is Way.WIDER:
        return _cast(tf.int32 if dtype == "uint16" else tf.int64, DTYPES[dtype])
    if way is Way.MODULAR:
        return _bits(tf.int64, tf.uint64)
    if way is Way.ORDERED:
        return _ORDERED
    if way is Way.BITS and DTYPES[dtype] != tf.float32:  # which holds the rest by value
        return _cast(tf.float32, DTYPES[dtype])  # exact; its bits cannot be had
    return None
