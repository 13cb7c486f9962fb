"""Convolutions that each look for their elements at offsets of their own."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING

import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared.windows import Rule, Windows, rule_of, windows_at
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def deformed(
    x: torch.Tensor,
    weight: torch.Tensor,
    offset: torch.Tensor,
    bias: torch.Tensor | None,
    mask: torch.Tensor | None,
    rule: Rule,
    groups: tuple[int, int],
) -> torch.Tensor:
    """Return a deformable convolution over any number of spatial axes.

    Args:
        x: The input.
        weight: The weight.
        offset: How far each element of each window lies from its usual place.
        bias: What is added, or None.
        mask: By what each element of each window is multiplied, or None.
        rule: How the windows slide.
        groups: The number of groups of the weight, and of the offsets.
    """
    windows = windows_at(rule, weight.shape[2:], x.shape[2:])
    axes, taps, counts = len(windows.kernel), prod(windows.kernel), offset.shape[2:]
    batch, channels, shared = x.shape[0], x.shape[1], groups[1]
    # Half floats count no further than 2048 without a gap: places need more.
    places = offset.to(torch.promote_types(x.dtype, torch.float32))
    places = places.reshape(batch, shared, taps, axes, prod(counts))
    places = places + _usual(windows, counts, places.device).to(places)
    found = _between(x.reshape(batch, shared, channels // shared, *x.shape[2:]), places)
    if mask is not None:
        found = found * mask.reshape(batch, shared, 1, taps, prod(counts))
    columns = found.reshape(batch, groups[0], channels // groups[0] * taps, prod(counts))
    rows = weight.reshape(groups[0], weight.shape[0] // groups[0], -1)
    result = torch.matmul(rows, columns.to(x.dtype)).reshape(batch, weight.shape[0], *counts)
    return result if bias is None else result + bias.reshape(-1, *(1,) * axes)


def _usual(windows: Windows, counts: torch.Size, device: torch.device) -> torch.Tensor:
    """Return where each element of each window lies, by element, axis and window."""
    along = []
    for place, count in enumerate(counts):
        starts = torch.arange(count, device=device) * windows.strides[place] - windows.before[place]
        taps = torch.arange(windows.kernel[place], device=device) * windows.dilations[place]
        shape = [1] * (2 * len(counts))
        shape[place], shape[len(counts) + place] = len(taps), len(starts)
        whole = (taps[:, None] + starts).reshape(shape)
        along.append(whole.expand(*windows.kernel, *counts).reshape(prod(windows.kernel), -1))
    return torch.stack(along, 1)


def _between(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return elements at places between elements, linear along each axis, zero outside.

    Args:
        x: A tensor of batch, groups and channels, then spatial axes.
        places: One for each batch, group, element of a window, axis and window.
    """
    lengths = x.shape[3:]
    flat = x.flatten(3)
    low = places.floor()
    found = torch.zeros((), dtype=places.dtype, device=x.device)
    for corner in product((0, 1), repeat=len(lengths)):
        inside = torch.ones((), dtype=torch.bool, device=x.device)
        index = torch.zeros((), dtype=torch.int64, device=x.device)
        share = torch.ones((), dtype=places.dtype, device=x.device)
        for axis, (length, up) in enumerate(zip(lengths, corner, strict=True)):
            at = low[:, :, :, axis] + up
            share = share * (1 - (places[:, :, :, axis] - at).abs())
            inside = inside & (at >= 0) & (at < length)
            index = index * length + at.clamp(0, length - 1).to(torch.int64)
        at_once = index.flatten(2).unsqueeze(2).expand(-1, -1, x.shape[2], -1)
        picked = flat.gather(3, at_once).reshape(*x.shape[:3], *index.shape[2:])
        found = found + torch.where(inside.unsqueeze(2), picked * share.unsqueeze(2), 0)
    return found


@lowering("DeformConv", 19)
def deform_conv(node: Node, to: Builder) -> torch.fx.Node:
    """Return a deformable convolution."""
    tensors = [to.optional(node.input(place)) for place in range(5)]
    groups = node.attributes["group"], node.attributes["offset_group"]
    return to.call(deformed, *tensors, rule_of(node, to), groups)
