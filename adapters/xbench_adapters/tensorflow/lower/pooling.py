"""Poolings: native ones over images with their channels last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.graph.geometry.windows import (
    EMPTY,
    GAPS,
    counted_of,
    counts_of,
    covered,
    gaps_of,
    known,
    settled,
)
from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.pool_windows import (
    Pool,
    largest,
    largest_and_places,
    mean,
    norm,
    numbered,
    power,
)
from xbench_adapters.tensorflow.lower.sliding import (
    channels_last,
    demand,
    lengths_of,
    rule_at,
)
from xbench_adapters.tensorflow.lower.widths import in_float32
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


def pool_of(node: Node, to: Builder) -> Pool:
    """Return the input and how the node's windows slide over it."""
    kernel, rule = _kernel(node, to), rule_at(node, to)
    x = channels_last(node.inputs[0], to)
    lengths = lengths_of(x)
    windows = settled(rule, kernel, lengths)
    for gap in gaps_of(rule, windows, lengths):
        demand(to, -gap, -1, GAPS)
    counts = counts_of(windows, lengths, ceil=bool(node.attributes.get("ceil_mode", 0)))
    shape = to.graph.value(node.outputs[0]).shape
    for place, inferred in enumerate((shape or ())[2:]):
        count = counts[place]
        if isinstance(inferred, int) and known(count) and count != inferred:
            to.refuse(f"its extent is {inferred} by inference and {count} by its windows")
    return Pool(x, windows, lengths, counts, same=rule.kind == "SAME_UPPER")


def _kernel(node: Node, to: Builder) -> tuple[int, ...]:
    kernel = tuple(node.attributes.get("kernel_shape") or ())
    if not kernel:
        to.refuse("without kernel_shape")
    rank = to.rank(node.inputs[0])
    if rank != len(kernel) + 2:
        to.refuse(f"kernel_shape {kernel} for {rank} dimensions")
    return kernel


def _all_covered(pool: Pool, to: Builder, *, pads: bool) -> None:
    """Refuse windows over nothing that counts; stop a run that has some."""
    if covered(pool.windows):
        return
    for place, count in enumerate(pool.counts):
        if known(count) and count < 1:
            continue
        numbers = numbered(count)
        found = counted_of(pool.windows, place, pool.lengths[place], numbers, pads=pads)
        least = int(found.min()) if known(count, pool.lengths[place]) else tf.reduce_min(found)
        demand(to, least, 1, EMPTY)


@lowering("MaxPool", 1)
def max_pool(node: Node, to: Builder) -> Any:
    """Return the largest element of each window, and its place; padding never wins."""
    pool = pool_of(node, to)
    _all_covered(pool, to, pads=False)
    if not node.wants(1):
        return Last(largest(pool))
    by_columns = bool(node.attributes.get("storage_order", 0))
    return tuple(map(Last, largest_and_places(pool, by_columns=by_columns)))


@lowering("AveragePool", 1)
def average_pool(node: Node, to: Builder) -> Last:
    """Return the mean of each window, over the elements that count."""
    pool, pads = pool_of(node, to), bool(node.attributes.get("count_include_pad", 0))
    _all_covered(pool, to, pads=pads)
    return Last(mean(pool, pads=pads))


@lowering("LpPool", 1)
def lp_pool(node: Node, to: Builder) -> Last:
    """Return the Lp norm of each window."""
    return Last(norm(pool_of(node, to), _order(node, to)))


def _order(node: Node, to: Builder) -> float:
    p = float(node.attributes["p"])
    if p <= 0:
        to.refuse(f"a norm of order {p}")
    return p


def _over(node: Node, to: Builder) -> tuple[Any, list[int], bool]:
    """Return the input as it is laid out, its axes of space, and whether channels are last."""
    name = node.inputs[0]
    rank = to.rank(name)
    if rank < 3:
        to.refuse("it has no spatial axes")
    if to.has_last(name):
        return to.last(name), list(range(1, rank - 1)), True
    return to.value(name), list(range(2, rank)), False


@lowering("GlobalAveragePool", 1)
def global_average_pool(node: Node, to: Builder) -> Any:
    """Return the mean over all spatial axes, which stay with length 1."""
    x, axes, last = _over(node, to)
    found = tf.reduce_mean(x, axes, keepdims=True)
    return Last(found) if last else found


@lowering("GlobalMaxPool", 1)
def global_max_pool(node: Node, to: Builder) -> Any:
    """Return the maximum over all spatial axes, which stay with length 1."""
    x, axes, last = _over(node, to)
    found = tf.reduce_max(x, axes, keepdims=True)
    return Last(found) if last else found


@lowering("GlobalLpPool", 1)
def global_lp_pool(node: Node, to: Builder) -> Any:
    """Return the Lp norm over all spatial axes, which stay with length 1."""
    x, axes, last = _over(node, to)
    found = in_float32(_global_norm)(x, axes, _order(node, to))
    return Last(found) if last else found


def _global_norm(x: Any, axes: list[int], p: float) -> Any:
    total = tf.reduce_sum(power(p)(tf.abs(x)), axes, keepdims=True)
    return power(1 / p)(total)


@lowering("MaxUnpool", 9)
def max_unpool(node: Node, to: Builder) -> Any:
    """Return zeros with each element at the place that `MaxPool` found it at."""
    kernel, (name, places) = _kernel(node, to), node.inputs[:2]
    axes = len(kernel)
    strides = tuple(node.attributes.get("strides") or ()) or (1,) * axes
    pads = tuple(node.attributes.get("pads") or ()) or (0,) * (2 * axes)
    last = to.has_last(name) and to.has_last(places)
    both = [to.last(one) if last else to.value(one) for one in (name, places)]
    order = [0, axes + 1, *range(1, axes + 1)] if last else list(range(axes + 2))
    found = lengths_of(both[0], 0, None)
    batch, channels, *lengths = (found[axis] for axis in order)
    whole = [
        (length - 1) * strides[place] + kernel[place] - pads[place] - pads[axes + place]
        for place, length in enumerate(lengths)
    ]
    shape = [batch, channels, *whole]
    if node.input(2):
        to.need(node.inputs[2], "output_shape")
    if node.input(2) and not (known(*shape) and to.numbers(node.inputs[2]) == shape):
        to.refuse("an output_shape of other lengths: ONNX's tests and runtimes differ on it")
    size = shape[0]
    for length in shape[1:]:
        size = size * length
    values, at = (tf.reshape(one, [-1]) for one in both)
    zeros = tf.zeros([size], values.dtype)
    return tf.reshape(tf.tensor_scatter_nd_update(zeros, at[:, tf.newaxis], values), shape)
