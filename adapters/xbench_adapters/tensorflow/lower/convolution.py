"""Convolutions: native ones over images with their channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench.graph.geometry.windows import Length, Windows, known, settled
from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.sliding import (
    channels_last,
    flat,
    framed,
    is_same,
    lengths_of,
    padding_of,
    rule_at,
    widened,
)
from xbench_adapters.tensorflow.lower.widths import NARROW
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.tensors import held
from xbench_adapters.tensorflow.unfolded import filter_of, gpu_is_on

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_FEW = 4
"""Up to how many channels a group is convolved channel by channel: faster up to there."""


def filters(name: str, to: Builder) -> Any:
    """Return a weight with its axes of space first, the others swapped: an array if known."""
    order = [*range(2, to.rank(name)), 1, 0]
    array = to.constant(name)
    if array is None:
        return tf.transpose(to.value(name), order)
    return held(array.transpose(order))


def kernel_of(node: Node, to: Builder, weight: Any) -> list[Length]:
    """Return how many elements a window has along each axis."""
    axes = len(weight.shape) - 2
    if axes not in (1, 2, 3):
        to.refuse(f"{axes} spatial axes")
    if to.rank(node.inputs[0]) != axes + 2:
        to.refuse(f"a weight of {axes + 2} dimensions for {to.rank(node.inputs[0])}")
    kernel = lengths_of(weight, 0, -2)
    given = list(node.attributes.get("kernel_shape") or ())
    if given and known(*kernel) and given != kernel:
        to.refuse(f"kernel_shape {given} for a weight of {kernel}")
    return given or kernel


@lowering("Conv", 1)
def conv(node: Node, to: Builder) -> Last:
    """Return a native convolution, channels last."""
    weight, rule = filters(node.inputs[1], to), rule_at(node, to)
    kernel = kernel_of(node, to, weight)
    x = channels_last(node.inputs[0], to)
    windows = settled(rule, kernel, lengths_of(x))
    bias = to.optional(node.input(2))
    same = rule.kind == "SAME_UPPER"
    return Last(convolved(x, weight, windows, node.attributes["group"], bias, same=same))


def convolved(
    x: Any, weight: Any, windows: Windows, groups: int, bias: Any = None, *, same: bool = False
) -> Any:
    """Return a convolution, channels last.

    Args:
        x: Batch, axes of space, channels.
        weight: Axes of space, the channels of a group, channels of the result.
        windows: How the windows slide.
        groups: Into how many groups channels are split.
        bias: What is added to each channel, or None.
        same: Whether the windows are padded as TensorFlow's ``SAME`` would.
    """
    axes = len(windows.strides)
    if axes == 1:
        found = convolved(flat(x), weight[None], widened(windows), groups, bias, same=same)
        return tf.squeeze(found, 1)
    by_channel = axes == 2 and _by_channel(weight, windows, groups)
    if x.dtype in NARROW and (axes == 3 or by_channel) and not gpu_is_on():  # sums of so few bits
        x_wide, wide = (tf.cast(one, tf.float32) for one in (x, weight))
        more = None if bias is None else tf.cast(bias, tf.float32)
        return tf.cast(convolved(x_wide, wide, windows, groups, more, same=same), x.dtype)
    same = same or is_same(windows, lengths_of(x), windows.ends)
    padding = "SAME" if same else padding_of(windows.ends)
    if padding is None or (axes == 3 and not isinstance(padding, str)):
        x, padding = framed(x, windows.ends), "VALID"
    if axes == 3:
        weight = inflated(weight, windows)
        strides = [1, *windows.strides, 1]
        return _by_group(
            lambda x, w: tf.nn.conv3d(x, filter_of(w), strides, padding), x, weight, groups, bias
        )
    if by_channel:
        return _biased(_depthwise(x, weight, windows, groups, padding), bias)
    options = {"dilations": windows.dilations}
    return _by_group(
        lambda x, w: tf.nn.conv2d(x, filter_of(w), windows.strides, padding, **options),
        x, weight, groups, bias,
    )  # fmt: skip


def _biased(found: Any, bias: Any) -> Any:
    return found if bias is None else tf.nn.bias_add(found, bias)


def _by_group(run: Callable[[Any, Any], Any], x: Any, weight: Any, groups: int, bias: Any) -> Any:
    """Return the results of a convolution of each group.

    TensorFlow has images convolved by groups in one operation, but none with a bias, and adds
    that on its own account; many convolutions, each with its bias, are as fast.
    """
    if groups == 1:
        return _biased(run(x, weight), bias)
    biases = [None] * groups if bias is None else tf.split(bias, groups)
    parts = zip(tf.split(x, groups, -1), _split(weight, groups), biases, strict=True)
    return tf.concat([_biased(run(one, its_own), more) for one, its_own, more in parts], -1)


def _split(weight: Any, groups: int) -> Any:
    if isinstance(weight, np.ndarray):
        return np.split(weight, groups, -1)
    return tf.split(weight, groups, -1)


def _by_channel(weight: Any, windows: Windows, groups: int) -> bool:
    """Return whether convolutions of each channel are the best ones for these windows."""
    if groups == 1 or None in list(weight.shape):
        return False
    steps, inner = set(windows.strides), weight.shape[-2]
    fits = len(steps) == 1 and (steps == {1} or not windows.dilated)
    return fits and bool(inner <= _FEW)


def _depthwise(x: Any, weight: Any, windows: Windows, groups: int, padding: Any) -> Any:
    """Return the sum of a convolution of each group's first channel, of its second, and so on."""
    if not isinstance(padding, str):  # it may end the process: fused with a bias, by oneDNN
        x, padding = framed(x, windows.ends), "VALID"
    inner, strides = weight.shape[-2], [1, *windows.strides, 1]
    shape = [*weight.shape[:2], groups, weight.shape[-1] // groups]
    found = None
    for place in range(inner):
        mine = x if inner == 1 else x[..., place::inner]
        each = filter_of(shaped(weight[:, :, place], shape))
        part = tf.nn.depthwise_conv2d(mine, each, strides, padding, dilations=windows.dilations)
        found = part if found is None else found + part
    return found


def shaped(array: Any, shape: list[Any]) -> Any:
    """Return an array, or a tensor, in another shape."""
    if isinstance(array, np.ndarray):
        return array.reshape(shape)
    return tf.reshape(array, [-1 if length is None else length for length in shape])


def inflated(weight: Any, windows: Windows) -> Any:
    """Return a weight with zeros in the holes of its windows.

    For kernels that know no dilation: they compute more, and the same.
    """
    for axis, dilation in enumerate(windows.dilations):
        if dilation == 1:
            continue
        weight = tf.convert_to_tensor(weight)
        shape = lengths_of(weight, 0, None)
        pads = [(0, 0)] * (len(shape) + 1)
        pads[axis + 1] = (0, dilation - 1)
        apart = tf.pad(tf.expand_dims(weight, axis + 1), pads)
        whole = tf.reshape(apart, [*shape[:axis], shape[axis] * dilation, *shape[axis + 1 :]])
        weight = whole[(slice(None),) * axis + (slice(0, windows.extents[axis]),)]
    return weight


@lowering("CausalConvWithState", 27)
def causal_conv(node: Node, to: Builder) -> tuple[Last, Last]:
    """Return each channel's convolution over what came before, and the end to go on from."""
    activation = node.attributes["activation"]
    if activation not in ("none", "silu", "swish"):
        to.refuse(f"activation {activation!r}")
    weight = filters(node.inputs[1], to)
    if to.rank(node.inputs[1]) != 3 or None in weight.shape:
        to.refuse("a weight of open lengths, or over more than one axis")
    kept = weight.shape[0] - 1
    x = channels_last(node.inputs[0], to)
    if node.input(3):
        padded = tf.concat([to.last(node.inputs[3]), x], 1)
    else:
        padded = tf.pad(x, [(0, 0), (kept, 0), (0, 0)])
    windows = Windows((kept + 1,), (1,), (1,), (0,), (0,))
    found = convolved(padded, weight, windows, weight.shape[2], to.optional(node.input(2)))
    if activation != "none":
        found = tf.nn.silu(found)
    return Last(found), Last(padded[:, tf.shape(padded)[1] - kept :])
