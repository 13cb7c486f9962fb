"""Activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.widths import in_float32
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_SELU: Final = (1.6732632423543772, 1.0507009873554805)
"""The alpha and gamma that TensorFlow's own has."""


def elu(x: Any, alpha: float) -> Any:
    """Return x where it is positive, else alpha * (exp(x) - 1)."""
    bent = tf.nn.elu(x)
    return bent if alpha == 1 else tf.where(x > 0, x, bent * alpha)


def celu(x: Any, alpha: float) -> Any:
    """Return x where it is positive, else alpha * (exp(x / alpha) - 1)."""
    if alpha == 1:
        return tf.nn.elu(x)
    return tf.where(x > 0, x, tf.math.expm1(x / alpha) * alpha)


def selu(x: Any, alpha: float, gamma: float) -> Any:
    """Return gamma * (x, or alpha * (exp(x) - 1) below zero)."""
    if abs(alpha - _SELU[0]) < 1e-6 and abs(gamma - _SELU[1]) < 1e-6:
        return tf.nn.selu(x)
    return elu(x, alpha) * gamma


def hard_sigmoid(x: Any, alpha: float, beta: float) -> Any:
    """Return max(0, min(1, alpha * x + beta))."""
    return tf.math.minimum(tf.math.maximum(x * alpha + beta, 0.0), 1.0)


def hard_swish(x: Any) -> Any:
    """Return x * max(0, min(1, x / 6 + 0.5))."""
    return x * (tf.nn.relu6(x + 3.0) * (1 / 6))


def leaky_relu(x: Any, alpha: float) -> Any:
    """Return x where it is positive, else alpha * x."""
    # The native one multiplies infinity by the slope too.
    return tf.nn.relu(x) if alpha == 0 else tf.nn.leaky_relu(x, alpha)


def mish(x: Any) -> Any:
    """Return x * tanh(log(1 + exp(x)))."""
    return x * tf.math.tanh(tf.math.softplus(x))


def swish(x: Any, alpha: float) -> Any:
    """Return x * sigmoid(alpha * x)."""
    return x * tf.math.sigmoid(x if alpha == 1 else x * alpha)


def thresholded_relu(x: Any, alpha: float) -> Any:
    """Return x where it is above alpha, else 0."""
    return tf.where(x > alpha, x, tf.zeros([], x.dtype))


_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "Celu": (in_float32(celu), ("alpha",)),
    "Elu": (in_float32(elu), ("alpha",)),
    "HardSigmoid": (in_float32(hard_sigmoid), ("alpha", "beta")),
    "HardSwish": (in_float32(hard_swish), ()),
    "LeakyRelu": (leaky_relu, ("alpha",)),
    "Mish": (in_float32(mish), ()),
    "Relu": (tf.nn.relu, ()),
    "Selu": (in_float32(selu), ("alpha", "gamma")),
    "Softplus": (in_float32(tf.math.softplus), ()),
    "Softsign": (in_float32(tf.nn.softsign), ()),
    "Swish": (in_float32(swish), ("alpha",)),
    "ThresholdedRelu": (thresholded_relu, ("alpha",)),
}
"""By operator: the function, and the attributes that it takes in order."""


def _register(operator: str, function: Callable[..., Any], attributes: tuple[str, ...]) -> None:
    @lowering(operator, layout="any")
    def lowered(node: Node, to: Builder) -> Any:
        given = [node.attributes[name] for name in attributes]
        return function(to.value(node.inputs[0]), *given)


for _operator, (_function, _attributes) in _FUNCTIONS.items():
    _register(_operator, _function, _attributes)


@lowering("Gelu", 20, layout="any")
def gelu(node: Node, to: Builder) -> Any:
    """Return the Gaussian error linear unit, exact or by tanh."""
    by_tanh = node.attributes["approximate"] == "tanh"
    return in_float32(tf.nn.gelu)(to.value(node.inputs[0]), by_tanh)


@lowering("Silu", 1, domain="xbench", layout="any")
def silu(node: Node, to: Builder) -> Any:
    """Return x * sigmoid(x), from the pattern that exporters write for it."""
    return in_float32(swish)(to.value(node.inputs[0]), 1)


@lowering("SwiGLU", 28, layout="any")
def swiglu(node: Node, to: Builder) -> Any:
    """Return the first input's swish, times the second."""
    x, gate = (to.value(name) for name in node.inputs)
    return in_float32(swish)(x, node.attributes["alpha"]) * gate


@lowering("PRelu", 7, raw=True, layout="any")
def prelu(node: Node, to: Builder) -> Any:
    """Return x where it is positive, else slope * x; the slope broadcasts one way."""
    x, slope = (to.value(name) for name in node.inputs)
    return x if x.dtype.is_unsigned else _sloped(x, slope)  # nothing without a sign is below zero


@lowering("PRelu", 1, 6)
def prelu_by_channel(node: Node, to: Builder) -> Any:
    """Return x where it is positive, else slope * x; the slope is one, or one a channel."""
    name, slope = node.inputs[0], to.value(node.inputs[1])
    if to.rank(node.inputs[1]) != 1 or slope.shape[0] == 1 or (rank := to.rank(name)) < 2:
        return _sloped(to.value(name), slope)
    if to.has_last(name):
        return Last(_sloped(to.last(name), slope))
    return _sloped(to.value(name), tf.reshape(slope, [-1, *[1] * (rank - 2)]))


def _sloped(x: Any, slope: Any) -> Any:
    return tf.where(x < 0, x * slope, x)
