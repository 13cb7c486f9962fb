"""Steps of optimisers: arithmetic on tensors and on what is remembered of their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_DOMAIN = "ai.onnx.preview.training"


def _stepped(
    node: Node, to: Builder, kept: int, function: Callable[..., Any], *numbers: float
) -> tuple[Any, ...]:
    """Return what a step makes of each tensor, and then of each thing that is kept of it.

    Args:
        node: Its inputs are rate and count, all tensors, all gradients, and what is kept.
        to: What to build with.
        kept: How many things are kept of a tensor.
        function: The step of a single tensor.
        *numbers: What the function takes after all of these.
    """
    rate, count, *values = (to.value(name) for name in node.inputs)
    rate, count = (tf.cast(tf.reshape(one, []), tf.float64) for one in (rate, count))
    tensors = len(values) // (2 + kept)
    steps = [function(rate, count, *values[place::tensors], *numbers) for place in range(tensors)]
    return tuple(step[place] for place in range(1 + kept) for step in steps)


@lowering("Adagrad", 1, domain=_DOMAIN)
def adagrad(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return tensors after a step of Adagrad, and their sums of squared gradients."""
    numbers = (node.attributes[name] for name in ("norm_coefficient", "epsilon", "decay_factor"))
    return _stepped(node, to, 1, adagrad_step, *numbers)


def adagrad_step(
    rate: Any,
    count: Any,
    x: Any,
    gradient: Any,
    squares: Any,
    norm: float,
    epsilon: float,
    decay: float,
) -> tuple[Any, ...]:
    """Return a tensor moved by its gradient over the root of all squares so far, and these."""
    slope = norm * x + gradient
    total = squares + slope * slope
    slower = tf.cast(rate / (1 + count * decay), x.dtype)
    return x - slower * slope / (tf.math.sqrt(total) + epsilon), total


@lowering("Momentum", 1, domain=_DOMAIN)
def momentum(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return tensors after a step with momentum, and their momenta."""
    mode = node.attributes["mode"]
    if mode not in ("standard", "nesterov"):
        to.refuse(f"mode {mode!r}")
    numbers = (node.attributes[name] for name in ("norm_coefficient", "alpha", "beta"))
    return _stepped(node, to, 1, momentum_step, *numbers, mode == "nesterov")


def momentum_step(
    rate: Any,
    count: Any,
    x: Any,
    gradient: Any,
    moving: Any,
    norm: float,
    alpha: float,
    beta: float,
    ahead: bool,
) -> tuple[Any, ...]:
    """Return a tensor moved by its momentum, or by where that leads, and the momentum."""
    slope = norm * x + gradient
    share = tf.where(count > 0, tf.constant(beta, x.dtype), tf.ones([], x.dtype))
    moved = alpha * moving + share * slope
    step = slope + alpha * moved if ahead else moved
    return x - tf.cast(rate, x.dtype) * step, moved


@lowering("Adam", 1, domain=_DOMAIN)
def adam(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return tensors after a step of Adam, and their means of gradients and of squares."""
    names = ("norm_coefficient", "norm_coefficient_post", "alpha", "beta", "epsilon")
    return _stepped(node, to, 2, adam_step, *(node.attributes[name] for name in names))


def adam_step(
    rate: Any,
    count: Any,
    x: Any,
    gradient: Any,
    mean: Any,
    squares: Any,
    norm: float,
    norm_after: float,
    alpha: float,
    beta: float,
    epsilon: float,
) -> tuple[Any, ...]:
    """Return a tensor moved by its mean gradient over the root of the mean square, and both."""
    slope = norm * x + gradient
    mean = alpha * mean + (1 - alpha) * slope
    squares = beta * squares + (1 - beta) * (slope * slope)
    bases = [tf.constant(one, tf.float64) for one in (alpha, beta)]
    first, second = (1 - tf.math.pow(base, count) for base in bases)
    corrected = tf.where(count > 0, rate * tf.math.sqrt(second) / first, rate)
    moved = x - tf.cast(corrected, x.dtype) * (mean / (tf.math.sqrt(squares) + epsilon))
    return (1 - norm_after) * moved, mean, squares
