"""Operands of two that broadcast against each other: as NumPy does, or as ONNX did at first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Argument, Builder


def placed(x: torch.Tensor, beside: torch.Tensor, axis: int) -> torch.Tensor:
    """Return a tensor whose first axis lies at ``axis`` of another: ones stand behind its own."""
    behind = beside.ndim - axis % max(beside.ndim, 1) - x.ndim
    return x.reshape([*x.shape, *[1] * max(behind, 0)])


def pair(node: Node, to: Builder) -> tuple[torch.fx.Node, Argument]:
    """Return both operands, the second as a plain number where it is a single constant."""
    left, right = node.inputs
    second = to.operand(right, left)
    return to.value(left), _placed(node, to, second)


def tensors(node: Node, to: Builder) -> tuple[torch.fx.Node, Argument]:
    """Return both operands, for functions that take no plain numbers."""
    left, right = (to.value(name) for name in node.inputs)
    return left, _placed(node, to, right)


def _placed(node: Node, to: Builder, second: Argument) -> Argument:
    """Return the second operand where ``axis`` wants it; versions before 7 had that attribute."""
    axis = node.attributes.get("axis") if node.attributes.get("broadcast", 0) else None
    if axis is None or not isinstance(second, torch.fx.Node):
        return second
    return to.call(placed, second, to.value(node.inputs[0]), axis)
