"""Operators that make tensors longer, or shorter, at the ends of their axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.axes import (
    as_told,
    in_last,
    length_of,
    lengths_of,
    vector,
    with_last,
)
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_MODES = frozenset({"constant", "reflect", "edge", "wrap"})
_MIRRORED_RANK = 5
"""Up to this rank TensorFlow mirrors all axes at once."""
_PADDED_RANK = 6
"""Up to this rank it pads all axes at once; what is not padded between them counts as one."""


def _fill(to: Builder, name: str) -> Any:
    """Return the one element to pad with; None for zero, which is the default."""
    array = to.constant(name) if name else None
    if not name or (array is not None and array.dtype != object and not array.any()):
        return None
    return tf.reshape(to.value(name), [])


@lowering("Pad", 11)
def pad_by_inputs(node: Node, to: Builder) -> Any:
    """Return the tensor made longer, or shorter where a length is negative, at its ends."""
    axes = to.numbers(node.inputs[3]) if node.input(3) else None
    return _padded(node, to, to.numbers(node.inputs[1]), axes, _fill(to, node.input(2)))


@lowering("Pad", 1, 10)
def pad_by_attributes(node: Node, to: Builder) -> Any:
    """Return the tensor made longer or shorter, its lengths given as attributes."""
    pads = node.attributes.get("pads", node.attributes.get("paddings"))
    value = node.attributes["value"]
    fill = tf.cast(value, to.dtype(node.inputs[0])) if value else None
    return _padded(node, to, list(pads or []), None, fill)


def _padded(node: Node, to: Builder, pads: Any, axes: Any, value: Any) -> Any:
    name, mode = node.inputs[0], node.attributes["mode"]
    if mode not in _MODES:
        to.refuse(f"mode {mode!r}")
    if isinstance(pads, list) and (axes is None or isinstance(axes, list)):
        places = list(range(to.rank(name))) if axes is None else axes
        if len(pads) != 2 * len(places):
            to.refuse(f"{len(pads)} lengths for {len(places)} axes")
        pairs = list(zip(pads[: len(places)], pads[len(places) :], strict=True))
        return _padded_as_known(node, to, _ends(to, name, places, pairs), mode, value)
    x, rank = to.value(name), to.rank(name)
    before, after = tf.unstack(tf.reshape(vector(pads), [2, -1]), num=2)
    if axes is not None:
        before, after = (_spread(one, vector(axes), rank) for one in (before, after))
    return as_told(to, node, padded(x, before, after, mode, value))


def _ends(
    to: Builder, name: str, axes: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the lengths before and after each axis of ``name``."""
    rank = to.rank(name)
    found = [(0, 0)] * rank
    for axis, pair in zip(axes, pairs, strict=True):
        found[to.axis(axis, rank)] = pair
    lengths = to.graph.value(name).shape or ()
    for dim, pair in zip(lengths, found, strict=False):
        if isinstance(dim, int) and dim + sum(min(one, 0) for one in pair) < 0:
            to.refuse(f"{pair} at the ends of an axis of {dim}")
    return found


def _spread(lengths: Any, axes: Any, rank: int) -> Any:
    """Return lengths for every axis, from those of some."""
    places = tf.where(axes < 0, axes + rank, axes)
    return tf.tensor_scatter_nd_update(tf.zeros([rank], tf.int64), places[:, None], lengths)


def _padded_as_known(
    node: Node, to: Builder, ends: list[tuple[int, int]], mode: str, value: Any
) -> Any:
    """Return the tensor padded by lengths that are known, in the layout that it has."""
    name = node.inputs[0]
    if in_last(to, name):
        ends = with_last(ends)
        return Last(_padded_by(to, to.last(name), ends, mode, value))
    return as_told(to, node, _padded_by(to, to.value(name), ends, mode, value))


