"""Means over windows of quantised numbers, as ONNX Runtime's quantiser writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.quantized.elementwise import parts, result
from xbench_adapters.pytorch.lower.quantized.scales import Quantised, Target, real, requantized
from xbench_adapters.pytorch.lower.shared.pool_windows import AVERAGE
from xbench_adapters.pytorch.lower.shared.windows import (
    Ints,
    Rule,
    overhang_of,
    rule_of,
    windows_at,
)
from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


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
    kernel: Ints,
    rule: Rule,
    *,
    ceil: bool,
    counts_pads: bool,
    channels_last: bool,
) -> torch.Tensor:
    """Return the mean over each window of what numbers stand for, quantised."""
    values = real(*x)
    values = values.movedim(-1, 1) if channels_last else values
    means = window_means(values, kernel, rule, ceil=ceil, counts_pads=counts_pads)
    found = requantized(means, scale, zero, target)
    return found.movedim(1, -1).contiguous() if channels_last else found


def window_means(
    x: torch.Tensor, kernel: Ints, rule: Rule, *, ceil: bool, counts_pads: bool
) -> torch.Tensor:
    """Return the mean over each window; what lies beyond all padding counts like padding."""
    windows = windows_at(rule, kernel, x.shape[2:])
    ends, strides = overhang_of(windows, x.shape[2:], ceil=ceil), windows.strides
    pool = AVERAGE[len(kernel) - 1]
    means: torch.Tensor = pool(functional.pad(x, ends), kernel, strides)
    if counts_pads or not any(ends):
        return means
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    shares: torch.Tensor = pool(functional.pad(ones, ends), kernel, strides)
    return means / shares


@lowering("QLinearGlobalAveragePool", 1, domain=MICROSOFT)
def global_average_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the mean over all spatial axes, which stay with length 1, quantised."""
    last = bool(node.attributes.get("channels_last", 0))
    return to.call(
        global_mean_quantized, parts(node, to, 0), *result(node, to, 3), channels_last=last
    )


@lowering("QLinearAveragePool", 1, domain=MICROSOFT)
def average_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the mean of each window, quantised."""
    given = node.attributes
    kernel = tuple(given["kernel_shape"])
    if len(kernel) not in (1, 2, 3):
        to.refuse(f"{len(kernel)} spatial axes")
    return to.call(
        window_mean_quantized,
        parts(node, to, 0),
        *result(node, to, 3),
        kernel,
        rule_of(node, to),
        ceil=bool(given.get("ceil_mode", 0)),
        counts_pads=bool(given.get("count_include_pad", 0)),
        channels_last=bool(given.get("channels_last", 0)),
    )
