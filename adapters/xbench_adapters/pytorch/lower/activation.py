"""Activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.shared import unsigned
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def selu(x: torch.Tensor, alpha: float, gamma: float) -> torch.Tensor:
    """Return gamma * (x, or alpha * (exp(x) - 1) below zero)."""
    return functional.elu(x, alpha) * gamma


def softplus(x: torch.Tensor) -> torch.Tensor:
    """Return log(1 + exp(x)), without the native one's switch to x above 20."""
    return torch.logaddexp(x, torch.zeros_like(x))


def above(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """Return x where it is above alpha, else 0."""
    return functional.threshold(x, alpha, 0.0)


_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "Celu": (functional.celu, ("alpha",)),
    "Elu": (functional.elu, ("alpha",)),
    "HardSwish": (functional.hardswish, ()),
    "LeakyRelu": (functional.leaky_relu, ("alpha",)),
    "Mish": (functional.mish, ()),
    "Relu": (functional.relu, ()),
    "Selu": (selu, ("alpha", "gamma")),
    "Softplus": (softplus, ()),
    "Softsign": (functional.softsign, ()),
    "ThresholdedRelu": (above, ("alpha",)),
}
"""By operator: the function, and the attributes that it takes in order."""


def _register(operator: str, function: Callable[..., Any], attributes: tuple[str, ...]) -> None:
    @lowering(operator)
    def lowered(node: Node, to: Builder) -> torch.fx.Node:
        given = [node.attributes[name] for name in attributes]
        return to.call(function, to.value(node.inputs[0]), *given)


for _operator, (_function, _attributes) in _FUNCTIONS.items():
    _register(_operator, _function, _attributes)


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
    return swished(to, to.value(node.inputs[0]), node.attributes["alpha"])


def swished(to: Builder, x: torch.fx.Node, alpha: float) -> torch.fx.Node:
    """Return x * sigmoid(alpha * x), natively where it can be."""
    if alpha == 1:
        return to.call(functional.silu, x)
    return to.call(torch.mul, x, to.call(torch.sigmoid, to.call(torch.mul, x, alpha)))


@lowering("SwiGLU", 28)
def swiglu(node: Node, to: Builder) -> torch.fx.Node:
    """Return the first input's swish, times the second."""
    return to.call(torch.mul, swish(node, to), to.value(node.inputs[1]))


@lowering("HardSigmoid")
def hard_sigmoid(node: Node, to: Builder) -> torch.fx.Node:
    """Return max(0, min(1, alpha * x + beta))."""
    alpha, beta = node.attributes["alpha"], node.attributes["beta"]
    x = to.value(node.inputs[0])
    if beta == 0.5 and abs(alpha - 1 / 6) < 1e-7:
        return to.call(functional.hardsigmoid, x)
    scaled = to.call(torch.add, to.call(torch.mul, x, alpha), beta)
    return to.call(torch.clamp, scaled, 0.0, 1.0)


@lowering("PRelu", 7, raw=True)
def prelu(node: Node, to: Builder) -> torch.fx.Node:
    """Return x where it is positive, else slope * x; the slope broadcasts one way."""
    if unsigned.lacks_arithmetic(to, node.inputs[0]):
        return to.value(node.inputs[0])  # nothing without a sign is below zero
    x, slope = (to.value(name) for name in node.inputs)
    return to.call(torch.where, to.call(torch.lt, x, 0), to.call(torch.mul, x, slope), x)


@lowering("PRelu", 1, 6)
def prelu_by_channel(node: Node, to: Builder) -> torch.fx.Node:
    """Return x where it is positive, else slope * x; the slope is one, or one a channel."""
    return to.call(sloped_by_channel, *(to.value(name) for name in node.inputs))


def sloped_by_channel(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Return x where it is positive, else x times the slope, or that of its channel."""
    if slope.ndim == 1 and x.ndim > 1 and slope.shape[0] == x.shape[1]:
        slope = slope.reshape([-1, *[1] * (x.ndim - 2)])
    return torch.where(x < 0, x * slope, x)
