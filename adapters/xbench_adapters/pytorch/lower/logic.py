"""Comparisons, logic, bits, and the choice between two tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared import unsigned
from xbench_adapters.pytorch.lower.shared.broadcasting import pair, tensors
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder

_COMPARISONS: dict[str, Callable[..., Any]] = {
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
}
_OF_TENSORS: dict[str, Callable[..., Any]] = {
    "And": torch.logical_and,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
}


def _register(operator: str, function: Callable[..., Any], operands: Callable[..., Any]) -> None:
    @lowering(operator)
    def lowered(node: Node, to: Builder) -> torch.fx.Node:
        return to.call(function, *operands(node, to))


for _operator, _function in _COMPARISONS.items():
    _register(_operator, _function, pair)
for _operator, _function in _OF_TENSORS.items():
    _register(_operator, _function, tensors)


@lowering("Equal", raw=True)
def equal(node: Node, to: Builder) -> torch.fx.Node:
    """Return where elements are equal, text too."""
    name = node.inputs[0]
    if unsigned.type_name(to, name) == "object":
        return to.call(same_text, *tensors(node, to))
    if unsigned.lacks_arithmetic(to, name):
        return to.call(unsigned.same, *tensors(node, to))
    return to.call(torch.eq, *pair(node, to))


def same_text(left: Array, right: Array) -> torch.Tensor:
    """Return where texts are equal."""
    return torch.from_numpy(np.asarray(np.equal(left, right), dtype=np.bool_))


@lowering("Where", 9)
def where(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements of the second input where the first holds, else of the third."""
    condition, yes, no = node.inputs
    if unsigned.type_name(to, yes) == "object":
        return to.call(chosen_text, *(to.value(name) for name in node.inputs))
    return to.call(torch.where, to.value(condition), to.operand(yes, no), to.operand(no, yes))


def chosen_text(condition: torch.Tensor, yes: Array, no: Array) -> Array:
    """Return texts of the second argument where the first holds, else of the third."""
    return np.where(condition.cpu().numpy(), yes, no)


@lowering("BitShift", 11, raw=True)
def bit_shift(node: Node, to: Builder) -> torch.fx.Node:
    """Return shifted bits; by the width of the type or more, what filling up alone gives."""
    left = node.attributes["direction"] == "LEFT"
    values = tensors(node, to)
    if unsigned.lacks_arithmetic(to, node.inputs[0]):
        return to.call(unsigned.shifted_left if left else unsigned.shifted_right, *values)
    width = 8 * to.dtype(node.inputs[0]).itemsize
    known = to.constant(node.inputs[1])
    if known is not None and bool(((known >= 0) & (known < width)).all()):
        return to.call(torch.bitwise_left_shift if left else torch.bitwise_right_shift, *values)
    return to.call(shifted_left if left else shifted_right, *values)


def shifted_left(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Return bits moved up; zero where none is left."""
    inside = (by >= 0) & (by < 8 * x.element_size())
    return torch.where(inside, torch.bitwise_left_shift(x, torch.where(inside, by, 0)), 0)


def shifted_right(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Return bits moved down; zero where none is left, or minus one below zero."""
    width = 8 * x.element_size()
    inside = (by >= 0) & (by < width)
    moved = torch.bitwise_right_shift(x, torch.where(inside, by, width - 1))
    return moved if x.dtype != torch.uint8 else torch.where(inside, moved, 0)
