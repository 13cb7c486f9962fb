"""Operators that give the same elements in another shape, and those that tell the shape."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last, turned
from xbench_adapters.tensorflow.lower.axes import (
    as_told,
    in_last,
    last_axis,
    length_of,
    lengths_of,
    stands_in,
    vector,
)
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_IMAGES = frozenset(
    {"AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "GlobalAveragePool", "MaxPool"}
    | {"Pad", "Reshape", "Resize"}
)
"""Operators that take channels last as gladly as first."""
_BROADCAST_RANK = 5
"""Up to this rank TensorFlow broadcasts whatever the axes are."""
_TEXT_RANK = 8
"""Beyond this rank it ends the process when it is to turn text."""


def _kept_last(node: Node, to: Builder) -> Any:
    """Return a reshape that only merges or parts axes of space, with channels last; or None."""
    name = node.inputs[0]
    if not in_last(to, name):
        return None
    source, aim = to.graph.value(name).shape, to.graph.value(node.outputs[0]).shape
    if source is None or aim is None or len(aim) < 3:
        return None
    old = [dim for dim in source[1:] if isinstance(dim, int)]
    new = [dim for dim in aim[1:] if isinstance(dim, int)]
    if (len(old), len(new)) != (len(source) - 1, len(aim) - 1) or 0 in old or old[0] != new[0]:
        return None
    if prod(old) != prod(new):
        return None
    batch = aim[0] if isinstance(aim[0], int) else -1
    return Last(tf.reshape(to.last(name), [batch, *new[1:], new[0]]))


@lowering("Reshape", raw=True)
def reshape(node: Node, to: Builder) -> Any:
    """Return the elements in another shape."""
    found = _kept_last(node, to)
    if found is not None:
        return found
    x, static = to.value(node.inputs[0]), to.graph.value(node.outputs[0]).static
    if static is not None:
        same = x.shape.rank is not None and tuple(x.shape) == static
        return x if same else tf.reshape(x, static)
    aim = node.attributes["shape"] if node.version < 5 else to.numbers(node.inputs[1])
    if not node.attributes.get("allowzero", 0):
        aim = _copied(x, aim)
    return as_told(to, node, tf.reshape(x, aim))


def _copied(x: Any, aim: Any) -> Any:
    """Return the lengths of ``aim``, of which 0 copies that of the same axis of ``x``."""
    if isinstance(aim, list):
        return [length_of(x, place) if dim == 0 else dim for place, dim in enumerate(aim)]
    count = tf.size(aim)
    more = tf.zeros([tf.maximum(count - tf.rank(x), 0)], tf.int64)
    source = tf.concat([lengths_of(x), more], 0)[:count]
    aim = vector(aim)
    return tf.where(aim == 0, source, aim)


@lowering("Shape", raw=True)
def shape(node: Node, to: Builder) -> Any:
    """Return the lengths of the axes, or of some of them."""
    name = node.inputs[0]
    if to.has_last(name):
        lengths, rank = lengths_of(to.last(name)), to.rank(name)
        found = tf.gather(lengths, [0, rank - 1, *range(1, rank - 1)])
    else:
        found = lengths_of(to.value(name))
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    return found if not start and end is None else found[start:end]


@lowering("Size", raw=True)
def size(node: Node, to: Builder) -> Any:
    """Return the number of elements."""
    name = node.inputs[0]
    held = to.last(name) if to.has_last(name) else to.value(name)
    return tf.size(held, out_type=tf.int64)


@lowering("Flatten", raw=True)
def flatten(node: Node, to: Builder) -> Any:
    """Return a matrix: the axes before the one given are its rows."""
    x, axis = to.value(node.inputs[0]), node.attributes["axis"]
    rank = x.shape.rank
    if rank is None:
        return as_told(to, node, _flattened(x, axis))
    axis = axis + rank if axis < 0 else axis
    if not 0 <= axis <= rank:
        to.refuse(f"axis {axis} is out of range for rank {rank}")
    head, tail = (tuple(part) for part in (x.shape[:axis], x.shape[axis:]))
    if None not in tail and 0 not in tail:
        return tf.reshape(x, [prod(head) if None not in head else -1, prod(tail)])
    return as_told(to, node, _flattened(x, axis))


def _flattened(x: Any, axis: int) -> Any:
    """Return a matrix whose rows are the axes before one, all lengths told by the run."""
    lengths = tf.shape(x)
    place = tf.rank(x) + axis if axis < 0 else axis
    fits = (place >= 0) & (place <= tf.rank(x))
    tf.debugging.Assert(fits, [f"Flatten at axis {axis} of the lengths", lengths])
    rows, columns = tf.reduce_prod(lengths[:place]), tf.reduce_prod(lengths[place:])
    return tf.reshape(x, [rows, columns])


@lowering("Transpose")
def transpose(node: Node, to: Builder) -> Any:
    """Return the axes in another order: reversed, where none is given.

    An order that brings channels to the front or to the end only tells what the layout is.
    """
    name, order = node.inputs[0], list(node.attributes.get("perm") or ())
    if not order:
        return tf.transpose(to.value(name))
    rank = len(order)
    if rank > _TEXT_RANK and to.graph.value(name).dtype == object:
        to.refuse(f"TensorFlow turns no text of rank {rank}")
    if in_last(to, name):
        x, order = to.last(name), [last_axis(axis, rank) for axis in order]
    else:
        x = to.value(name)
        if order == [0, rank - 1, *range(1, rank - 1)] and _turns_for_images(node, to, rank):
            return Last(x)
    return x if order == list(range(rank)) else turned(x, order)


def _turns_for_images(node: Node, to: Builder, rank: int) -> bool:
    """Return whether what is turned to have its channels first may as well stay as it is.

    With one axis of space it may be no image: the transpose of matrices is the same.
    """
    name = node.outputs[0]
    if stands_in(to, node.inputs[0]) or to.graph.value(name).rank != rank:
        return False
    users = [one.operator for one in to.graph.nodes if name in one.inputs]
    return rank > 3 or (rank == 3 and all(one in _IMAGES for one in users))


def _axes(node: Node, to: Builder) -> Any:
    if node.version < 13:
        return node.attributes.get("axes")
    return to.numbers(node.inputs[1]) if node.input(1) else None


def _of_space(to: Builder, name: str, axes: Any, rank: int | None) -> list[int] | None:
    """Return where axes lie with channels last, if that is at hand and all are of space."""
    if not isinstance(axes, list) or not axes or rank is None or not in_last(to, name):
        return None
    places = sorted(to.axis(axis, rank) for axis in axes)
    known = places[0] >= 2 and len(set(places)) == len(places)
    return [place - 1 for place in places] if known else None


@lowering("Squeeze", raw=True)
def squeeze(node: Node, to: Builder) -> Any:
    """Return the tensor without axes of length 1."""
    name, axes = node.inputs[0], _axes(node, to)
    places = _of_space(to, name, axes, to.graph.value(name).rank)
    if places is not None and to.rank(name) - len(places) >= 3:
        return Last(tf.squeeze(to.last(name), places))
    x = to.value(name)
    if axes is None:
        return as_told(to, node, tf.squeeze(x))
    if not isinstance(axes, list):
        return as_told(to, node, _squeezed(x, axes))
    if not axes:
        to.refuse("an empty list of axes, on which runtimes differ")
    if x.shape.rank is None:
        return as_told(to, node, _squeezed(x, axes))
    places = [to.axis(axis, x.shape.rank) for axis in axes]
    if any(x.shape[place] not in (None, 1) for place in places):
        to.refuse(f"axes {axes} of shape {tuple(x.shape)}")
    return tf.squeeze(x, places)


def _squeezed(x: Any, axes: Any) -> Any:
    """Return the tensor without the axes that only the run tells."""
    lengths, axes = lengths_of(x), vector(axes)
    places = tf.where(axes < 0, axes + tf.size(lengths, tf.int64), axes)
    ones = tf.reduce_all(tf.gather(lengths, places) == 1)
    tf.debugging.Assert(ones & (tf.size(places) > 0), ["Squeeze of the axes", axes])
    dropped = _marked(places, tf.size(lengths, tf.int64))
    return tf.reshape(x, tf.boolean_mask(lengths, ~dropped))


def _marked(places: Any, count: Any) -> Any:
    """Return which of ``count`` places are among those given."""
    return tf.reduce_any(tf.range(count)[:, None] == places[None, :], 1)


@lowering("Unsqueeze", raw=True)
def unsqueeze(node: Node, to: Builder) -> Any:
    """Return the tensor with new axes of length 1, whose places count in the result."""
    name, axes = node.inputs[0], _axes(node, to)
    more = len(axes) if isinstance(axes, list) else 0
    known = to.graph.value(name).rank
    places = _of_space(to, name, axes, None if known is None else known + more)
    if places is not None:
        x = to.last(name)
        for place in places:
            x = tf.expand_dims(x, place)
        return Last(x)
    x = to.value(name)
    if axes is None or (isinstance(axes, list) and not axes):
        return x
    if not isinstance(axes, list) or x.shape.rank is None:
        return as_told(to, node, _unsqueezed(x, axes))
    rank = x.shape.rank + len(axes)
    places = sorted(to.axis(axis, rank) for axis in axes)
    if len(set(places)) < len(places):
        to.refuse(f"axes {axes}, of which some are the same")
    for place in places:
        x = tf.expand_dims(x, place)
    return x


def _unsqueezed(x: Any, axes: Any) -> Any:
    """Return the tensor with new axes of length 1 that only the run tells."""
    lengths, axes = lengths_of(x), vector(axes)
    rank = tf.size(lengths, tf.int64) + tf.size(axes, tf.int64)
    new = _marked(tf.where(axes < 0, axes + rank, axes), rank)
    told = tf.reduce_sum(tf.cast(new, tf.int32)) == tf.size(axes)
    with tf.control_dependencies([tf.debugging.Assert(told, ["Unsqueeze to the axes", axes])]):
        old = tf.cumsum(tf.cast(~new, tf.int64)) - 1
    ones = tf.ones_like(old)
    padded = tf.concat([lengths, ones[:1]], 0)  # so that there is something to pick from
    return tf.reshape(x, tf.where(new, ones, tf.gather(padded, tf.maximum(old, 0))))


@lowering("Expand", 8)
def expand(node: Node, to: Builder) -> Any:
    """Return the tensor broadcast with a shape, either way."""
    x, aim = to.value(node.inputs[0]), to.numbers(node.inputs[1])
    static = to.graph.value(node.outputs[0]).static
    if static is not None:
        same = x.shape.rank is not None and tuple(x.shape) == static
        return x if same else broadcast(x, vector(static))
    if isinstance(aim, list) and min(aim, default=0) < 0:
        to.refuse(f"lengths {aim}, of which some are negative")
    aim = vector(aim)
    lengths = tf.broadcast_dynamic_shape(lengths_of(x), aim)
    if x.shape.rank is not None and aim.shape[0] is not None:
        lengths = tf.ensure_shape(lengths, [max(x.shape.rank, aim.shape[0])])
    return as_told(to, node, broadcast(x, lengths))


def broadcast(x: Any, lengths: Any) -> Any:
    """Return the tensor repeated along its axes of length 1, and new ones before them."""
    if max(lengths.shape[0] or 0, x.shape.rank or 0) <= _BROADCAST_RANK:
        return tf.broadcast_to(x, lengths)
    own = lengths_of(x)
    own = tf.concat([tf.ones([tf.size(lengths) - tf.size(own)], tf.int64), own], 0)
    fits = tf.reduce_all((own == lengths) | (own == 1))
    tf.debugging.Assert(fits, ["Expand of the lengths", own, lengths])
    return tf.tile(tf.reshape(x, own), tf.where(own == lengths, tf.ones_like(own), lengths))
