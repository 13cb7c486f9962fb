"""Poolings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.shared.pool_windows import (
    AVERAGE,
    GAPS,
    MAX,
    counted_of,
    global_largest,
    global_mean,
    global_norm,
    largest,
    largest_and_places,
    leaves_gaps,
    mean,
    norm,
    unpooled,
    unpooled_lengths,
)
from xbench_adapters.pytorch.lower.shared.windows import (
    Ints,
    Windows,
    counts_of,
    open_windows_of,
    overhang_of,
    rule_of,
)
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder


def _kernel(node: Node, to: Builder) -> Ints:
    kernel = tuple(node.attributes.get("kernel_shape") or ())
    if not kernel:
        to.refuse("without kernel_shape")
    rank = to.graph.value(node.inputs[0]).rank
    if rank is not None and rank != len(kernel) + 2:
        to.refuse(f"kernel_shape {kernel} for {rank} dimensions")
    return kernel


def _ceil(node: Node) -> bool:
    return bool(node.attributes.get("ceil_mode", 0))


def _lengths(name: str, to: Builder) -> Ints | None:
    """Return the lengths of the spatial axes, if all are known; the batch may be open."""
    shape = to.graph.value(name).shape
    lengths = () if shape is None else tuple(one for one in shape[2:] if isinstance(one, int))
    return None if shape is None or len(lengths) < len(shape) - 2 else lengths


def _windows(node: Node, to: Builder, *, counts_pads: bool | None) -> Windows | None:
    """Return the windows, or None where they depend on a length that is open.

    Args:
        node: The node, which is refused where inference and windows disagree.
        to: What is built.
        counts_pads: Whether padding counts among the elements of which each window must
            have one; None where it need not have any.
    """
    windows = open_windows_of(node, to, _kernel(node, to))
    lengths, inferred = (_lengths(name, to) for name in (node.inputs[0], node.outputs[0]))
    if windows is None or lengths is None:
        return windows
    if leaves_gaps(rule_of(node, to), windows, lengths):
        to.refuse(GAPS)
    found = counts_of(windows, lengths, ceil=_ceil(node))
    if inferred is not None and inferred != tuple(found):
        to.refuse(f"its extent is {inferred} by inference and {tuple(found)} by its windows")
    for place, count in enumerate(found if counts_pads is not None else []):
        try:
            counted_of(windows, place, lengths[place], count, bool(counts_pads))
        except ValueError as error:
            to.refuse(str(error))
    return windows


def _native(windows: Windows | None, to: Builder, node: Node) -> Windows | None:
    """Return the windows if PyTorch has a pooling for them as far as they are known."""
    if windows is None or len(windows.kernel) > len(MAX) or not to.floating(node.inputs[0]):
        return None
    if _lengths(node.inputs[0], to) is None:
        # Only the lengths tell whether a window lies over nothing but padding.
        pads = list(zip(windows.before + windows.after, windows.kernel * 2, strict=True))
        if any(pad >= taps or (pad and windows.dilated) for pad, taps in pads):
            return None
    return windows


def _simple(windows: Windows) -> bool:
    """Return whether native pooling takes the padding of these windows as it is."""
    fits = all(0 <= 2 * pad <= k for pad, k in zip(windows.before, windows.kernel, strict=True))
    return windows.symmetric and fits


def _pads(node: Node, to: Builder, windows: Windows) -> list[int] | None:
    """Return padding with which no window is cut off, or None if an open length decides."""
    lengths = _lengths(node.inputs[0], to)
    if lengths is not None:
        return overhang_of(windows, lengths, ceil=_ceil(node))
    return None if _ceil(node) else windows.torch_pads


@lowering("MaxPool", 1)
def max_pool(node: Node, to: Builder) -> torch.fx.Node | tuple[torch.fx.Node, ...]:
    """Return the largest element of each window, and its place; padding never wins."""
    found = _windows(node, to, counts_pads=False)
    kernel, rule = _kernel(node, to), rule_of(node, to)
    x, ceil = to.value(node.inputs[0]), _ceil(node)
    if node.wants(1):
        if len(kernel) > len(MAX):
            to.refuse(f"the indices of the largest elements over {len(kernel)} axes")
        by_columns = bool(node.attributes.get("storage_order", 0))
        return to.items(to.call(largest_and_places, x, kernel, rule, ceil, by_columns), 2)
    windows = _native(found, to, node)
    pads = None if windows is None else _pads(node, to, windows)
    if windows is None or (pads is None and not _simple(windows)):
        return to.call(largest, x, kernel, rule, ceil)
    pool = MAX[len(kernel) - 1]
    if _simple(windows):
        options = (windows.strides, windows.before, windows.dilations, ceil)
        return to.call(pool, x, kernel, *options)
    padded = to.call(functional.pad, x, pads, "constant", -float("inf"))
    return to.call(pool, padded, kernel, windows.strides, 0, windows.dilations)


@lowering("AveragePool", 1)
def average_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the mean of each window, over the elements that count."""
    counts_pads = bool(node.attributes.get("count_include_pad", 0))
    windows = _native(_windows(node, to, counts_pads=counts_pads), to, node)
    kernel = _kernel(node, to)
    x, ceil, lengths = to.value(node.inputs[0]), _ceil(node), _lengths(node.inputs[0], to)
    if windows is None or windows.dilated:
        return to.call(mean, x, kernel, rule_of(node, to), ceil, counts_pads)
    pool = AVERAGE[len(kernel) - 1]
    if _simple(windows):
        return to.call(
            pool, x, kernel, windows.strides, windows.before,
            ceil_mode=ceil, count_include_pad=counts_pads,
        )  # fmt: skip
    if counts_pads and not ceil:
        padded = to.call(functional.pad, x, windows.torch_pads)
        return to.call(pool, padded, kernel, windows.strides)
    if lengths is None:
        return to.call(mean, x, kernel, rule_of(node, to), ceil, counts_pads)
    padded = to.call(functional.pad, x, overhang_of(windows, lengths, ceil=ceil))
    means = to.call(pool, padded, kernel, windows.strides)
    shares = _shares(node, to, windows, lengths)
    return to.call(torch.mul, means, to.fixed(f"{node.name}_shares", shares))


