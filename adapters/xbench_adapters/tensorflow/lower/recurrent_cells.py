"""One step of a recurrent network, with all that no step waits for computed before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from xbench.graph.recurrent import Activation
from xbench_adapters.tensorflow.unfolded import weight_of

States = tuple[Any, ...]
Step = Callable[[tuple[Any, ...], States], States]
"""From what the inputs give at a step and the states before it, to the states after it."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of one direction: arrays where they are known, else tensors.

    Attributes:
        inputs: By inputs and gates.
        state: By outputs and gates.
        biases: Of the inputs and of the state; None for zeros.
        peepholes: Of the gates that look at the cell; None for zeros.
    """

    inputs: Any
    state: Any
    biases: tuple[Any, Any] | None
    peepholes: Any

    @property
    def size(self) -> int:
        """Return how many outputs a step has."""
        return int(self.state.shape[0])


@dataclass(frozen=True, slots=True)
class Options:
    """How the gates of one direction are computed: see `xbench.graph.recurrent.Rules`."""

    activations: tuple[Activation, ...]
    clip: float | None
    variant: bool

    def gate(self, x: Any, place: int) -> Any:
        """Return the activation at ``place``, of what the clip leaves."""
        if self.clip is not None:
            x = tf.clip_by_value(x, -self.clip, self.clip)
        return activated(x, self.activations[place])


def _hard_sigmoid(x: Any, alpha: float, beta: float) -> Any:
    return tf.clip_by_value(x * alpha + beta, 0, 1)


def _thresholded(x: Any, alpha: float, _: float) -> Any:
    return tf.where(x >= alpha, x, tf.zeros_like(x))


_FUNCTIONS: dict[str, Callable[[Any, float, float], Any]] = {
    "affine": lambda x, alpha, beta: x * alpha + beta,
    "elu": lambda x, alpha, _: tf.where(x < 0, tf.math.expm1(tf.minimum(x, 0)) * alpha, x),
    "hardsigmoid": _hard_sigmoid,
    "leakyrelu": lambda x, alpha, _: tf.where(x < 0, x * alpha, x),
    "relu": lambda x, *_: tf.nn.relu(x),
    "scaledtanh": lambda x, alpha, beta: tf.tanh(x * beta) * alpha,
    "sigmoid": lambda x, *_: tf.sigmoid(x),
    "softplus": lambda x, *_: tf.math.softplus(x),
    "softsign": lambda x, *_: tf.nn.softsign(x),
    "tanh": lambda x, *_: tf.tanh(x),
    "thresholdedrelu": _thresholded,
}


def activated(x: Any, activation: Activation) -> Any:
    """Return a function of each element."""
    name, alpha, beta = activation
    return _FUNCTIONS[name](x, alpha, beta)


def projected(x: Any, weight: Any, bias: Any) -> Any:
    """Return the product of all steps with a weight at once: steps, batch, gates."""
    shape = tf.shape(x)
    found = tf.matmul(tf.reshape(x, [-1, x.shape[2] or shape[2]]), weight_of(weight))
    found = found if bias is None else tf.nn.bias_add(found, bias)
    steps, batch = (shape[at] if x.shape[at] is None else x.shape[at] for at in (0, 1))
    return tf.reshape(found, [steps, batch, weight.shape[1]])


def _sum(weights: Weights) -> Any:
    """Return both biases in one: the state's need not wait for the state."""
    return None if weights.biases is None else weights.biases[0] + weights.biases[1]


def rnn(x: Any, weights: Weights, options: Options) -> tuple[tuple[Any, ...], Step]:
    """Return what the inputs give, and the step of a simple network."""
    state = weight_of(weights.state)

    def step(inputs: tuple[Any, ...], now: States) -> States:
        return (options.gate(inputs[0] + tf.matmul(now[0], state), 0),)

    return (projected(x, weights.inputs, _sum(weights)),), step


def gru(x: Any, weights: Weights, options: Options) -> tuple[tuple[Any, ...], Step]:
    """Return what the inputs give, and the step of a gated network of one state."""
    return (_reset_after if options.variant else _reset_before)(x, weights, options)


def _reset_before(x: Any, weights: Weights, options: Options) -> tuple[tuple[Any, ...], Step]:
    size = weights.size
    parts = weights.state[:, : 2 * size], weights.state[:, 2 * size :]
    gates, rest = map(weight_of, parts)

    def step(inputs: tuple[Any, ...], now: States) -> States:
        (h,) = now
        both = options.gate(inputs[0] + tf.matmul(h, gates), 0)
        update, reset = tf.split(both, 2, 1)
        new = options.gate(inputs[1] + tf.matmul(reset * h, rest), 1)
        return (new + update * (h - new),)

    found = projected(x, weights.inputs, _sum(weights))
    return tuple(tf.split(found, [2 * size, size], 2)), step


def _reset_after(x: Any, weights: Weights, options: Options) -> tuple[tuple[Any, ...], Step]:
    size, bias, late = weights.size, None, None
    state = weight_of(weights.state)
    if weights.biases is not None:
        ours, theirs = weights.biases
        late = theirs[2 * size :]
        early = [theirs[: 2 * size], tf.zeros_like(late)]
        bias = ours + tf.concat(early, 0)

    def step(inputs: tuple[Any, ...], now: States) -> States:
        (h,) = now
        from_gates, from_new = tf.split(tf.matmul(h, state), [2 * size, size], 1)
        from_new = from_new if late is None else from_new + late
        both = options.gate(inputs[0] + from_gates, 0)
        update, reset = tf.split(both, 2, 1)
        new = options.gate(inputs[1] + reset * from_new, 1)
        return (new + update * (h - new),)

    found = projected(x, weights.inputs, bias)
    return tuple(tf.split(found, [2 * size, size], 2)), step


def lstm(x: Any, weights: Weights, options: Options) -> tuple[tuple[Any, ...], Step]:
    """Return what the inputs give, and the step of a gated network with a cell.

    As in ONNX Runtime, the clip is for the gates and not for the cell.
    """
    size, state = weights.size, weight_of(weights.state)

    def step(inputs: tuple[Any, ...], now: States) -> States:
        h, cell = now
        gates = inputs[0] + tf.matmul(h, state)
        if weights.peepholes is not None:
            return _looking(gates, cell, weights, options)
        three, new = tf.split(gates, [3 * size, size], 1)
        enters, leaves, kept = tf.split(options.gate(three, 0), 3, 1)
        kept = 1 - enters if options.variant else kept
        cell = kept * cell + enters * options.gate(new, 1)
        return leaves * activated(cell, options.activations[2]), cell

    return (projected(x, weights.inputs, _sum(weights)),), step


def _looking(gates: Any, cell: Any, weights: Weights, options: Options) -> States:
    """Return the states after gates that look at the cell."""
    enters, leaves, forgets, new = tf.split(gates, 4, 1)
    for_enters, for_leaves, for_forgets = (
        weights.peepholes[place * weights.size : (place + 1) * weights.size] for place in range(3)
    )
    enters = options.gate(enters + for_enters * cell, 0)
    kept = 1 - enters if options.variant else options.gate(forgets + for_forgets * cell, 0)
    cell = kept * cell + enters * options.gate(new, 1)
    leaves = options.gate(leaves + for_leaves * cell, 0)
    return leaves * activated(cell, options.activations[2]), cell


CELLS = {"RNN": rnn, "GRU": gru, "LSTM": lstm}


def turned(array: Any) -> Any:
    """Return a matrix with its axes swapped, now if it is known."""
    return np.ascontiguousarray(array.T) if isinstance(array, np.ndarray) else tf.transpose(array)
