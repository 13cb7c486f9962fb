"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.places import in_last, known_axis, known_rank, length
from xbench_adapters.tensorflow.lower.widths import in_float32
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

Function = Callable[[Any, Any, bool], Any]
"""Takes a tensor, its axes as a list or a tensor, and whether these stay."""


def _count(x: Any, axes: Any) -> Any:
    """Return how many elements go into each result, in 64 bits."""
    return tf.reduce_prod(tf.gather(tf.shape(x, tf.int64), tf.cast(axes, tf.int32) % tf.rank(x)))


def _mean(x: Any, axes: Any, keeps: bool) -> Any:
    if x.dtype.is_floating:
        return tf.reduce_mean(x, axes, keeps)
    summed = tf.reduce_sum(tf.cast(x, tf.int64), axes, keeps)
    return tf.cast(tf.truncatediv(summed, _count(x, axes)), x.dtype)


def _l1(x: Any, axes: Any, keeps: bool) -> Any:
    return tf.reduce_sum(tf.math.abs(x), axes, keeps)


def _l2(x: Any, axes: Any, keeps: bool) -> Any:
    squares = tf.reduce_sum(tf.math.square(x), axes, keeps)
    if x.dtype.is_floating:
        return tf.math.sqrt(squares)
    return tf.cast(tf.math.sqrt(tf.cast(squares, tf.float64)), x.dtype)


def _log_sum(x: Any, axes: Any, keeps: bool) -> Any:
    return tf.math.log(tf.reduce_sum(x, axes, keeps))


def _sum_square(x: Any, axes: Any, keeps: bool) -> Any:
    return tf.reduce_sum(tf.math.square(x), axes, keeps)


def _largest(x: Any, axes: Any, keeps: bool) -> Any:
    return (tf.reduce_any if x.dtype == tf.bool else tf.reduce_max)(x, axes, keeps)


def _smallest(x: Any, axes: Any, keeps: bool) -> Any:
    return (tf.reduce_all if x.dtype == tf.bool else tf.reduce_min)(x, axes, keeps)


def _mean_of_bits(x: Any, axes: Any, keeps: bool) -> Any:
    """Return means, cut to whole numbers, of numbers without a sign, as bits of 64."""
    summed = tf.bitcast(tf.reduce_sum(x, axes, keeps), tf.uint64)
    count = tf.cast(_count(x, axes), tf.uint64)
    return tf.bitcast(tf.truncatediv(summed, count), tf.int64)


def _root_of_bits(x: Any, axes: Any, keeps: bool) -> Any:
    """Return roots of sums of squares of numbers without a sign, as bits of 64."""
    squares = tf.bitcast(tf.reduce_sum(tf.math.square(x), axes, keeps), tf.uint64)
    return tf.cast(tf.math.sqrt(tf.cast(squares, tf.float64)), tf.int64)


_FUNCTIONS: dict[str, tuple[int, Function]] = {
    "ReduceL1": (18, _l1),
    "ReduceL2": (18, _l2),
    "ReduceLogSum": (18, _log_sum),
    "ReduceLogSumExp": (18, tf.reduce_logsumexp),
    "ReduceMax": (18, _largest),
    "ReduceMean": (18, _mean),
    "ReduceMin": (18, _smallest),
    "ReduceProd": (18, tf.reduce_prod),
    "ReduceSum": (13, tf.reduce_sum),
    "ReduceSumSquare": (18, _sum_square),
}
"""By operator: the first version that takes its axes as an input, and the function."""

_OF_BITS: dict[str, Function] = {
    "ReduceL1": tf.reduce_sum,
    "ReduceL2": _root_of_bits,
    "ReduceMean": _mean_of_bits,
}
"""The function where the elements are bits of 64 that stand for numbers without a sign."""


