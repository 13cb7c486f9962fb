"""Convolutions that each look for their elements at offsets of their own."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.graph.geometry.windows import Length, Windows, settled
from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.convolution import filters, kernel_of
from xbench_adapters.tensorflow.lower.sliding import channels_last, lengths_of, rule_at
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


@lowering("DeformConv", 19)
def deform_conv(node: Node, to: Builder) -> Last:
    """Return a deformable convolution, channels last."""
    weight = filters(node.inputs[1], to)
    if None in list(weight.shape):
        to.refuse("a weight of open lengths")
    x = channels_last(node.inputs[0], to)
    windows = settled(rule_at(node, to), kernel_of(node, to, weight), lengths_of(x))
    groups, shared = node.attributes["group"], node.attributes["offset_group"]
    offset = to.value(node.inputs[2])
    batch, *counts = (lengths_of(offset, 0, None)[axis] for axis in (0, *range(2, len(x.shape))))
    places = _places(offset, windows, [batch, shared], counts)
    found = _between(_by_group(x, shared), places, lengths_of(x))
    if node.input(4):
        mask = tf.reshape(to.value(node.inputs[4]), [batch, shared, -1, 1])
        found *= tf.cast(mask, found.dtype)
    columns = tf.cast(found, x.dtype)
    result = _combined(columns, weight, groups, prod(windows.kernel))
    result = tf.reshape(result, tf.stack([batch, *counts, weight.shape[-1]]))
    bias = to.optional(node.input(3))
    return Last(result if bias is None else tf.nn.bias_add(result, bias))


def _by_group(x: Any, shared: int) -> Any:
    """Return elements by batch, group of offsets, place and channel."""
    batch, channels = lengths_of(x, 0, 1)[0], lengths_of(x, len(x.shape) - 1, None)[0]
    parts = tf.reshape(x, tf.stack([batch, -1, shared, channels // shared]))
    return tf.transpose(parts, [0, 2, 1, 3])


def _places(offset: Any, windows: Windows, front: list[Length], counts: list[Length]) -> list[Any]:
    """Return where to look along each axis, by batch, group, element of a window and window."""
    axes, taps = len(counts), prod(windows.kernel)
    # Half floats count no further than 2048 without a gap: places need more.
    dtype = tf.float64 if offset.dtype == tf.float64 else tf.float32
    wide = tf.reshape(tf.cast(offset, dtype), tf.stack([*front, taps, axes, *counts]))
    found = []
    for place in range(axes):
        starts = tf.range(counts[place]) * windows.strides[place] - windows.before[place]
        reach = tf.range(windows.kernel[place]) * windows.dilations[place]
        shape = [1] * (2 * axes)
        shape[place] = windows.kernel[place]
        shape[axes + place] = -1
        usual = tf.reshape(reach[:, tf.newaxis] + starts, shape)
        whole = tf.broadcast_to(usual, tf.stack([*windows.kernel, *counts]))
        usual = tf.reshape(tf.cast(whole, dtype), tf.stack([taps, *counts]))
        found.append(tf.reshape(wide[:, :, :, place] + usual, tf.stack([*front, -1])))
    return found


def _between(x: Any, places: list[Any], lengths: list[Length]) -> Any:
    """Return elements at places between elements, linear along each axis, zero outside.

    Args:
        x: Batch, groups, elements of all axes of space, channels.
        places: For each axis batch, groups, what is looked for.
        lengths: Those of the axes of space.
    """
    low = [tf.floor(one) for one in places]
    found: Any = None
    for corner in product((0, 1), repeat=len(lengths)):
        share: Any = None
        index: Any = None
        for place, start, length, up in zip(places, low, lengths, corner, strict=True):
            at = start + up
            last = tf.cast(length - 1, at.dtype)
            mine = tf.where((at >= 0) & (at <= last), 1 - tf.abs(place - at), 0)
            share = mine if share is None else share * mine
            along = tf.cast(tf.clip_by_value(at, 0, last), tf.int32)
            index = along if index is None else index * length + along
        picked = tf.cast(tf.gather(x, index, batch_dims=2), share.dtype)
        part = picked * share[..., tf.newaxis]
        found = part if found is None else found + part
    return found


def _combined(columns: Any, weight: Any, groups: int, taps: int) -> Any:
    """Return the products of the elements found with a weight: batch and windows, channels.

    Args:
        columns: Batch, groups of offsets, elements of windows and windows, channels.
        weight: Axes of space, the channels of a group, channels of the result.
        groups: The number of groups of the weight.
        taps: How many elements a window has.
    """
    batch, shared, _, channels = lengths_of(columns, 0, None)
    inner, outer = weight.shape[-2], weight.shape[-1]
    apart = tf.reshape(columns, tf.stack([batch, shared, taps, -1, channels]))
    rows = tf.transpose(apart, [0, 3, 2, 1, 4])  # batch, window, element, channel in two axes
    if groups == 1:
        flat = tf.reshape(rows, [-1, taps * inner])
        return tf.matmul(flat, tf.reshape(weight, [taps * inner, outer]))
    parts = tf.split(tf.reshape(rows, [-1, taps, groups * inner]), groups, 2)
    weights = tf.split(tf.reshape(weight, [taps * inner, outer]), groups, 1)
    found = [
        tf.matmul(tf.reshape(part, [-1, taps * inner]), one)
        for part, one in zip(parts, weights, strict=True)
    ]
    return tf.concat(found, 1)
