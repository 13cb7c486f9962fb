"""Activations, and the softmax family."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_FUNCTIONS: dict[str, tuple[int, Callable[..., Any], tuple[str, ...]]] = {
    "Celu": (12, functional.celu, ("alpha",)),
    "Elu": (6, functional.elu, ("alpha",)),
    "HardSwish": (14, functional.hardswish, ()),
    "LeakyRelu": (6, functional.leaky_relu, ("alpha",)),
    "Mish": (18, functional.mish, ()),
    "Relu": (6, functional.relu, ()),
    "Softsign": (1, functional.softsign, ()),
}
"""By operator: first version, function, and the attributes that it takes in order."""


def _register(
    operator: str, since: int, function: Callable[..., Any], attributes: tuple[str, ...]
) -> None:
    @lowering(operator, since)
    def lowered(node: Node, to: Builder) -> torch.fx.Node:
        given = [node.attributes[name] for name in attributes]
        return to.call(function, to.value(node.inputs[0]), *given)


for _operator, (_since, _function, _attributes) in _FUNCTIONS.items():
    _register(_operator, _since, _function, _attributes)


@lowering("Gelu", 20)
def gelu(node: Node, to: Builder) -> torch.fx.Node:
    """Return the Gaussian error linear unit, exact or by tanh."""
    kind = node.attributes["approximate"]
    return to.call(functional.gelu, to.value(node.inputs[0]), approximate=kind)


@lowering("Silu", 1, domain="xbench")
def silu(node: Node, to: Builder) -> torch.fx.Node:
    """Return x * sigmoid(x), from the pattern that exporters write for it."""
    return to.call(functional.silu, to.value(node.inputs[0]))


@lowering("Swish", 24)
def swish(node: Node, to: Builder) -> torch.fx.Node:
    """Return x * sigmoid(alpha * x)."""
    x, alpha = to.value(node.inputs[0]), node.attributes["alpha"]
    if alpha == 1:
        return to.call(functional.silu, x)
    return to.call(torch.mul, x, to.call(torch.sigmoid, to.call(torch.mul, x, alpha)))


@lowering("HardSigmoid", 6)
def hard_sigmoid(node: Node, to: Builder) -> torch.fx.Node:
    """Return max(0, min(1, alpha * x + beta))."""
    alpha, beta = node.attributes["alpha"], node.attributes["beta"]
    x = to.value(node.inputs[0])
    if beta == 0.5 and abs(alpha - 1 / 6) < 1e-7:
        return to.call(functional.hardsigmoid, x)
    scaled = to.call(torch.add, to.call(torch.mul, x, alpha), beta)
    return to.call(torch.clamp, scaled, 0.0, 1.0)


@lowering("PRelu", 7)
def prelu(node: Node, to: Builder) -> torch.fx.Node:
    """Return x where it is positive, else slope * x; the slope broadcasts one way."""
    x, slope = (to.value(name) for name in node.inputs)
    return to.call(torch.where, to.call(torch.lt, x, 0), to.call(torch.mul, x, slope), x)


@lowering("Selu", 6)
def selu(node: Node, to: Builder) -> torch.fx.Node:
    """Return gamma * (x, or alpha * (exp(x) - 1) below zero)."""
    x = to.value(node.inputs[0])
    bent = to.call(functional.elu, x, node.attributes["alpha"])
    return to.call(torch.mul, bent, node.attributes["gamma"])


@lowering("Softplus", 1)
def softplus(node: Node, to: Builder) -> torch.fx.Node:
    """Return log(1 + exp(x)), without the native one's switch to x above 20."""
    zero = to.call(torch.zeros_like, to.value(node.inputs[0]))
    return to.call(torch.logaddexp, to.value(node.inputs[0]), zero)


@lowering("ThresholdedRelu", 10)
def thresholded_relu(node: Node, to: Builder) -> torch.fx.Node:
    """Return x where it is above alpha, else 0."""
    return to.call(functional.threshold, to.value(node.inputs[0]), node.attributes["alpha"], 0.0)


def _along(node: Node, to: Builder, function: Callable[..., Any]) -> torch.fx.Node:
    axis = to.axis(node.attributes["axis"], to.rank(node.inputs[0]))
    return to.call(function, to.value(node.inputs[0]), axis)


def _flattened(node: Node, to: Builder, function: Callable[..., Any]) -> torch.fx.Node:
    """Return ``function`` over all axes from the one given on, as until version 12."""
    shape = to.shape(node.inputs[0])
    axis = to.axis(node.attributes["axis"], len(shape)) if shape else 0
    x = to.value(node.inputs[0])
    if axis == len(shape) - 1:
        return to.call(function, x, axis)
    flat = to.call(torch.flatten, x, axis)
    return to.call(torch.reshape, to.call(function, flat, axis), shape)


def one_hot_max(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Return 1 at the first largest element along an axis, 0 elsewhere."""
    first = torch.argmax((x == x.amax(axis, True)).to(torch.uint8), axis, True)
    return torch.zeros_like(x).scatter(axis, first, 1.0)


for _name, _softmax in (
    ("Softmax", torch.softmax),
    ("LogSoftmax", torch.log_softmax),
    ("Hardmax", one_hot_max),
):

    def _register_softmax(operator: str, function: Callable[..., Any]) -> None:
        @lowering(operator, 13)
        def along(node: Node, to: Builder) -> torch.fx.Node:
            return _along(node, to, function)

        @lowering(operator, 1, 12)
        def flattened(node: Node, to: Builder) -> torch.fx.Node:
            return _flattened(node, to, function)

    _register_softmax(_name, _softmax)