def _padded_by(to: Builder, x: Any, ends: list[tuple[int, int]], mode: str, value: Any) -> Any:
    lengths = [x.shape[place] for place in range(len(ends))]
    if any(one < 0 for pair in ends for one in pair):
        if None in lengths:
            left = lengths_of(x) + [sum(min(one, 0) for one in pair) for pair in ends]
            tf.debugging.Assert(tf.reduce_all(left >= 0), ["Pad by less than nothing", ends])
        inner = [slice(max(-first, 0) or None, min(last, 0) or None) for first, last in ends]
        x = x[tuple(inner)]
        ends = [(max(first, 0), max(last, 0)) for first, last in ends]
        lengths = [x.shape[place] for place in range(len(ends))]
    if not any(one for pair in ends for one in pair):
        return x
    if mode == "constant":
        return _filled(x, ends, value)
    if any(dim == 0 and any(pair) for dim, pair in zip(lengths, ends, strict=True)):
        to.refuse(f"mode {mode!r} of an axis without elements")
    once = all(
        pair == (0, 0) or (dim is not None and max(pair) < dim)
        for dim, pair in zip(lengths, ends, strict=True)
    )
    if mode == "reflect" and once and len(ends) <= _MIRRORED_RANK and x.dtype != tf.string:
        return tf.pad(x, ends, mode="REFLECT")
    for place, pair in enumerate(ends):
        if any(pair):
            x = tf.gather(x, places_copied(length_of(x, place), *pair, mode), axis=place)
    return x


def _filled(x: Any, ends: Any, value: Any) -> Any:
    """Return the tensor amid one value, or zeros, as long as told for each end of each axis."""
    if x.shape.rank > _PADDED_RANK:
        for place in range(x.shape.rank):
            only = np.eye(x.shape.rank, dtype=np.int64)[place][:, None] * ends
            x = tf.pad(x, only) if value is None else tf.pad(x, only, constant_values=value)
        return x
    return tf.pad(x, ends) if value is None else tf.pad(x, ends, constant_values=value)


def places_copied(length: Any, before: Any, after: Any, mode: str) -> Any:
    """Return which places a padded axis shows, all as numbers or all as tensors."""
    kit: Any = np if isinstance(length, int) else tf
    if kit is np:
        places: Any = np.arange(-before, length + after)
    else:
        tf.debugging.Assert(
            (length > 0) | ((before <= 0) & (after <= 0)), ["Pad of an axis without elements"]
        )
        places = tf.range(-before, length + after, dtype=tf.int64)
    if mode == "edge":
        return kit.maximum(kit.minimum(places, length - 1), 0)
    if mode == "wrap":
        return places % kit.maximum(length, 1)
    period = kit.maximum(2 * length - 2, 1)
    places = places % period
    return kit.where(places >= length, period - places, places)


def padded(x: Any, before: Any, after: Any, mode: str, value: Any) -> Any:
    """Return a tensor padded by lengths that only the run tells, one for each axis."""
    cut = [tf.maximum(-one, 0) for one in (before, after)]
    more = [tf.maximum(one, 0) for one in (before, after)]
    left = lengths_of(x) - cut[0] - cut[1]
    tf.debugging.Assert(tf.reduce_all(left >= 0), ["Pad by less than nothing", before, after])
    x = tf.slice(x, cut[0], left)
    if mode == "constant":
        return _filled(x, tf.stack(more, 1), value)
    for place in range(x.shape.rank):
        shown = places_copied(left[place], more[0][place], more[1][place], mode)
        x = tf.gather(x, shown, axis=place)
    return x


def _around(length: int, aim: int) -> tuple[int, int]:
    """Return what to add before and after; what is cut or added unevenly is so at the end."""
    more = aim - length
    before = more // 2 if more >= 0 else -(-more // 2)
    return before, more - before


@lowering("CenterCropPad", 18)
def center_crop_pad(node: Node, to: Builder) -> Any:
    """Return the middle of the tensor, or the tensor amid zeros, in the lengths given."""
    name, aim, axes = node.inputs[0], to.numbers(node.inputs[1]), node.attributes.get("axes")
    rank = to.rank(name)
    places = [to.axis(axis, rank) for axis in (range(rank) if axes is None else axes)]
    shape = to.graph.value(name).static
    if shape is not None and isinstance(aim, list):
        if len(aim) != len(places):
            to.refuse(f"{len(aim)} lengths for {len(places)} axes")
        pairs = [_around(shape[place], length) for place, length in zip(places, aim, strict=True)]
        return _padded_as_known(node, to, _ends(to, name, places, pairs), "constant", None)
    x, at = to.value(name), vector(places)
    more = vector(aim) - tf.gather(lengths_of(x), at)
    before = tf.where(more >= 0, more // 2, -(-more // 2))
    first, last = (_spread(one, at, rank) for one in (before, more - before))
    return as_told(to, node, padded(x, first, last, "constant", None))
