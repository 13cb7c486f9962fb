"""Recurrent networks, where ONNX's semantics are those of the native modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.fx
from torch import nn

from xbench_adapters.pytorch.builder import Builder
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node

_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where each of PyTorch's gates stands among ONNX's: i f g o of i o f c, r z n of z r h."""

_USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}


class Recurrent(nn.Module):
    """A layer of a native recurrent network, run as a function over its weights.

    `torch.compile(fullgraph=True)` takes the functions but not the modules.
    """

    def __init__(
        self, kind: str, weights: list[nn.Parameter], *, biased: bool, bidirectional: bool
    ) -> None:
        super().__init__()
        self.kind = kind
        self.biased = biased
        self.bidirectional = bidirectional
        self.weights = nn.ParameterList(weights)

    def forward(
        self, x: torch.Tensor, states: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        """Return the outputs of each step, and the last states."""
        weights = list(self.weights)
        options = (self.biased, 1, 0.0, False, self.bidirectional, False)
        if self.kind == "lstm":
            return torch.lstm(x, states, weights, *options)
        run = getattr(torch, self.kind)
        found: tuple[torch.Tensor, ...] = run(x, states[0], weights, *options)
        return found


@lowering("LSTM", 7)
@lowering("GRU", 7)
@lowering("RNN", 7)
def recurrent(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the outputs of every step, the last output, and for LSTM the last cell state."""
    kind = _kind(node, to)
    direction = node.attributes["direction"]
    by_batch = bool(node.attributes.get("layout", 0))
    x = to.value(node.inputs[0])
    x = to.call(torch.transpose, x, 0, 1) if by_batch else x
    backwards = direction == "reverse"
    x = to.call(torch.flip, x, [0]) if backwards else x
    states = _states(node, to, by_batch=by_batch)
    module = Recurrent(
        kind,
        _weights(node, to),
        biased=bool(node.input(3)),
        bidirectional=direction == "bidirectional",
    )
    return _results(node, to, to.module(module, x, states), backwards, by_batch=by_batch)


def _kind(node: Node, to: Builder) -> str:
    """Return the native function's name, or refuse what it does not do."""
    attributes, operator = node.attributes, node.operator
    if attributes.get("clip") or attributes.get("input_forget", 0):
        to.refuse("clip or input_forget")
    if operator == "GRU" and not attributes.get("linear_before_reset", 0):
        to.refuse("linear_before_reset=0")
    if node.input(7) and np.any(to.need(node.inputs[7], "peephole weights")):
        to.refuse("peepholes")
    if node.input(4):
        lengths = to.need(node.inputs[4], "sequence lengths")
        shape = to.shape(node.inputs[0])
        steps = shape[1] if attributes.get("layout", 0) else shape[0]
        if (lengths != steps).any():
            to.refuse("sequences of different lengths")
    return _by_activation(node, to)


def _by_activation(node: Node, to: Builder) -> str:
    directions = to.shape(node.inputs[1])[0]
    if node.attributes.get("activation_alpha") or node.attributes.get("activation_beta"):
        to.refuse("activation_alpha or activation_beta")
    given = [one.capitalize() for one in node.attributes.get("activations") or []]
    if node.operator == "RNN":
        kinds = set(given or ["Tanh"])
        if kinds not in ({"Tanh"}, {"Relu"}):
            to.refuse(f"activations {given}")
        return f"rnn_{kinds.pop().lower()}"
    if given and given != _USUAL[node.operator] * directions:
        to.refuse(f"activations {given}")
    return node.operator.lower()


def _ordered(array: Array, operator: str) -> Array:
    """Return the blocks of gates along the first axis, in PyTorch's order."""
    gates = np.split(array, len(_GATES[operator]))
    return np.concatenate([gates[place] for place in _GATES[operator]])


def _weights(node: Node, to: Builder) -> list[nn.Parameter]:
    """Return PyTorch's weights: for each direction W, R and both biases."""
    inner, outer = to.need(node.inputs[1], "weights"), to.need(node.inputs[2], "weights")
    biases = to.need(node.inputs[3], "biases") if node.input(3) else None
    found: list[Array] = []
    for direction in range(len(inner)):
        found += [inner[direction], outer[direction]]
        if biases is not None:
            found += np.split(biases[direction], 2)
    return [to.parameter(_ordered(one, node.operator)) for one in found]


def _states(node: Node, to: Builder, *, by_batch: bool) -> tuple[torch.fx.Node, ...]:
    """Return the first states, which are zero where none is given."""
    shape = to.shape(node.inputs[0])
    directions, _, hidden = to.shape(node.inputs[2])
    zeros = (directions, shape[0] if by_batch else shape[1], hidden)
    states = []
    for place in (5, 6) if node.operator == "LSTM" else (5,):
        if node.input(place):
            state = to.value(node.inputs[place])
            states.append(to.call(torch.transpose, state, 0, 1) if by_batch else state)
        else:
            fill = np.zeros(zeros, to.graph.value(node.inputs[0]).dtype)
            states.append(to.fixed(f"{node.name}_start", fill))
    return tuple(states)


def _results(
    node: Node, to: Builder, found: torch.fx.Node, backwards: bool, *, by_batch: bool
) -> tuple[torch.fx.Node, ...]:
    """Return outputs with ONNX's axis of directions, in the layout asked for."""
    directions, _, hidden = to.shape(node.inputs[2])
    shape = to.shape(node.inputs[0])
    steps, batch = (shape[1], shape[0]) if by_batch else (shape[0], shape[1])
    every = to.item(found, 0)
    every = to.call(torch.flip, every, [0]) if backwards else every
    every = to.call(torch.reshape, every, (steps, batch, directions, hidden))
    order = (1, 0, 2, 3) if by_batch else (0, 2, 1, 3)
    last = [to.item(found, place) for place in range(1, len(node.outputs))]
    if by_batch:
        last = [to.call(torch.transpose, one, 0, 1) for one in last]
    return (to.call(torch.permute, every, order), *last)
