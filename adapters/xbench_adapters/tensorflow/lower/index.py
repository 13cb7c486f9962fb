"""Operators that pick elements by their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.lower.axes import (
    as_told,
    from_front,
    indices_of,
    known_axis,
    lengths_of,
    places_of,
)
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

DEEPEST = 7
"""Into so many axes tuples of indices can point."""


@lowering("Gather", 1)
def gather(node: Node, to: Builder) -> Any:
    """Return slices along an axis."""
    data, indices = node.inputs
    axis, x = known_axis(to, node.attributes["axis"], data), to.weight(data)
    return as_told(to, node, tf.gather(x, places_of(to, indices, x, axis), axis=axis))


def gathered_elements(x: Any, places: Any, axis: int) -> Any:
    """Return the element of ``x`` for each place along an axis; others than it may be shorter."""
    rank = places.shape.rank
    lengths = tf.unstack(lengths_of(places), num=rank)
    lengths[axis] = lengths_of(x)[axis]
    if any(x.shape[one] is None or x.shape[one] != places.shape[one] for one in range(rank)):
        x = tf.slice(x, [0] * rank, tf.stack([tf.cast(one, tf.int32) for one in lengths]))
    # Along the last axis TensorFlow has it, within batches, and raises for places outside.
    order = [*range(axis), *range(axis + 1, rank), axis]
    if axis == rank - 1:
        return tf.gather(x, places, batch_dims=rank - 1, axis=rank - 1)
    found = tf.gather(
        tf.transpose(x, order), tf.transpose(places, order), batch_dims=rank - 1, axis=rank - 1
    )
    return tf.transpose(found, [*range(axis), rank - 1, *range(axis, rank - 1)])


@lowering("GatherElements", 11)
def gather_elements(node: Node, to: Builder) -> Any:
    """Return one element for each index, along an axis."""
    data, indices = node.inputs
    axis, x = to.axis(node.attributes["axis"], to.rank(data)), to.value(data)
    if to.rank(indices) != to.rank(data):
        to.refuse("indices of another rank than the data")
    return as_told(to, node, gathered_elements(x, places_of(to, indices, x, axis), axis))


@lowering("GatherND", 11)
def gather_nd(node: Node, to: Builder) -> Any:
    """Return slices at tuples of indices."""
    data, indices = node.inputs
    batches, x = node.attributes.get("batch_dims", 0), to.value(data)
    check_depth(to, indices)
    places = tuples_of(x, indices_of(to, indices), batches)
    return as_told(to, node, tf.gather_nd(x, places, batch_dims=batches))


def check_depth(to: Builder, indices: str) -> None:
    """Refuse indices into more axes than TensorFlow takes tuples of."""
    if (depth := to.value(indices).shape[-1]) is not None and depth > DEEPEST:
        to.refuse(f"tuples of {depth} indices, of which TensorFlow takes {DEEPEST}")


def tuples_of(x: Any, indices: Any, batches: int = 0) -> Any:
    """Return tuples of indices into axes of ``x`` from ``batches`` on, counted from the front."""
    depth = tf.shape(indices)[-1] if indices.shape[-1] is None else indices.shape[-1]
    lengths = tf.shape(x, out_type=indices.dtype)[batches : batches + depth]
    return from_front(indices, lengths)


@lowering("OneHot", 9)
def one_hot(node: Node, to: Builder) -> Any:
    """Return a new axis that shows each index; one that is out of range shows nowhere."""
    indices, depth, pair = node.inputs
    axis = to.axis(node.attributes["axis"], to.rank(indices) + 1)
    dtype, count = to.graph.value(indices).dtype, to.number(depth)
    places = tf.cast(to.value(indices), tf.int64)  # cut towards zero where they are fractions
    if node.version >= 11 and (dtype is None or dtype.kind != "u"):
        places = from_front(places, count)
    off, on = tf.unstack(to.value(pair), num=2)
    shown = tf.one_hot(places, tf.cast(count, tf.int32), True, False, axis, tf.bool)
    return as_told(to, node, tf.where(shown, on, off))


@lowering("NonZero", 9)
def non_zero(node: Node, to: Builder) -> Any:
    """Return the places of the elements that are not zero, one row an axis."""
    found = tf.cast(to.value(node.inputs[0]), tf.bool)
    if found.shape.rank == 0:  # which TensorFlow does not take
        return tf.zeros([0, tf.cast(found, tf.int32)], tf.int64)
    return as_told(to, node, tf.transpose(tf.where(found)))


@lowering("Trilu", 14)
def trilu(node: Node, to: Builder) -> Any:
    """Return a triangle of each matrix, zeros elsewhere."""
    if to.graph.value(node.inputs[0]).dtype == object:
        to.refuse("text has no zero")
    x = to.value(node.inputs[0])
    shift = tf.cast(to.number(node.inputs[1]) if node.input(1) else 0, tf.int64)
    lengths = lengths_of(x)
    across = tf.range(lengths[-1]) - tf.range(lengths[-2])[:, None]
    kept = across >= shift if node.attributes["upper"] else across <= shift
    return tf.where(kept, x, tf.zeros([], x.dtype))


@lowering("Compress", 9)
def compress(node: Node, to: Builder) -> Any:
    """Return the slices along an axis where a condition holds; of all elements without one."""
    data, condition = node.inputs
    x, axis = to.value(data), node.attributes.get("axis")
    axis = 0 if axis is None else known_axis(to, axis, data)
    if node.attributes.get("axis") is None:
        x = tf.reshape(x, [-1])
    known = to.constant(condition)
    if known is not None:
        places = tf.constant(np.flatnonzero(known).astype(np.int64))
    else:
        places = tf.reshape(tf.where(to.value(condition)), [-1])
    return as_told(to, node, tf.gather(x, places, axis=axis))


@lowering("ReverseSequence", 10)
def reverse_sequence(node: Node, to: Builder) -> Any:
    """Return each sequence of a batch in reverse, up to its length."""
    batch, time = node.attributes["batch_axis"], node.attributes["time_axis"]
    if sorted((batch, time)) != [0, 1]:
        to.refuse(f"batch_axis {batch} and time_axis {time}")
    x, lengths = map(to.value, node.inputs)
    return tf.reverse_sequence(x, lengths, seq_axis=time, batch_axis=batch)
