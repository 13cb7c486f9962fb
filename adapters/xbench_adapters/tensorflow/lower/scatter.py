"""Operators that place elements into a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.graph.stand_ins import FLOATS_OF_8_BITS, PACKED
from xbench_adapters.tensorflow.lower.axes import (
    as_told,
    indices_of,
    known_axis,
    length_of,
    lengths_of,
    places_of,
)
from xbench_adapters.tensorflow.lower.index import DEEPEST, check_depth, tuples_of
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_KINDS: dict[str, Callable[..., Any]] = {
    "none": tf.tensor_scatter_nd_update,
    "add": tf.tensor_scatter_nd_add,
    "max": tf.tensor_scatter_nd_max,
    "min": tf.tensor_scatter_nd_min,
}
"""Of products TensorFlow has none."""
_OF_BOOLS = {"add": "max", "mul": "min"}
_SIGN = -(2**63)


def placed(x: Any, places: Any, new: Any, kind: str) -> Any:
    """Return ``x`` with slices replaced or combined at tuples of places, which raise outside.

    Sums and products of booleans are whether any and whether all hold.
    """
    if x.dtype == tf.bool and kind != "none":
        wide = tf.cast(x, tf.int32), places, tf.cast(new, tf.int32), _OF_BOOLS.get(kind, kind)
        return tf.cast(placed(*wide), tf.bool)
    if kind != "mul":
        return _KINDS[kind](x, places, new)
    depth = tf.shape(places)[-1]
    lengths = lengths_of(x)
    count = tf.reduce_prod(lengths[:depth])
    numbers = tf.reshape(tf.range(count), lengths[:depth])
    at = tf.reshape(tf.gather_nd(numbers, places), [-1])  # picking raises outside
    size = tf.reduce_prod(lengths[depth:])
    rows = tf.reshape(new, tf.stack([tf.size(at, tf.int64), size]))
    factors = tf.math.unsorted_segment_prod(rows, at, count)
    return x * tf.reshape(factors, lengths)


def place_along(x: Any, places: Any, new: Any, axis: int, kind: str) -> Any:
    """Return ``x`` with elements replaced or combined at places along an axis."""
    rank = places.shape.rank
    lengths, own = (tf.unstack(tf.cast(tf.shape(one), tf.int64), num=rank) for one in (places, x))
    flat = tf.zeros([], tf.int64)
    for place in range(rank):
        if place == axis:
            at = tf.cast(places, tf.int64)
        else:
            ones = [1] * (rank - place - 1)
            at = tf.reshape(tf.range(lengths[place]), [-1, *ones])
        flat = flat * own[place] + at
    along = tf.cast(places, tf.int64)
    # What is outside along the axis must not be taken for the next row.
    flat = tf.where((along >= 0) & (along < own[axis]), flat, tf.constant(-1, tf.int64))
    found = placed(tf.reshape(x, [-1]), tf.reshape(flat, [-1, 1]), tf.reshape(new, [-1]), kind)
    return tf.reshape(found, tf.shape(x))


def _kind(node: Node, to: Builder) -> str:
    kind: str = node.attributes.get("reduction", "none")
    if kind == "none":
        return kind
    dtype = to.graph.value(node.inputs[0]).dtype
    if kind not in (*_KINDS, "mul"):
        to.refuse(f"reduction {kind!r}")
    if dtype is None or dtype.name in PACKED | FLOATS_OF_8_BITS:
        to.refuse(f"reduction {kind!r} of {dtype}")
    if dtype.name == "object" or (dtype.kind == "c" and kind != "add"):
        to.refuse(f"reduction {kind!r} of {dtype}")
    return kind


def _in_order(node: Node, to: Builder, kind: str, x: Any) -> Any:
    """Return 64 bits without a sign, held with one, in their order; and what was so, back."""
    dtype = to.graph.value(node.inputs[0]).dtype
    ordered = dtype is not None and dtype.name == "uint64" and kind in ("max", "min")
    return tf.bitwise.bitwise_xor(x, tf.constant(_SIGN, tf.int64)) if ordered else x


@lowering("Scatter", 9)
@lowering("ScatterElements", 11)
def scatter_elements(node: Node, to: Builder) -> Any:
    """Return the tensor with elements replaced, or combined, along an axis."""
    data, indices, updates = node.inputs
    axis, kind = to.axis(node.attributes["axis"], to.rank(data)), _kind(node, to)
    if to.rank(indices) != to.rank(data):
        to.refuse("indices of another rank than the data")
    x, new = (_in_order(node, to, kind, to.value(name)) for name in (data, updates))
    found = place_along(x, places_of(to, indices, x, axis), new, axis, kind)
    return as_told(to, node, _in_order(node, to, kind, found))


@lowering("ScatterND", 11)
def scatter_nd(node: Node, to: Builder) -> Any:
    """Return the tensor with slices replaced, or combined, at tuples of indices."""
    data, indices, updates = node.inputs
    kind = _kind(node, to)
    check_depth(to, indices)
    x, new = (_in_order(node, to, kind, to.value(name)) for name in (data, updates))
    found = placed(x, tuples_of(x, indices_of(to, indices)), new, kind)
    return as_told(to, node, _in_order(node, to, kind, found))


@lowering("TensorScatter", 24)
def tensor_scatter(node: Node, to: Builder) -> Any:
    """Return a cache with new elements written along an axis, from its start for each batch."""
    cache, mode = node.inputs[0], node.attributes["mode"]
    if mode not in ("linear", "circular"):
        to.refuse(f"mode {mode!r}")
    axis = known_axis(to, node.attributes["axis"], cache)
    if axis == 0:
        to.refuse("it writes along the batch")
    axis = to.axis(axis, to.rank(cache))
    if axis >= DEEPEST:
        to.refuse(f"axis {axis}, behind more than TensorFlow takes tuples of")
    x, new = to.value(cache), to.value(node.inputs[1])
    places = tf.range(lengths_of(new)[axis])[None, :]
    if node.input(2):
        places += tf.reshape(tf.cast(to.value(node.inputs[2]), tf.int64), [-1, 1])
    if mode == "circular":
        places %= tf.cast(length_of(x, axis), tf.int64)
    return as_told(to, node, tf.tensor_scatter_nd_update(x, _grid(new, places, axis), new))


def _grid(new: Any, places: Any, axis: int) -> Any:
    """Return the tuple of places of each element of the axes of ``new`` up to one of them."""
    lengths = lengths_of(new)[: axis + 1]
    along = tf.reshape(places, [tf.shape(places)[0], *[1] * (axis - 1), tf.shape(places)[1]])
    counted = [
        tf.reshape(tf.range(lengths[place]), [-1, *[1] * (axis - place)]) for place in range(axis)
    ]
    return tf.stack([tf.broadcast_to(one, lengths) for one in (*counted, along)], -1)
