"""Means over windows of quantised numbers, as ONNX Runtime's quantiser writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.integer_products import same_padding
from xbench_adapters.pytorch.lower.quantized_microsoft import Quantised, parts, result
from xbench_adapters.pytorch.lower.scales import Target, real, requantized
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

Windows = tuple[list[int], list[int], list[int], str, bool, bool]
"""Kernel, strides, padding, automatic padding, whether to round up, whether padding counts."""

_POOLS = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)


def global_mean_quantized(
    x: Quantised,
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    target: Target,
    *,
    channels_last: bool,
) -> torch.Tensor:
    """Return the mean over all spatial axes of what numbers stand for, quantised."""
    rank = x[0].dim()
    axes = list(range(1, rank - 1)) if channels_last else list(range(2, rank))
    return requantized(real(*x).mean(axes, keepdim=True), scale, zero, target)


def window_mean_quantized(
    x: Quantised,
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    target: Target,
    windows: Windows,
    *,
    channels_last: bool,
) -> torch.Tensor:
    """Return the mean over each window of what numbers stand for, quantised."""
    values = real(*x)
    values = values.movedim(-1, 1) if channels_last else values
    found = requantized(window_means(values, windows), scale, zero, target)
    return found.movedim(1, -1).contiguous() if channels_last else found


def window_means(x: torch.Tensor, windows: Windows) -> torch.Tensor:
    """Return the mean over each window; what lies beyond all padding counts like padding."""
    kernel, given, _, _, _, counts_pads = windows
    strides = given or [1] * len(kernel)
    ends = _ends(list(x.shape[2:]), windows)
    pool = _POOLS[len(kernel) - 1]
    means = pool(functional.pad(x, ends), kernel, strides)
    if counts_pads or not any(ends):
        return means
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    return means / pool(functional.pad(ones, ends), kernel, strides)


def _ends(lengths: list[int], windows: Windows) -> list[int]:
    """Return the padding, last axis first, with which plain windows are those wanted."""
    kernel, given, pads, kind, rounds_up, _ = windows
    axes = len(kernel)
    strides = given or [1] * axes
    found = []
    for place, length in enumerate(lengths):
        stride, extent = strides[place], kernel[place]
        before = after = 0
        if kind in ("SAME_UPPER", "SAME_LOWER"):
            total = same_padding(length, stride, extent)
            before = total // 2 if kind == "SAME_UPPER" else total - total // 2
            after = total - before
        elif pads and kind != "VALID":
            before, after = pads[place], pads[axes + place]
        room = length + before + after - extent
        count = (-(-room // stride) if rounds_up else room // stride) + 1
        if rounds_up and (count - 1) * stride >= length + before:
            count -= 1
        found.append((before, (count - 1) * stride + extent - length - before))
    return [end for pair in reversed(found) for end in pair]


@lowering("QLinearGlobalAveragePool", 1, domain="com.microsoft")
def global_average_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the mean over all spatial axes, which stay with length 1, quantised."""
    last = bool(node.attributes.get("channels_last", 0))
    return to.call(
        global_mean_quantized, parts(node, to, 0), *result(node, to, 3), channels_last=last
    )


@lowering("QLinearAveragePool", 1, domain="com.microsoft")
def average_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the mean of each window, quantised."""
    given = node.attributes
    kernel = list(given["kernel_shape"])
    if len(kernel) not in (1, 2, 3):
        to.refuse(f"{len(kernel)} spatial axes")
    windows = (
        kernel,
        list(given.get("strides") or []),
        list(given.get("pads") or []),
        given.get("auto_pad", "NOTSET"),
        bool(given.get("ceil_mode", 0)),
        bool(given.get("count_include_pad", 0)),
    )
    last = bool(given.get("channels_last", 0))
    return to.call(
        window_mean_quantized, parts(node, to, 0), *result(node, to, 3), windows, channels_last=last
    )
