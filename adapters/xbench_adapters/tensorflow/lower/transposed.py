"""Transposed convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.graph.geometry.windows import (
    SHORT,
    Ends,
    Ints,
    Length,
    Windows,
    known,
)
from xbench.graph.geometry.windows import transposed as windows_of
from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.convolution import filters, inflated, kernel_of, shaped
from xbench_adapters.tensorflow.lower.sliding import (
    channels_last,
    demand,
    flat,
    framed,
    lengths_of,
    padding_of,
    refusing,
    rule_at,
    widened,
)
from xbench_adapters.tensorflow.lower.widths import NARROW
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.unfolded import filter_of, gpu_is_on

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


@lowering("ConvTranspose", 1)
def conv_transpose(node: Node, to: Builder) -> Last:
    """Return a transposed convolution, channels last."""
    weight, rule = filters(node.inputs[1], to), rule_at(node, to)
    kernel = kernel_of(node, to, weight)
    x = channels_last(node.inputs[0], to)
    extra = tuple(node.attributes.get("output_padding") or ()) or (0,) * len(kernel)
    wanted = tuple(node.attributes.get("output_shape") or ())
    with refusing(to):
        windows = windows_of(rule, kernel, lengths_of(x), extra, wanted)
    for stride, (start, end) in zip(windows.strides, windows.ends, strict=True):
        if wanted and not known(start, end):
            demand(to, start + end, 1 - stride, SHORT)
    found = transposed(x, weight, windows, extra, node.attributes["group"])
    bias = to.optional(node.input(2))
    return Last(found if bias is None else tf.nn.bias_add(found, bias))


def transposed(x: Any, weight: Any, windows: Windows, extra: Ints, groups: int) -> Any:
    """Return a transposed convolution, channels last.

    Args:
        x: Batch, axes of space, channels.
        weight: Axes of space, the channels of a group of the result, channels.
        windows: How the windows slide; their padding is cut off the result.
        extra: By how much the result is longer at its end.
        groups: Into how many groups channels are split.
    """
    if x.dtype in NARROW and not gpu_is_on():  # the kernels sum in so few bits
        x_wide, wide = (tf.cast(one, tf.float32) for one in (x, weight))
        return tf.cast(transposed(x_wide, wide, windows, extra, groups), x.dtype)
    axes = len(extra)
    if axes == 1:
        found = transposed(flat(x), weight[None], widened(windows), (0, *extra), groups)
        return tf.squeeze(found, 1)
    reach = [
        (length - 1) * stride + extent
        for length, stride, extent in zip(
            lengths_of(x), windows.strides, windows.extents, strict=True
        )
    ]
    if windows.dilated:
        weight = inflated(weight, windows)
    padding = padding_of(windows.ends) if axes == 2 else None
    fits = all(0 <= more < stride for more, stride in zip(extra, windows.strides, strict=True))
    if padding is None or not fits:
        whole = _grouped(x, weight, windows.strides, reach, "VALID", groups)
        return framed(whole, _ends(windows, extra))
    lengths = [
        length - start - end + more
        for length, (start, end), more in zip(reach, windows.ends, extra, strict=True)
    ]
    return _grouped(x, weight, windows.strides, lengths, padding, groups)


def _ends(windows: Windows, extra: Ints) -> Ends:
    """Return what is put around the whole result, or is cut off it."""
    pairs = zip(windows.ends, extra, strict=True)
    return [(-start, more - end) for (start, end), more in pairs]


def _grouped(
    x: Any, weight: Any, strides: Ints, lengths: list[Length], padding: Any, groups: int
) -> Any:
    """Return native transposed convolutions, group by group: TensorFlow has none with groups."""
    batch = lengths_of(x, 0, 1)
    by_channel = len(lengths) == 2 and len(set(strides)) == 1 and groups > 1
    if by_channel and list(weight.shape[-2:]) == [1, groups]:
        each = shaped(weight, [*weight.shape[:2], groups, 1])
        whole = tf.stack([*batch, *lengths, groups])
        return tf.nn.depthwise_conv2d_backprop_input(
            whole, filter_of(each), x, [1, *strides, 1], padding
        )
    channels = lengths_of(weight, -2, -1) if groups == 1 else [weight.shape[-2]]
    run = tf.nn.conv2d_transpose if len(lengths) == 2 else tf.nn.conv3d_transpose
    shape = [*batch, *lengths, *channels]
    shape = shape if known(*shape) else tf.stack(shape)
    if groups == 1:
        return run(x, filter_of(weight), shape, strides, padding)
    parts = zip(tf.split(x, groups, -1), tf.split(weight, groups, -1), strict=True)
    return tf.concat([run(*pair, shape, strides, padding) for pair in parts], -1)
