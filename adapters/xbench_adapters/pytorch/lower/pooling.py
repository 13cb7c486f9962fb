"""Poolings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.windows import Windows, windows_of
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder

_MAX = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
_AVERAGE = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)


def _lengths(node: Node, to: Builder, windows: Windows) -> tuple[int, ...]:
    """Return how many windows each axis has, by ONNX's own rule.

    With ``ceil_mode``, a window that would start in the padding at the end is left out.
    """
    found = []
    for place, length in enumerate(to.shape(node.inputs[0])[2:]):
        stride, before = windows.strides[place], windows.before[place]
        room = length + before + windows.after[place] - windows.extents[place]
        count = (-(-room // stride) if node.attributes.get("ceil_mode") else room // stride) + 1
        if node.attributes.get("ceil_mode") and (count - 1) * stride >= length + before:
            count -= 1
        found.append(count)
    inferred = to.graph.value(node.outputs[0]).static
    if inferred is not None and inferred[2:] != tuple(found):
        to.refuse(f"its extent is {inferred[2:]} by inference and {tuple(found)} by its windows")
    return tuple(found)


def _overhang(node: Node, to: Builder, windows: Windows) -> list[int]:
    """Return the padding with which plain windows, none cut off, are those of the node."""
    counts = _lengths(node, to, windows)
    pairs = []
    for place, length in enumerate(to.shape(node.inputs[0])[2:]):
        reach = (counts[place] - 1) * windows.strides[place] + windows.extents[place]
        pairs.append((windows.before[place], reach - length - windows.before[place]))
    return [length for pair in reversed(pairs) for length in pair]


def _simple(node: Node, windows: Windows) -> bool:
    """Return whether native pooling takes these windows as they are."""
    fits = all(2 * pad <= k for pad, k in zip(windows.before, windows.kernel, strict=True))
    return windows.symmetric and fits and not node.attributes.get("ceil_mode")


@lowering("MaxPool", 1)
def max_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the largest element of each window; padding never wins."""
    if node.wants(1):
        to.refuse("the indices of the largest elements")
    if not to.floating(node.inputs[0]):
        to.refuse("elements that are no floats")
    windows = windows_of(node, to, tuple(node.attributes["kernel_shape"]))
    pool = _MAX[len(windows.kernel) - 1]
    x = to.value(node.inputs[0])
    if _simple(node, windows):
        return to.call(pool, x, windows.kernel, windows.strides, windows.before, windows.dilations)
    padded = to.call(functional.pad, x, _overhang(node, to, windows), "constant", -float("inf"))
    return to.call(pool, padded, windows.kernel, windows.strides, 0, windows.dilations)


@lowering("AveragePool", 1)
def average_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the mean of each window, over the elements that count."""
    windows = windows_of(node, to, tuple(node.attributes["kernel_shape"]))
    if any(dilation != 1 for dilation in windows.dilations):
        to.refuse("windows with holes (dilations)")
    counts_pads = bool(node.attributes.get("count_include_pad", 0))
    pool = _AVERAGE[len(windows.kernel) - 1]
    x = to.value(node.inputs[0])
    if _simple(node, windows):
        return to.call(
            pool, x, windows.kernel, windows.strides, windows.before,
            count_include_pad=counts_pads,
        )  # fmt: skip
    padded = to.call(functional.pad, x, _overhang(node, to, windows))
    means = to.call(pool, padded, windows.kernel, windows.strides)
    shares = _shares(node, to, windows, counts_pads=counts_pads)
    return to.call(torch.mul, means, to.fixed(f"{node.name}_shares", shares))


def _shares(node: Node, to: Builder, windows: Windows, *, counts_pads: bool) -> Array:
    """Return, for each window, its size over the number of elements that count."""
    whole = np.ones((), np.float64)
    for place, length in enumerate(to.shape(node.inputs[0])[2:]):
        before, after = windows.before[place], windows.after[place]
        first = 0 if counts_pads else before
        last = before + length + (after if counts_pads else 0)
        starts = np.arange(_lengths(node, to, windows)[place]) * windows.strides[place]
        ends = np.minimum(starts + windows.kernel[place], last)
        counted = ends - np.maximum(starts, first)
        if (counted <= 0).any():
            to.refuse("a window over nothing but padding has no mean")
        whole = np.multiply.outer(whole, windows.kernel[place] / counted)
    dtype = to.graph.value(node.inputs[0]).dtype
    return np.asarray(whole, dtype)


def _spatial(node: Node, to: Builder) -> list[int]:
    axes = list(range(2, to.rank(node.inputs[0])))
    if not axes:
        to.refuse("it has no spatial axes")
    return axes


@lowering("GlobalAveragePool", 1)
def global_average_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the mean over all spatial axes, which stay with length 1."""
    return to.call(torch.mean, to.value(node.inputs[0]), _spatial(node, to), keepdim=True)


@lowering("GlobalMaxPool", 1)
def global_max_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the maximum over all spatial axes, which stay with length 1."""
    return to.call(torch.amax, to.value(node.inputs[0]), _spatial(node, to), keepdim=True)
