"""Arithmetic of several inputs that broadcast against each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared import unsigned
from xbench_adapters.pytorch.lower.shared.broadcasting import pair, tensors
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_FLOOR_MOD_OF_FLOATS = 28
"""The version of Mod that defines fmod=0 for floats."""


def _register(operator: str, function: Callable[..., Any]) -> None:
    @lowering(operator)
    def lowered(node: Node, to: Builder) -> torch.fx.Node:
        return to.call(function, *pair(node, to))


for _operator, _function in (("Add", torch.add), ("Mul", torch.mul), ("Sub", torch.sub)):
    _register(_operator, _function)


@lowering("Div", raw=True)
def div(node: Node, to: Builder) -> torch.fx.Node:
    """Return quotients; those of whole numbers are cut towards zero."""
    if unsigned.lacks_arithmetic(to, node.inputs[0]):
        return to.call(unsigned.quotient, *tensors(node, to))
    if to.floating(node.inputs[0]):
        return to.call(torch.div, *pair(node, to))
    known = to.constant(node.inputs[1])
    signed = to.dtype(node.inputs[0]) != torch.uint8
    if signed and (known is None or bool((known == -1).any())):
        return to.call(quotient, *tensors(node, to))
    return to.call(torch.div, *pair(node, to), rounding_mode="trunc")


def quotient(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return quotients cut towards zero, with a way round what processors stop at.

    Of the lowest number by minus one the quotient has no place in the type: it wraps around.
    """
    negates = right == -1
    divided = torch.div(left, torch.where(negates, 1, right), rounding_mode="trunc")
    return torch.where(negates, -left, divided)


@lowering("Mod", 10, raw=True)
def mod(node: Node, to: Builder) -> torch.fx.Node:
    """Return remainders: with the divisor's sign, or with ``fmod`` the dividend's."""
    if unsigned.lacks_arithmetic(to, node.inputs[0]):
        return to.call(unsigned.remainder, *tensors(node, to))
    if node.attributes["fmod"]:
        return to.call(torch.fmod, *pair(node, to))
    if not to.floating(node.inputs[0]):
        return to.call(torch.remainder, *pair(node, to))
    if node.version < _FLOOR_MOD_OF_FLOATS:
        to.refuse("fmod=0 is not defined for floats before version 28")
    return to.call(floor_mod, *tensors(node, to))


def floor_mod(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return what floored quotients of floats leave; a zero has the divisor's sign too."""
    rest = torch.remainder(left, right)
    return torch.where(rest == 0, torch.copysign(rest, right), rest)


def _folded(function: Callable[..., Any], node: Node, to: Builder) -> torch.fx.Node:
    values = [to.value(name) for name in node.inputs]
    return reduce(lambda left, right: to.call(function, left, right), values)


@lowering("Max")
def maximum(node: Node, to: Builder) -> torch.fx.Node:
    """Return the largest of the inputs, element by element."""
    return _folded(torch.maximum, node, to)


@lowering("Min")
def minimum(node: Node, to: Builder) -> torch.fx.Node:
    """Return the smallest of the inputs, element by element."""
    return _folded(torch.minimum, node, to)


@lowering("Sum")
def total(node: Node, to: Builder) -> torch.fx.Node:
    """Return the sum of the inputs."""
    return _folded(torch.add, node, to)


@lowering("Mean")
def mean(node: Node, to: Builder) -> torch.fx.Node:
    """Return the mean of the inputs."""
    summed = _folded(torch.add, node, to)
    return to.call(torch.div, summed, len(node.inputs)) if len(node.inputs) > 1 else summed
