"""Operators that join, repeat, split and cut tensors along their axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.axes import (
    as_told,
    in_last,
    known_axis,
    last_axis,
    length_of,
    lengths_of,
    vector,
    with_last,
)
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_ENDLESS = (2**31 - 1, 2**63 - 1)
"""Ends that mean the last place to some runtimes, and what comes before the first to others."""


@lowering("Tile", 6)
def tile(node: Node, to: Builder) -> Any:
    """Return the tensor repeated along each axis."""
    x, repeats = to.value(node.inputs[0]), to.numbers(node.inputs[1])
    if isinstance(repeats, list) and x.shape.rank not in (None, len(repeats)):
        to.refuse(f"{len(repeats)} repeats for rank {x.shape.rank}")
    return as_told(to, node, tf.tile(x, vector(repeats)))


@lowering("Tile", 1, 5)
def tile_along(node: Node, to: Builder) -> Any:
    """Return the tensor repeated along one axis."""
    count, axis = (to.number(name) for name in node.inputs[1:3])
    rank = to.rank(node.inputs[0])
    places = tf.range(rank) == tf.cast(axis, tf.int32) % rank
    repeats = tf.where(places, tf.cast(count, tf.int64), 1)
    return as_told(to, node, tf.tile(to.value(node.inputs[0]), repeats))


@lowering("Concat")
def concat(node: Node, to: Builder) -> Any:
    """Return the tensors joined along an axis."""
    axis = known_axis(to, node.attributes.get("axis", 1), node.inputs[0])
    if in_last(to, *node.inputs):
        parts = [to.last(name) for name in node.inputs]
        return Last(tf.concat(parts, last_axis(axis, to.rank(node.inputs[0]))))
    return tf.concat([to.value(name) for name in node.inputs], axis)


def _part_lengths(node: Node, to: Builder) -> Any:
    known: list[int] | None = node.attributes.get("split")
    # Version 1 has the lengths as an attribute or as an input.
    takes = node.version == 1 or node.version >= 13
    return to.numbers(node.inputs[1]) if takes and node.input(1) else known


def _even(whole: Any, count: int, *, smaller: bool) -> Any:
    """Return the lengths of ``count`` even parts, of which the last may be smaller if allowed."""
    each = -(-whole // count)
    last = whole - each * (count - 1)
    if isinstance(whole, int):
        fits = last >= 0 and (last == each or smaller)
        return [each] * (count - 1) + [last] if fits else None
    fits = (last >= 0) if smaller else last == each
    tf.debugging.Assert(fits, [f"Split into {count} parts of", whole])
    return tf.stack([each] * (count - 1) + [last])


@lowering("Split")
def split(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return parts along an axis: of the lengths given, or even but for the last."""
    name, outputs = node.inputs[0], len(node.outputs)
    axis = known_axis(to, node.attributes.get("axis", 0), name)
    turned = in_last(to, name)
    x = to.last(name) if turned else to.value(name)
    place = last_axis(axis, to.rank(name)) if turned else axis
    lengths = _part_lengths(node, to)
    if lengths is None:
        whole = length_of(x, place)
        count = node.attributes.get("num_outputs", outputs)
        lengths = _even(whole, count, smaller=node.version >= 18)
        if lengths is None or count != outputs:
            to.refuse(f"{count} parts of {whole}, for {outputs} outputs")
    elif isinstance(lengths, list) and (len(lengths) != outputs or min(lengths, default=0) < 0):
        to.refuse(f"{outputs} parts of lengths {lengths}")
    # Known lengths as they are: LiteRT takes them in 32 bits only.
    told = lengths if isinstance(lengths, list) else vector(lengths)
    parts = tf.split(x, told, place, num=outputs)
    return tuple(Last(one) for one in parts) if turned else tuple(parts)


@lowering("Slice", 10)
def slice_by_inputs(node: Node, to: Builder) -> Any:
    """Return a part of the tensor; steps may be negative."""
    starts, ends = (to.numbers(name) for name in node.inputs[1:3])
    axes = to.numbers(node.inputs[3]) if node.input(3) else None
    steps = to.numbers(node.inputs[4]) if node.input(4) else None
    return _sliced(node, to, starts, ends, axes, steps)


@lowering("Slice", 1, 9)
def slice_by_attributes(node: Node, to: Builder) -> Any:
    """Return a part of the tensor, its bounds given as attributes."""
    bounds = node.attributes["starts"], node.attributes["ends"]
    return _sliced(node, to, *bounds, node.attributes.get("axes") or None, None)


