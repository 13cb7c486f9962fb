"""Operators that order elements, or go through them in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.graph.stand_ins import way
from xbench_adapters.tensorflow.lower.axes import as_told, known_axis, lengths_of
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.stand_in import stand_in

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


def first_largest(x: Any, count: Any, *, largest: bool) -> tuple[Any, Any]:
    """Return the first elements of the last axis in order, and their places; the lower first."""
    values, places = tf.math.top_k(x if largest else _backwards(x), tf.cast(count, tf.int32))
    return values if largest else _backwards(values), tf.cast(places, tf.int64)


def _backwards(x: Any) -> Any:
    """Return numbers in the opposite order; of whole ones the bits, since one has no negative."""
    return -x if x.dtype.is_floating else tf.bitwise.invert(x)


@lowering("TopK", 1)
def top_k(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the largest or smallest elements along an axis, in order, and their places."""
    data = node.inputs[0]
    rank, x = to.rank(data), to.value(data)
    axis = to.axis(node.attributes["axis"], rank)
    count = node.attributes["k"] if node.version < 10 else to.number(node.inputs[1])
    length = x.shape[axis]
    if isinstance(count, int) and length is not None and count > length:
        to.refuse(f"{count} elements of {length}")
    largest = bool(node.attributes.get("largest", 1))
    if axis == rank - 1:
        found = first_largest(x, count, largest=largest)
    else:
        order = list(range(rank))
        order[axis], order[-1] = order[-1], order[axis]
        turned = first_largest(tf.transpose(x, order), count, largest=largest)
        found = tf.transpose(turned[0], order), tf.transpose(turned[1], order)
    return tuple(as_told(to, node, one, place) for place, one in enumerate(found[: _wanted(node)]))


def _wanted(node: Node) -> int:
    return len(node.outputs)


@lowering("CumSum", 11)
@lowering("CumProd", 26)
def cumulative(node: Node, to: Builder) -> Any:
    """Return running sums or products along an axis."""
    axis = to.number(node.inputs[1])
    if isinstance(axis, int):
        axis = known_axis(to, axis, node.inputs[0])
    function = tf.cumsum if node.operator == "CumSum" else tf.math.cumprod
    exclusive, reverse = bool(node.attributes["exclusive"]), bool(node.attributes["reverse"])
    return function(to.value(node.inputs[0]), axis, exclusive=exclusive, reverse=reverse)


@lowering("Unique", 11, raw=True)
def unique(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the distinct elements or slices, their first places, inverse places and counts."""
    data, dtype = node.inputs[0], to.graph.value(node.inputs[0]).dtype
    x, axis = to.value(data), node.attributes.get("axis")
    if dtype is not None and dtype.kind == "c":
        to.refuse("complex numbers have no order")
    name = x.dtype.name if dtype is None else dtype.name
    found = way(name, node.operator)
    if found is None and name != "object":
        to.refuse(f"TensorFlow has no such arithmetic for {name}")
    standing = None if found is None else stand_in(name, found)
    x = x if standing is None else standing.into(x)
    if x.dtype == tf.bool:
        x = tf.cast(x, tf.uint8)
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    axis = to.axis(axis, x.shape.rank if x.shape.rank is not None else to.rank(data))
    values, *rest = distinct(x, axis, ordered=bool(node.attributes["sorted"]))
    values = values if standing is None else standing.back(values)
    values = tf.cast(values, to.raw(data).dtype) if values.dtype != tf.string else values
    results = (values, *rest)[: len(node.outputs)]
    return tuple(as_told(to, node, one, place) for place, one in enumerate(results))


def distinct(x: Any, axis: int, *, ordered: bool) -> tuple[Any, Any, Any, Any]:
    """Return each slice once, where it is first, which one each place has, and how often.

    Args:
        x: The elements.
        axis: The axis of the slices.
        ordered: Whether slices come in ascending order, else as they first appear.
    """
    values, which, counts = tf.raw_ops.UniqueWithCountsV2(x=x, axis=[axis], out_idx=tf.int64)
    places = tf.range(tf.size(which, tf.int64))
    first = tf.math.unsorted_segment_min(places, which, tf.size(counts, tf.int64))
    if ordered:
        order = _in_rows(values, axis)
        number = tf.range(tf.size(order, tf.int64))
        rank = tf.tensor_scatter_nd_update(tf.zeros_like(number), order[:, None], number)
        values, which = tf.gather(values, order, axis=axis), tf.gather(rank, which)
        first, counts = tf.gather(first, order), tf.gather(counts, order)
    return values, first, which, counts


def _in_rows(x: Any, axis: int) -> Any:
    """Return the order in which slices ascend, their first elements before the others."""
    rank = x.shape.rank
    front = tf.transpose(x, [axis, *(one for one in range(rank) if one != axis)])
    count = lengths_of(front)[0]
    if x.dtype == tf.string:
        front = _characters(front)
    size = tf.reduce_prod(lengths_of(front)[1:])
    columns = tf.transpose(tf.reshape(front, tf.stack([count, size])))

    def once_more(number: Any, order: Any) -> tuple[Any, Any]:
        # Each pass keeps the order of the ones before among what is the same.
        keys = tf.gather(columns[number], order)
        return number - 1, tf.gather(order, tf.argsort(keys, stable=True))

    _, order = tf.while_loop(
        lambda number, _: number >= 0,
        once_more,
        (size - 1, tf.range(count)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
    )
    return order


def _characters(texts: Any) -> Any:
    """Return the bytes of text along a new last axis, zeros behind each end.

    The bytes of UTF-8 are in the order of the characters' numbers.
    """
    longest = tf.maximum(tf.reduce_max(tf.strings.length(texts)), 1)
    return tf.io.decode_raw(texts, tf.uint8, fixed_length=longest)
