"""Normalisations by what lies around an element, by a norm, and by axes that are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


@lowering("LRN")
def local_response_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements over a power of the squares of the channels around them."""
    size = node.attributes["size"]
    numbers = [node.attributes[name] for name in ("alpha", "beta", "bias")]
    x, rank = to.value(node.inputs[0]), to.graph.value(node.inputs[0]).rank
    # PyTorch's own centres an even size elsewhere, and pools no floats of 16 bits.
    native = size % 2 == 1 and rank is not None and rank > 2
    native = native and to.dtype(node.inputs[0]) in (torch.float32, torch.float64)
    return to.call(functional.local_response_norm if native else local_response, x, size, *numbers)


def local_response(
    x: torch.Tensor, size: int, alpha: float, beta: float, bias: float
) -> torch.Tensor:
    """Return elements over (bias + alpha * mean square of ``size`` channels around) ** beta.

    Of an even number one channel more lies behind than before.
    """
    if x.numel() == 0:
        return x
    squares = torch.square(x).reshape(x.shape[0], 1, x.shape[1], -1)
    padded = functional.pad(squares, (0, 0, (size - 1) // 2, size // 2))
    mean = functional.avg_pool2d(padded, (size, 1), stride=1).reshape(x.shape)
    return x / (mean * alpha + bias) ** beta


@lowering("MeanVarianceNormalization", 9)
def mean_variance_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return (x - mean) / (deviation + 1e-9) over the axes given."""
    axes = list(node.attributes["axes"])
    x = to.value(node.inputs[0])
    centred = to.call(torch.sub, x, to.call(torch.mean, x, axes, keepdim=True))
    squares = to.call(torch.mean, to.call(torch.square, centred), axes, keepdim=True)
    deviation = to.call(torch.add, to.call(torch.sqrt, squares), 1e-9)
    return to.call(torch.div, centred, deviation)


@lowering("LpNormalization")
def lp_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements over their norm along an axis; zero where the norm is zero."""
    axis, x = node.attributes["axis"], to.value(node.inputs[0])
    norm = to.call(torch.linalg.vector_norm, x, node.attributes["p"], [axis], keepdim=True)
    safe = to.call(torch.where, to.call(torch.eq, norm, 0), 1.0, norm)
    return to.call(torch.div, x, safe)