def _sliced(node: Node, to: Builder, starts: Any, ends: Any, axes: Any, steps: Any) -> Any:
    name = node.inputs[0]
    known = all(one is None or isinstance(one, list) for one in (starts, ends, axes, steps))
    if known and (to.has_last(name) or to.raw(name).shape.rank is not None):
        axes = list(range(len(starts))) if axes is None else axes
        steps = [1] * len(starts) if steps is None else steps
        index = _index(to, name, starts, ends, axes, steps)
        if index is not None:
            return _cut(to, name, index)
    x = to.value(name)
    axes = tf.range(tf.size(vector(starts), tf.int64)) if axes is None else vector(axes)
    steps = tf.ones_like(axes) if steps is None else vector(steps)
    return as_told(to, node, cut(x, vector(starts), vector(ends), axes, steps))


def _cut(to: Builder, name: str, index: list[slice]) -> Any:
    """Return a part of a tensor, in the layout that it has."""
    whole = all(one == slice(None) for one in index)
    if in_last(to, name):
        turned = to.last(name)
        return Last(turned if whole else turned[tuple(with_last(index))])
    return to.value(name) if whole else to.value(name)[tuple(index)]


def _index(
    to: Builder,
    name: str,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int],
    steps: Sequence[int],
) -> list[slice] | None:
    """Return a slice for each axis; None if one goes backwards along an open axis."""
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        to.refuse(f"starts {starts}, ends {ends}, axes {axes}, steps {steps}")
    rank = to.rank(name)
    lengths, index = to.graph.value(name).shape or (None,) * rank, [slice(None)] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = to.axis(axis, rank)
        length = lengths[place]
        if step < 0 and end in _ENDLESS:
            to.refuse("a slice backwards to the largest number, on which runtimes differ")
        if isinstance(length, int):
            index[place] = _within(length, start, end, step)
        elif step < 0:
            return None
        else:
            index[place] = slice(_short(start) or None, _short(end), _short(step))
            if index[place] == slice(None, 2**31 - 1, 1):
                index[place] = slice(None)
    return index


def _short(number: int) -> int:
    """Return a number within 32 bits, as good as the one given for lengths within them."""
    return min(max(number, -(2**31) + 1), 2**31 - 1)


def _within(length: int, start: int, end: int, step: int) -> slice:
    """Return a slice of an axis; backwards, unlike Python's, it starts within the axis."""
    if step > 0:
        first, last, _ = slice(start, end).indices(length)
        if (first, last, step) == (0, length, 1):
            return slice(None)
        return slice(first, max(first, last), min(step, max(length, 1)))
    first = min(max(start + length if start < 0 else start, 0), length - 1)
    last = min(max(end + length if end < 0 else end, -1), length - 1)
    if first <= last:
        return slice(0, 0)
    return slice(first, None if last < 0 else last, max(step, -max(length, 1)))


def cut(x: Any, starts: Any, ends: Any, axes: Any, steps: Any) -> Any:
    """Return a part of a tensor whose bounds only the run tells, all as 64-bit integers."""
    lengths = lengths_of(x)
    rank = tf.size(lengths, tf.int64)
    places = tf.where(axes < 0, axes + rank, axes)
    length, forward = tf.gather(lengths, places), steps > 0
    endless = (ends == _ENDLESS[0]) | (ends == _ENDLESS[1])
    tf.debugging.Assert(
        tf.reduce_all(forward | ~endless),
        ["a slice backwards to the largest number, on which runtimes differ"],
    )
    top = tf.where(forward, length, length - 1)
    bottom = tf.where(forward, tf.zeros_like(length), -tf.ones_like(length))
    first = tf.minimum(tf.maximum(tf.where(starts < 0, starts + length, starts), 0), top)
    last = tf.minimum(tf.maximum(tf.where(ends < 0, ends + length, ends), bottom), top)
    last = tf.where(last < 0, -length - 1, last)  # TensorFlow counts -1 from the end

    def placed(base: Any, new: Any) -> Any:
        return tf.tensor_scatter_nd_update(base, places[:, None], new)

    begin, end = placed(tf.zeros_like(lengths), first), placed(lengths, last)
    return tf.strided_slice(x, begin, end, placed(tf.ones_like(lengths), steps))