def _shares(node: Node, to: Builder, windows: Windows, lengths: Ints) -> Array:
    """Return, for each window, its size over the number of elements that count."""
    whole, counts_pads = np.ones((), np.float64), bool(node.attributes.get("count_include_pad", 0))
    for place, count in enumerate(counts_of(windows, lengths, ceil=_ceil(node))):
        counted = counted_of(windows, place, lengths[place], count, counts_pads)
        whole = np.multiply.outer(whole, windows.kernel[place] / np.array(counted))
    return np.asarray(whole, to.graph.value(node.inputs[0]).dtype)


@lowering("LpPool", 1)
def lp_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the Lp norm of each window."""
    _windows(node, to, counts_pads=None)  # refuses what inference and windows disagree on
    options = (_kernel(node, to), rule_of(node, to), _ceil(node), node.attributes["p"])
    return to.call(norm, to.value(node.inputs[0]), *options)


def _spatial(node: Node, to: Builder) -> list[int] | None:
    """Return the spatial axes, or None where the rank is open."""
    rank = to.graph.value(node.inputs[0]).rank
    if rank is not None and rank < 3:
        to.refuse("it has no spatial axes")
    return None if rank is None else list(range(2, rank))


@lowering("GlobalAveragePool", 1)
def global_average_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the mean over all spatial axes, which stay with length 1."""
    x, axes = to.value(node.inputs[0]), _spatial(node, to)
    return to.call(global_mean, x) if axes is None else to.call(torch.mean, x, axes, keepdim=True)


@lowering("GlobalMaxPool", 1)
def global_max_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the maximum over all spatial axes, which stay with length 1."""
    x, axes = to.value(node.inputs[0]), _spatial(node, to)
    if axes is None:
        return to.call(global_largest, x)
    return to.call(torch.amax, x, axes, keepdim=True)


@lowering("GlobalLpPool", 1)
def global_lp_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the Lp norm over all spatial axes, which stay with length 1."""
    _spatial(node, to)
    return to.call(global_norm, to.value(node.inputs[0]), node.attributes["p"])


@lowering("MaxUnpool", 9)
def max_unpool(node: Node, to: Builder) -> torch.fx.Node:
    """Return zeros with each element at the place that `MaxPool` found it at."""
    kernel, attributes = _kernel(node, to), node.attributes
    strides, pads = (tuple(attributes.get(name) or ()) for name in ("strides", "pads"))
    if node.input(2):
        shape = to.shape(node.inputs[0])
        lengths = unpooled_lengths(shape[2:], kernel, strides, pads)
        if to.ints(node.inputs[2], "output_shape") != [*shape[:2], *lengths]:
            to.refuse("an output_shape of other lengths: ONNX's tests and runtimes differ on it")
    x, places = (to.value(name) for name in node.inputs[:2])
    return to.call(unpooled, x, places, kernel, strides, pads)
