"""Operators of ONNX Runtime's quantiser that work element by element, or move elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.quantized.scales import (
    Quantised,
    Target,
    offset,
    quantized,
    real,
    requantized,
    target_of,
)
from xbench_adapters.pytorch.lower.softmax import softmax_from
from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def add_quantized(
    a: Quantised, b: Quantised, scale: torch.Tensor, zero: torch.Tensor | None, target: Target
) -> torch.Tensor:
    """Return the sum of what numbers stand for, quantised."""
    return requantized(real(*a) + real(*b), scale, zero, target)


def multiply_quantized(
    a: Quantised, b: Quantised, scale: torch.Tensor, zero: torch.Tensor | None, target: Target
) -> torch.Tensor:
    """Return the product of what numbers stand for, quantised: the numbers' own is exact."""
    one = torch.ones_like(scale)
    ratio = a[1].reshape(()) * b[1].reshape(()) / scale.reshape(())
    whole = real(a[0], one, a[2]) * real(b[0], one, b[2])
    return quantized(whole * ratio, None if zero is None else zero.reshape(()), *target)


def sigmoid_quantized(
    x: Quantised, scale: torch.Tensor, zero: torch.Tensor | None, target: Target
) -> torch.Tensor:
    """Return the logistic function of what numbers stand for, quantised."""
    return requantized(torch.sigmoid(real(*x)), scale, zero, target)


def leaky_relu_quantized(
    x: Quantised, scale: torch.Tensor, zero: torch.Tensor | None, target: Target, alpha: float
) -> torch.Tensor:
    """Return what numbers stand for, ``alpha`` times it where it is negative, quantised."""
    return requantized(functional.leaky_relu(real(*x), alpha), scale, zero, target)


def softmax_quantized(
    x: Quantised,
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    target: Target,
    axis: int,
    *,
    flattens: bool,
) -> torch.Tensor:
    """Return the softmax of what numbers stand for, over one axis or it and all after it."""
    found = real(*x)
    found = softmax_from(found, axis) if flattens else torch.softmax(found, axis)
    return requantized(found, scale, zero, target)


def where_quantized(
    condition: torch.Tensor,
    x: Quantised,
    y: Quantised,
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    target: Target,
) -> torch.Tensor:
    """Return numbers of the first or the second, in quanta of the result."""
    return requantized(torch.where(condition, real(*x), real(*y)), scale, zero, target)


def concat_quantized(
    parts: list[Quantised],
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    target: Target,
    axis: int,
) -> torch.Tensor:
    """Return numbers one after the other along an axis, in quanta of the result."""
    return torch.cat([requantized(real(*one), scale, zero, target) for one in parts], axis)


def mean_quantized(
    x: Quantised,
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    target: Target,
    axes: list[int],
    *,
    keeps: bool,
) -> torch.Tensor:
    """Return the mean of what numbers stand for, over axes or over all, quantised."""
    found = real(*x)
    return requantized(
        found.mean(axes or list(range(found.dim())), keepdim=keeps), scale, zero, target
    )


def multiply_integer(
    a: torch.Tensor, b: torch.Tensor, a_zero: torch.Tensor | None, b_zero: torch.Tensor | None
) -> torch.Tensor:
    """Return the products of numbers less their zero points, in 32 bits."""
    left, right = a.to(torch.int32), b.to(torch.int32)
    left = left if a_zero is None else left - a_zero.reshape(()).to(torch.int32)
    right = right if b_zero is None else right - b_zero.reshape(()).to(torch.int32)
    return left * right


Parts = tuple[torch.fx.Node, torch.fx.Node, torch.fx.Node | None]


def parts(node: Node, to: Builder, place: int) -> Parts:
    """Return the numbers, the scale and the zero point that stand at ``place`` and after it."""
    zero = offset(to, node.input(place + 2))
    return to.value(node.inputs[place]), to.value(node.inputs[place + 1]), zero


def result(
    node: Node, to: Builder, place: int, like: int = 0
) -> tuple[torch.fx.Node, torch.fx.Node | None, Target]:
    """Return the scale, the zero point and the type of a result, which stand at ``place``.

    Args:
        node: The node.
        to: The builder.
        place: Where its scale stands; the zero point is after it.
        like: An input that has the result's type.
    """
    zero = offset(to, node.input(place + 1))
    return to.value(node.inputs[place]), zero, target_of(to, node.inputs[like])


def _register(operator: str, function: Callable[..., torch.Tensor]) -> None:
    @lowering(operator, 1, domain=MICROSOFT)
    def lowered(node: Node, to: Builder) -> torch.fx.Node:
        return to.call(function, parts(node, to, 0), parts(node, to, 3), *result(node, to, 6))


_register("QLinearAdd", add_quantized)
_register("QLinearMul", multiply_quantized)


@lowering("QLinearSigmoid", 1, domain=MICROSOFT)
def sigmoid(node: Node, to: Builder) -> torch.fx.Node:
    """Return the logistic function of quantised numbers, quantised."""
    return to.call(sigmoid_quantized, parts(node, to, 0), *result(node, to, 3))


@lowering("QLinearLeakyRelu", 1, domain=MICROSOFT)
def leaky_relu(node: Node, to: Builder) -> torch.fx.Node:
    """Return quantised numbers, a fraction of those below zero, quantised."""
    alpha = node.attributes.get("alpha", 0.01)
    return to.call(leaky_relu_quantized, parts(node, to, 0), *result(node, to, 3), alpha)


@lowering("QLinearSoftmax", 1, domain=MICROSOFT)
def softmax(node: Node, to: Builder) -> torch.fx.Node:
    """Return the softmax of quantised numbers, quantised; of old over all axes that follow."""
    flattens = node.attributes.get("opset", 13) < 13
    axis = node.attributes.get("axis", 1 if flattens else -1)
    return to.call(
        softmax_quantized, parts(node, to, 0), *result(node, to, 3), axis, flattens=flattens
    )


@lowering("QLinearWhere", 1, domain=MICROSOFT)
def where(node: Node, to: Builder) -> torch.fx.Node:
    """Return numbers of the first where the condition holds, else of the second, quantised anew."""
    condition = to.value(node.inputs[0])
    return to.call(
        where_quantized, condition, parts(node, to, 1), parts(node, to, 4), *result(node, to, 7, 1)
    )


@lowering("QLinearConcat", 1, domain=MICROSOFT)
def concat(node: Node, to: Builder) -> torch.fx.Node:
    """Return quantised numbers one after the other, each quantised anew."""
    groups = [parts(node, to, place) for place in range(2, len(node.inputs), 3)]
    return to.call(concat_quantized, groups, *result(node, to, 0, 2), node.attributes["axis"])


@lowering("QLinearReduceMean", 1, domain=MICROSOFT)
def mean(node: Node, to: Builder) -> torch.fx.Node:
    """Return means of quantised numbers, quantised."""
    axes = list(node.attributes.get("axes") or [])
    keeps = bool(node.attributes.get("keepdims", 1))
    return to.call(mean_quantized, parts(node, to, 0), *result(node, to, 3), axes, keeps=keeps)


@lowering("MulInteger", 1, domain=MICROSOFT)
def mul_integer(node: Node, to: Builder) -> torch.fx.Node:
    """Return products of numbers less their zero points, in 32 bits."""
    a, b = to.value(node.inputs[0]), to.value(node.inputs[2])
    return to.call(multiply_integer, a, b, offset(to, node.input(1)), offset(to, node.input(3)))
