"""Operators that exchange blocks in space for channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.shared.moved import is_text, moves
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_MODES = ("DCR", "CRD")


@moves
def into_space(x: torch.Tensor, size: int, mode: str) -> torch.Tensor:
    """Return channels laid out as blocks in space."""
    batch, channels, height, width = x.shape
    left = channels // size**2
    if mode == "CRD":
        apart = x.reshape(batch, left, size, size, height, width).permute(0, 1, 4, 2, 5, 3)
    else:
        apart = x.reshape(batch, size, size, left, height, width).permute(0, 3, 4, 1, 5, 2)
    return apart.reshape(batch, left, height * size, width * size)


@moves
def into_depth(x: torch.Tensor, size: int, mode: str) -> torch.Tensor:
    """Return blocks in space laid out as channels."""
    batch, channels, height, width = x.shape
    apart = x.reshape(batch, channels, height // size, size, width // size, size)
    order = (0, 1, 3, 5, 2, 4) if mode == "CRD" else (0, 3, 5, 1, 2, 4)
    aim = (batch, channels * size**2, height // size, width // size)
    return apart.permute(order).reshape(aim)


def _blocks(node: Node, to: Builder) -> tuple[int, str]:
    size, mode = node.attributes["blocksize"], node.attributes.get("mode", "DCR")
    if size <= 0 or mode not in _MODES:
        to.refuse(f"blocks of {size} in mode {mode!r}")
    return size, mode


@lowering("DepthToSpace", raw=True)
def depth_to_space(node: Node, to: Builder) -> torch.fx.Node:
    """Return channels laid out as blocks in space."""
    name, (size, mode) = node.inputs[0], _blocks(node, to)
    x = to.value(name)
    text = is_text(to, name)
    if mode == "CRD" and not text and to.dtype(name) in _FLOATS:
        return to.call(functional.pixel_shuffle, x, size)
    shape = to.graph.value(name).static
    if shape is None or text or mode == "CRD" or len(shape) != 4:
        return to.call(into_space, x, size, mode)
    batch, channels, height, width = shape
    left = channels // size**2
    apart = to.call(torch.reshape, x, (batch, size, size, left, height, width))
    moved = to.call(torch.permute, apart, (0, 3, 4, 1, 5, 2))
    return to.call(torch.reshape, moved, (batch, left, height * size, width * size))


@lowering("SpaceToDepth", raw=True)
def space_to_depth(node: Node, to: Builder) -> torch.fx.Node:
    """Return blocks in space laid out as channels."""
    name, (size, mode) = node.inputs[0], _blocks(node, to)
    shape = to.graph.value(name).static
    if shape is None or is_text(to, name) or len(shape) != 4:
        return to.call(into_depth, to.value(name), size, mode)
    batch, channels, height, width = shape
    split_up = (batch, channels, height // size, size, width // size, size)
    apart = to.call(torch.reshape, to.value(name), split_up)
    order = (0, 1, 3, 5, 2, 4) if mode == "CRD" else (0, 3, 5, 1, 2, 4)
    moved = to.call(torch.permute, apart, order)
    aim = (batch, channels * size**2, height // size, width // size)
    return to.call(torch.reshape, moved, aim)
