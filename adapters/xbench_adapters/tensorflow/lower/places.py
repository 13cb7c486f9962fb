"""Axes and lengths of tensors, known now or told by the run, in either layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from xbench_adapters.tensorflow.builder import Builder


def known_rank(to: Builder, name: str) -> int | None:
    """Return the number of dimensions of ``name``, or None where it is not known."""
    rank = to.graph.value(name).rank
    if rank is None and to.constant(name) is None:
        rank = to.raw(name).shape.rank
    return rank


def known_axis(to: Builder, axis: int, name: str) -> int:
    """Return an axis of ``name``: from the front, where the rank is known, and in range."""
    rank = known_rank(to, name)
    return axis if rank is None else to.axis(axis, rank)


def in_last(axis: int, rank: int) -> int:
    """Return where an axis, counted from the front, lies once channels are last."""
    return axis if axis == 0 else rank - 1 if axis == 1 else axis - 1


def length(x: Any, axis: int) -> Any:
    """Return the length of an axis: a number, or a tensor where only the run tells."""
    known = x.shape[axis]
    return tf.shape(x)[axis] if known is None else known


def lengths(x: Any) -> Any:
    """Return the lengths of all axes, as `tf.reshape` takes them."""
    if x.shape.rank is None:
        return tf.shape(x)
    return [length(x, axis) for axis in range(x.shape.rank)]


def flat_from(x: Any, axis: int) -> Any:
    """Return a matrix: the axes before ``axis`` are its rows."""
    shape = tf.shape(x)
    return tf.reshape(x, [tf.reduce_prod(shape[:axis]), tf.reduce_prod(shape[axis:])])
