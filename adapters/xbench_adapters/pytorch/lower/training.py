"""Steps of optimisers: arithmetic on tensors and on what is remembered of their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_DOMAIN = "ai.onnx.preview.training"

Tensors = tuple[torch.Tensor, ...]


def _stepped(
    node: Node, to: Builder, kept: int, function: Callable[..., Any], *numbers: float
) -> tuple[torch.fx.Node, ...]:
    """Return what a step makes of each tensor, and then of each thing that is kept of it.

    Args:
        node: Its inputs are rate and count, all tensors, all gradients, and what is kept.
        to: What to build with.
        kept: How many things are kept of a tensor.
        function: The step of a single tensor.
        *numbers: What the function takes after all of these.
    """
    rate, count, *values = (to.value(name) for name in node.inputs)
    tensors = len(values) // (2 + kept)
    steps = [
        to.items(to.call(function, rate, count, *values[place::tensors], *numbers), 1 + kept)
        for place in range(tensors)
    ]
    return tuple(step[place] for place in range(1 + kept) for step in steps)


@lowering("Adagrad", 1, domain=_DOMAIN)
def adagrad(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return tensors after a step of Adagrad, and their sums of squared gradients."""
    numbers = (node.attributes[name] for name in ("norm_coefficient", "epsilon", "decay_factor"))
    return _stepped(node, to, 1, adagrad_step, *numbers)


def adagrad_step(
    rate: torch.Tensor,
    count: torch.Tensor,
    x: torch.Tensor,
    gradient: torch.Tensor,
    squares: torch.Tensor,
    norm: float,
    epsilon: float,
    decay: float,
) -> Tensors:
    """Return a tensor moved by its gradient over the root of all squares so far, and these."""
    slope = norm * x + gradient
    total = squares + slope * slope
    slower = (rate.double() / (1 + count * decay)).to(x.dtype)
    return x - slower * slope / (torch.sqrt(total) + epsilon), total


@lowering("Momentum", 1, domain=_DOMAIN)
def momentum(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return tensors after a step with momentum, and their momenta."""
    mode = node.attributes["mode"]
    if mode not in ("standard", "nesterov"):
        to.refuse(f"mode {mode!r}")
    numbers = (node.attributes[name] for name in ("norm_coefficient", "alpha", "beta"))
    return _stepped(node, to, 1, momentum_step, *numbers, mode == "nesterov")


def momentum_step(
    rate: torch.Tensor,
    count: torch.Tensor,
    x: torch.Tensor,
    gradient: torch.Tensor,
    moving: torch.Tensor,
    norm: float,
    alpha: float,
    beta: float,
    ahead: bool,
) -> Tensors:
    """Return a tensor moved by its momentum, or by where that leads, and the momentum."""
    slope = norm * x + gradient
    share = torch.where(count > 0, beta, 1.0).to(x.dtype)
    moved = alpha * moving + share * slope
    step = slope + alpha * moved if ahead else moved
    return x - rate.to(x.dtype) * step, moved


@lowering("Adam", 1, domain=_DOMAIN)
def adam(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return tensors after a step of Adam, and their means of gradients and of squares."""
    names = ("norm_coefficient", "norm_coefficient_post", "alpha", "beta", "epsilon")
    return _stepped(node, to, 2, adam_step, *(node.attributes[name] for name in names))


def adam_step(
    rate: torch.Tensor,
    count: torch.Tensor,
    x: torch.Tensor,
    gradient: torch.Tensor,
    mean: torch.Tensor,
    squares: torch.Tensor,
    norm: float,
    norm_after: float,
    alpha: float,
    beta: float,
    epsilon: float,
) -> Tensors:
    """Return a tensor moved by its mean gradient over the root of the mean square, and both."""
    slope = norm * x + gradient
    mean = alpha * mean + (1 - alpha) * slope
    squares = beta * squares + (1 - beta) * (slope * slope)
    times = count.double()
    correction = torch.sqrt(1 - beta**times) / (1 - alpha**times)
    corrected = torch.where(count > 0, rate.double() * correction, rate.double()).to(x.dtype)
    moved = x - corrected * (mean / (torch.sqrt(squares) + epsilon))
    return (1 - norm_after) * moved, mean, squares
