"""Indices into the axes of tensors, lengths, and which layout an operator works in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.tensors import tf_dtype

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


def known_axis(to: Builder, axis: int, name: str) -> int:
    """Return an axis of ``name``: from the front, where the rank is known, and in range."""
    rank = to.graph.value(name).rank
    if rank is None and name not in to.graph.constants:
        rank = to.raw(name).shape.rank
    return axis if rank is None else to.axis(axis, rank)


def lengths_of(x: Any) -> Any:
    """Return the lengths of all axes, as 64-bit integers."""
    return tf.shape(x, out_type=tf.int64)


def length_of(x: Any, axis: int) -> Any:
    """Return the length of an axis: a number, or a tensor where only the run tells."""
    known = x.shape[axis]
    return lengths_of(x)[axis] if known is None else known


def vector(numbers: Sequence[int] | Any) -> Any:
    """Return whole numbers as a tensor of one axis and 64 bits."""
    if isinstance(numbers, list | tuple | range):
        return tf.constant(list(numbers), tf.int64, shape=[len(numbers)])
    return tf.cast(numbers, tf.int64)


def as_told(to: Builder, node: Node, found: Any, place: int = 0) -> Any:
    """Return a result with the lengths that ONNX knows of it, where TensorFlow does not."""
    shape = to.graph.value(node.outputs[place]).shape
    if shape is not None and not found.shape.is_fully_defined():
        found.set_shape([dim if isinstance(dim, int) else None for dim in shape])
    return found


def from_front(indices: Any, length: Any) -> Any:
    """Return indices counted from the front; those outside stay outside, and raise."""
    return tf.where(indices < 0, indices + tf.cast(length, indices.dtype), indices)


def indices_of(to: Builder, name: str) -> Any:
    """Return indices as they are given, in a type that TensorFlow takes."""
    found = to.value(name)
    return found if found.dtype in (tf.int32, tf.int64) else tf.cast(found, tf.int64)


def places_of(to: Builder, name: str, x: Any, axis: int) -> Any:
    """Return indices into an axis of ``x``, counted from the front."""
    known, length = to.constant(name), length_of(x, axis)
    if known is not None:
        places = known.astype(np.int64)
        if isinstance(length, int):
            places = np.where(places < 0, places + length, places)
        if not places.size or places.min() >= 0:
            small = places.size == 0 or places.max() < 2**31
            return tf.constant(places.astype(np.int32) if small else places)
    return from_front(indices_of(to, name), length)


def stands_in(to: Builder, name: str) -> bool:
    """Return whether the node at hand computes with ``name`` in another type than its own."""
    return bool(to.dtype(name) != tf_dtype(to.graph.value(name).dtype))


def in_last(to: Builder, *names: str) -> bool:
    """Return whether a node should work with channels last: some input is so already."""
    if not any(to.has_last(name) for name in names):
        return False
    ranks = {to.rank(name) for name in names}
    return len(ranks) == 1 and min(ranks) >= 3 and not any(stands_in(to, one) for one in names)


def last_axis(axis: int, rank: int) -> int:
    """Return where an axis, counted from the front, lies once channels are last."""
    return axis if axis == 0 else rank - 1 if axis == 1 else axis - 1


def with_last(per_axis: Sequence[Any]) -> list[Any]:
    """Return what belongs to each axis, in the order of the axes with channels last."""
    return [per_axis[0], *per_axis[2:], per_axis[1]]
