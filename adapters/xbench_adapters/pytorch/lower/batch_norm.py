"""Batch normalisation: by statistics that are given, or by those of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


@lowering("BatchNormalization")
def batch_normalization(node: Node, to: Builder) -> torch.fx.Node | tuple[torch.fx.Node, ...]:
    """Return a normalisation by running statistics; in training by the batch's, and those."""
    x, *four = (to.value(name) for name in node.inputs)
    epsilon, spatial = node.attributes["epsilon"], bool(node.attributes.get("spatial", 1))
    if _trains(node, to):
        momentum = node.attributes["momentum"]
        found = to.call(batch_norm_in_training, x, *four, epsilon, momentum, spatial)
        return to.items(found, 5)
    rank = to.graph.value(node.inputs[0]).rank
    alike = len({to.dtype(name) for name in node.inputs}) == 1
    if rank is None or rank < 2 or not spatial or not alike:
        return to.call(batch_norm, x, *four, epsilon, spatial)
    scale, bias, mean, var = four
    return to.call(functional.batch_norm, x, mean, var, scale, bias, False, 0.0, epsilon)


def _trains(node: Node, to: Builder) -> bool:
    """Return whether the batch's own statistics are used: said by attributes, or by outputs."""
    if node.version >= 14:
        return bool(node.attributes["training_mode"])
    more = any(node.wants(place) for place in range(1, 5))
    if node.version < 7 and more == bool(node.attributes["is_test"]):
        to.refuse("is_test says one mode and the number of outputs the other")
    return more


def _lengths(x: torch.Tensor, spatial: bool) -> list[int]:
    """Return the shape of what there is for each channel, or each feature, beside ``x``."""
    if not spatial:
        return [1, *x.shape[1:]]
    return [1, -1, *[1] * (x.ndim - 2)] if x.ndim > 1 else [-1]


def batch_norm(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    var: torch.Tensor,
    epsilon: float,
    spatial: bool,
) -> torch.Tensor:
    """Return each channel, or each feature, normalised by a mean and variance.

    Args:
        x: Items of channels of any rank, or single numbers of one channel.
        scale: A factor for each channel.
        bias: A summand for each channel.
        mean: The mean of each channel.
        var: The variance of each channel.
        epsilon: What is added to the variance.
        spatial: Whether positions of a channel share these; else each has its own.
    """
    lengths = _lengths(x, spatial)
    wide = torch.promote_types(torch.promote_types(x.dtype, mean.dtype), torch.float32)
    scale, bias, mean, var = (one.to(wide).reshape(lengths) for one in (scale, bias, mean, var))
    return ((x - mean) / torch.sqrt(var + epsilon) * scale + bias).to(x.dtype)


def batch_norm_in_training(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    var: torch.Tensor,
    epsilon: float,
    momentum: float,
    spatial: bool,
) -> tuple[torch.Tensor, ...]:
    """Return the batch normalised by itself, the running mean and variance, and its own."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    axes = [0, *range(2, x.ndim)] if spatial else [0]
    own_var, own_mean = torch.var_mean(wide, axes, correction=0)
    own_var, own_mean = own_var.reshape(var.shape), own_mean.reshape(mean.shape)
    y = batch_norm(x, scale, bias, own_mean, own_var, epsilon, spatial)
    running = (
        (old.to(new.dtype) * momentum + new * (1 - momentum)).to(old.dtype)
        for old, new in ((mean, own_mean), (var, own_var))
    )
    return y, *running, own_mean.to(x.dtype), own_var.to(x.dtype)