def _function(node: Node, to: Builder) -> Function:
    """Return what reduces the node's input, in a type with bits enough."""
    name, function = node.inputs[0], _FUNCTIONS[node.operator][1]
    dtype = to.graph.value(name).dtype
    if node.operator in ("ReduceLogSum", "ReduceLogSumExp") and not to.floating(name):
        to.refuse("whole numbers")
    if dtype is not None and dtype.name == "uint64":
        return _OF_BITS.get(node.operator, function)
    return in_float32(function)


def _reduced(node: Node, to: Builder, axes: Any) -> Any:
    """Return a reduction over axes: a list, none of them, or a tensor."""
    name, function = node.inputs[0], _function(node, to)
    rank, keeps = known_rank(to, name), bool(node.attributes["keepdims"])
    idle = bool(node.attributes.get("noop_with_empty_axes", 0))
    if tf.is_tensor(axes):
        return function(to.value(name), axes if idle else _all_if_none(axes, to.value(name)), keeps)
    if not axes and idle:
        return function(to.value(name), [], keeps)
    if not axes and rank is None:
        x = to.value(name)
        return function(x, tf.range(tf.rank(x)), keeps)
    places = list(range(rank or 0))
    if axes:
        places = list(axes) if rank is None else [to.axis(axis, rank) for axis in axes]
    if rank is not None and to.has_last(name) and to.floating(name):
        found = _in_last(to.last(name), sorted(places), rank, function, keeps)
        if found is not None:
            return found
    return function(to.value(name), places, keeps)


def _in_last(x: Any, axes: list[int], rank: int, function: Function, keeps: bool) -> Any:
    """Return a reduction of a tensor with its channels last, or None where it must be turned."""
    moved = [in_last(axis, rank) for axis in axes]
    if keeps:
        return Last(function(x, moved, keeps))
    left = [axis for axis in range(rank) if axis not in axes]
    if 1 not in left or not any(axis > 1 for axis in left):
        return function(x, moved, keeps)  # what is left lies in the same order in both layouts
    return Last(function(x, moved, keeps)) if 0 in left else None


def _all_if_none(axes: Any, x: Any) -> Any:
    """Return axes, or all of them where there are none."""
    if axes.shape.num_elements():
        return axes
    every = tf.cast(tf.range(tf.rank(x)), axes.dtype)
    if axes.shape.num_elements() == 0:
        return every
    return tf.cond(tf.equal(tf.size(axes), 0), lambda: every, lambda: axes)


def _register(operator: str, by_input: int) -> None:
    @lowering(operator, by_input)
    def from_input(node: Node, to: Builder) -> Any:
        return _reduced(node, to, to.numbers(node.inputs[1]) if node.input(1) else None)

    @lowering(operator, 1, by_input - 1)
    def from_attribute(node: Node, to: Builder) -> Any:
        return _reduced(node, to, node.attributes.get("axes"))


for _operator, (_by_input, _) in _FUNCTIONS.items():
    _register(_operator, _by_input)


def _extreme(function: Callable[..., Any]) -> Callable[[Node, Builder], Any]:
    def lowered(node: Node, to: Builder) -> Any:
        """Return the place of an extreme element: of equals the first, or the last."""
        name, keeps = node.inputs[0], bool(node.attributes["keepdims"])
        axis, rank = known_axis(to, node.attributes["axis"], name), known_rank(to, name)
        last = bool(node.attributes.get("select_last_index", 0))
        if rank is not None and axis == 1 and to.has_last(name) and to.floating(name):
            found = _place(function, to.last(name), rank - 1, last)
            return Last(tf.expand_dims(found, -1)) if keeps else found
        found = _place(function, to.value(name), axis, last)
        return tf.expand_dims(found, axis) if keeps else found

    return lowered


def _place(function: Callable[..., Any], x: Any, axis: int, last: bool) -> Any:
    if not last:
        return function(x, axis, tf.int64)
    found = function(tf.reverse(x, [axis]), axis, tf.int64)
    return tf.cast(length(x, axis), tf.int64) - 1 - found


lowering("ArgMax", 1)(_extreme(tf.math.argmax))
lowering("ArgMin", 1)(_extreme(tf.math.argmin))
