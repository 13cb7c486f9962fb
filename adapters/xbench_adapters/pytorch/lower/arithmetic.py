"""Operators of several inputs that broadcast against each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Argument, Builder

_BINARY: dict[str, tuple[int, Callable[..., Any]]] = {
    "Add": (7, torch.add),
    "And": (7, torch.logical_and),
    "BitwiseAnd": (18, torch.bitwise_and),
    "BitwiseOr": (18, torch.bitwise_or),
    "BitwiseXor": (18, torch.bitwise_xor),
    "Equal": (7, torch.eq),
    "Greater": (7, torch.gt),
    "GreaterOrEqual": (12, torch.ge),
    "Less": (7, torch.lt),
    "LessOrEqual": (12, torch.le),
    "Mul": (7, torch.mul),
    "Or": (7, torch.logical_or),
    "Sub": (7, torch.sub),
    "Xor": (7, torch.logical_xor),
}
"""By operator: the first schema version that broadcasts as NumPy does, and the function."""

_NEED_TENSORS = frozenset({"And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor"})


def _pair(node: Node, to: Builder) -> tuple[Argument, Argument]:
    """Return both operands, one of them as a plain number where it is a single constant."""
    left, right = node.inputs
    second = to.operand(right, left)
    if not isinstance(second, torch.fx.Node):
        return to.value(left), second
    return to.value(left), second


def _register(operator: str, since: int, function: Callable[..., Any]) -> None:
    @lowering(operator, since)
    def lowered(node: Node, to: Builder) -> torch.fx.Node:
        if operator in _NEED_TENSORS:
            return to.call(function, *(to.value(name) for name in node.inputs))
        return to.call(function, *_pair(node, to))


for _operator, (_since, _function) in _BINARY.items():
    _register(_operator, _since, _function)


@lowering("Div", 7)
def div(node: Node, to: Builder) -> torch.fx.Node:
    """Return quotients; those of whole numbers are cut towards zero."""
    if to.floating(node.inputs[0]):
        return to.call(torch.div, *_pair(node, to))
    return to.call(torch.div, *_pair(node, to), rounding_mode="trunc")


@lowering("Mod", 10)
def mod(node: Node, to: Builder) -> torch.fx.Node:
    """Return remainders: with the divisor's sign, or with ``fmod`` the dividend's."""
    if node.attributes["fmod"]:
        return to.call(torch.fmod, *_pair(node, to))
    if to.floating(node.inputs[0]):
        to.refuse("fmod=0 is not defined for floats")
    return to.call(torch.remainder, *_pair(node, to))


@lowering("Pow", 7)
def power(node: Node, to: Builder) -> torch.fx.Node:
    """Return powers, in the type of the base."""
    base, exponent = node.inputs
    kept = to.dtype(base)
    if to.dtype(exponent) == kept and kept.is_floating_point:
        return to.call(torch.pow, *_pair(node, to))
    if not kept.is_floating_point:
        # Whole bases to float exponents, or to negative ones, have no native counterpart.
        if to.floating(exponent):
            wide = to.call(torch.pow, _as(to, base, torch.float64), to.value(exponent))
            return to.call(torch.Tensor.to, wide, kept)
        known = to.constant(exponent)
        if known is None or bool((known < 0).any()):
            to.refuse("whole numbers to exponents that may be negative")
    raised = to.call(torch.pow, to.value(base), to.value(exponent))
    return to.call(torch.Tensor.to, raised, kept)


def _as(to: Builder, name: str, dtype: torch.dtype) -> torch.fx.Node:
    return to.call(torch.Tensor.to, to.value(name), dtype)


@lowering("BitShift", 11)
def bit_shift(node: Node, to: Builder) -> torch.fx.Node:
    """Return shifted bits; the schema has unsigned types only, of which uint8 is complete."""
    left = node.attributes["direction"] == "LEFT"
    known = to.constant(node.inputs[1])
    if known is None or bool((known >= 8).any()):
        to.refuse("shifts that may be as wide as the type")
    shift = torch.bitwise_left_shift if left else torch.bitwise_right_shift
    return to.call(shift, to.value(node.inputs[0]), to.value(node.inputs[1]))


def _folded(function: Callable[..., Any], node: Node, to: Builder) -> torch.fx.Node:
    values = [to.value(name) for name in node.inputs]
    return reduce(lambda left, right: to.call(function, left, right), values)


@lowering("Max", 8)
def maximum(node: Node, to: Builder) -> torch.fx.Node:
    """Return the largest of the inputs, element by element."""
    return _folded(torch.maximum, node, to)


@lowering("Min", 8)
def minimum(node: Node, to: Builder) -> torch.fx.Node:
    """Return the smallest of the inputs, element by element."""
    return _folded(torch.minimum, node, to)


@lowering("Sum", 8)
def total(node: Node, to: Builder) -> torch.fx.Node:
    """Return the sum of the inputs."""
    return _folded(torch.add, node, to)


@lowering("Mean", 8)
def mean(node: Node, to: Builder) -> torch.fx.Node:
    """Return the mean of the inputs."""
    return to.call(torch.div, _folded(torch.add, node, to), len(node.inputs))


@lowering("Where", 9)
def where(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements of the second input where the first holds, else of the third."""
    condition, yes, no = node.inputs
    return to.call(torch.where, to.value(condition), to.operand(yes, no), to.operand(no, yes))


@lowering("Clip", 11)
def clip(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements kept within bounds, of which either may be absent."""
    data, low, high = node.inputs[0], node.input(1), node.input(2)
    bounds = [to.operand(name, data) if name else None for name in (low, high)]
    return _clipped(to, to.value(data), *bounds)


@lowering("Clip", 6, 10)
def clip_by_attributes(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements kept within bounds that are attributes."""
    return _clipped(to, to.value(node.inputs[0]), node.attributes["min"], node.attributes["max"])


def _clipped(
    to: Builder, x: torch.fx.Node, low: Argument | None, high: Argument | None
) -> torch.fx.Node:
    if low is None and high is None:
        return x
    if isinstance(low, float) and isinstance(high, float) and low <= high:
        return to.call(torch.nn.functional.hardtanh, x, low, high)
    tensors = [one for one in (low, high) if isinstance(one, torch.fx.Node)]
    if tensors and len(tensors) < 2 and low is not None and high is not None:
        # clamp takes two numbers or two tensors, so the bounds go one by one; where they
        # cross, the upper one wins in both.
        return to.call(torch.clamp, to.call(torch.clamp, x, low), None, high)
    return to.call(torch.clamp, x, low, high)
