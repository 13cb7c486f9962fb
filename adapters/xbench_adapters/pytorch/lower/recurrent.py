"""Recurrent networks: native layers where ONNX's semantics are theirs, else step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.fx
from torch import nn

from xbench_adapters.pytorch.builder import Builder
from xbench_adapters.pytorch.lower.shared.recurrent_cells import Activation, States, stepped
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node

_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where each of PyTorch's gates stands among ONNX's: i f g o of i o f c, r z n of z r h."""

_USUAL = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}

_DEFAULTS: dict[str, tuple[float | None, ...]] = {
    "affine": (None, None),
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01,),
    "relu": (),
    "scaledtanh": (None, None),
    "sigmoid": (),
    "softplus": (),
    "softsign": (),
    "tanh": (),
    "thresholdedrelu": (None,),
}
"""The alpha, and the beta, that an activation has where none is given; None: it must be."""


def _layer(
    kind: str,
    x: torch.Tensor,
    states: States,
    weights: list[torch.Tensor],
    options: tuple[bool, bool],
) -> tuple[torch.Tensor, ...]:
    """Return the outputs of each step, and the last states; options: biased, bidirectional."""
    biased, bidirectional = options
    size = 2 if bidirectional else 1, x.shape[1], weights[1].shape[1]
    first = [x.new_zeros(size) if one is None else one for one in states]
    settings = (biased, 1, 0.0, False, bidirectional, False)
    if kind == "lstm":
        return torch.lstm(x, first, weights, *settings)
    run = getattr(torch, kind)
    found: tuple[torch.Tensor, ...] = run(x, first[0], weights, *settings)
    return found


class Recurrent(nn.Module):
    """A layer of a native recurrent network, run as a function over its weights.

    `torch.compile(fullgraph=True)` takes the functions but not the modules.
    """

    def __init__(
        self, kind: str, weights: list[nn.Parameter], *, biased: bool, bidirectional: bool
    ) -> None:
        super().__init__()
        self.kind = kind
        self.options = (biased, bidirectional)
        self.weights = nn.ParameterList(weights)

    def forward(self, x: torch.Tensor, states: States) -> tuple[torch.Tensor, ...]:
        """Return the outputs of each step, and the last states."""
        return _layer(self.kind, x, states, list(self.weights), self.options)


def layer(
    kind: str,
    x: torch.Tensor,
    states: States,
    weights: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    operator: str,
) -> tuple[torch.Tensor, ...]:
    """Return what a native layer gives for weights that are known only as the model runs.

    Args:
        kind: The native function.
        x: Steps, batch, inputs.
        states: The first ones; None for zeros.
        weights: For the input, for the state, and biases, as ONNX orders them.
        operator: ONNX's operator.
    """
    w, r, b = weights
    ordered: list[torch.Tensor] = []
    for place in range(w.shape[0]):
        parts = [w[place], r[place], *([] if b is None else b[place].chunk(2))]
        for part in parts:
            gates = part.chunk(len(_GATES[operator]))
            ordered.append(torch.cat([gates[gate] for gate in _GATES[operator]]))
    return _layer(kind, x, states, ordered, (b is not None, w.shape[0] == 2))


@lowering("LSTM", 1)
@lowering("GRU", 1)
@lowering("RNN", 1)
def recurrent(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the outputs of every step, the last output, and for LSTM the last cell state."""
    activations = _activations(node, to)
    kind = _kind(node, to, activations)
    by_batch = bool(node.attributes.get("layout", 0))
    x = to.value(node.inputs[0])
    x = to.call(torch.transpose, x, 0, 1) if by_batch else x
    states = _states(node, to, by_batch=by_batch)
    if kind is None:
        weights = tuple(to.optional(node.input(place)) for place in (1, 2, 3, 7))
        lengths = to.optional(node.input(4))
        rules = _direction(node, to), activations, _clip(node, to), _variant(node)
        found = to.call(stepped, x, weights, lengths, states, (node.operator, *rules))
        return _results(node, to, to.item(found, 0), found, by_batch=by_batch)
    backwards = _direction(node, to) == "reverse"
    x = to.call(torch.flip, x, [0]) if backwards else x
    found = _native(node, to, kind, x, states)
    every = to.item(found, 0)
    every = to.call(torch.flip, every, [0]) if backwards else every
    every = to.call(torch.unflatten, every, 2, (_directions(node, to), -1))
    every = to.call(torch.transpose, every, 1, 2)
    return _results(node, to, every, found, by_batch=by_batch)


def _direction(node: Node, to: Builder) -> str:
    direction = str(node.attributes["direction"])
    direction = "forward" if direction == "foward" else direction  # version 1's own default
    if direction not in ("forward", "reverse", "bidirectional"):
        to.refuse(f"direction {direction!r}")
    return direction


def _directions(node: Node, to: Builder) -> int:
    return 2 if _direction(node, to) == "bidirectional" else 1


def _variant(node: Node) -> bool:
    name = {"GRU": "linear_before_reset", "LSTM": "input_forget"}.get(node.operator, "")
    return bool(node.attributes.get(name, 0))


def _clip(node: Node, to: Builder) -> float | None:
    clip = node.attributes.get("clip")
    if clip is not None and clip <= 0:
        to.refuse(f"clip {clip}, which runtimes read differently")
    return None if clip is None else float(clip)


def _activations(node: Node, to: Builder) -> tuple[Activation, ...]:
    """Return the activations of all directions, each with its own alpha and beta.

    Those that take one take the next of the list, as ONNX says; a list with one for each
    activation, used or not, is refused where that would give others.
    """
    usual = _USUAL[node.operator]
    count = len(usual) * _directions(node, to)
    given = node.attributes.get("activations") or usual * _directions(node, to)
    names = [str(one).lower() for one in given]
    names = names[:count] if node.operator == "RNN" else names  # its default is for both ways
    if len(names) != count or not set(names) <= set(_DEFAULTS):
        to.refuse(f"activations {list(given)}")
    both = [
        [float(one) for one in node.attributes.get(f"activation_{name}") or ()]
        for name in ("alpha", "beta")
    ]
    left, found = [list(one) for one in both], list[Activation]()
    for place, name in enumerate(names):
        values = [0.0, 0.0]
        for which, default in enumerate(_DEFAULTS[name]):
            value = left[which].pop(0) if left[which] else default
            listed = both[which][place] if len(both[which]) == count else value
            if value is None or listed != value:
                to.refuse(f"activation_{('alpha', 'beta')[which]} for {list(given)}")
            values[which] = value
        found.append((name, values[0], values[1]))
    return tuple(found)


def _kind(node: Node, to: Builder, activations: tuple[Activation, ...]) -> str | None:
    """Return the native function's name, or None for what it does not do."""
    if _clip(node, to) is not None or _variant(node) != (node.operator == "GRU"):
        return None
    if node.input(7):
        peepholes = to.constant(node.inputs[7])
        if peepholes is None or np.any(peepholes):
            return None
    if node.input(4) and not _all_whole(node, to):
        return None
    names = tuple(name for name, _, _ in activations)
    if node.operator == "RNN" and set(names) == {"relu"}:
        return "rnn_relu"
    if names != _USUAL[node.operator] * _directions(node, to):
        return None
    return "rnn_tanh" if node.operator == "RNN" else node.operator.lower()


def _all_whole(node: Node, to: Builder) -> bool:
    """Return whether each sequence is known to have all steps."""
    lengths, shape = to.constant(node.inputs[4]), to.graph.value(node.inputs[0]).shape
    if lengths is None or shape is None:
        return False
    steps = shape[1] if node.attributes.get("layout", 0) else shape[0]
    return isinstance(steps, int) and bool((lengths == steps).all())


def _native(
    node: Node, to: Builder, kind: str, x: torch.fx.Node, states: tuple[torch.fx.Node | None, ...]
) -> torch.fx.Node:
    """Return what a native layer gives: a module where the weights are known."""
    names = [node.input(place) for place in (1, 2, 3)]
    if any(name and to.constant(name) is None for name in names):
        weights = tuple(to.optional(name) for name in names)
        return to.call(layer, kind, x, states, weights, node.operator)
    module = Recurrent(
        kind,
        _weights(node, to),
        biased=bool(node.input(3)),
        bidirectional=_directions(node, to) == 2,
    )
    return to.module(module, x, states)


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


def _states(node: Node, to: Builder, *, by_batch: bool) -> tuple[torch.fx.Node | None, ...]:
    """Return the first states; None where none is given: they are zero."""
    states: list[torch.fx.Node | None] = []
    for place in (5, 6) if node.operator == "LSTM" else (5,):
        state = to.optional(node.input(place))
        turned = state is not None and by_batch
        states.append(to.call(torch.transpose, state, 0, 1) if turned else state)
    return tuple(states)


def _results(
    node: Node, to: Builder, every: torch.fx.Node, found: torch.fx.Node, *, by_batch: bool
) -> tuple[torch.fx.Node, ...]:
    """Return outputs, given as steps, directions, batch, outputs, in the layout asked for."""
    last = [to.item(found, place) for place in range(1, len(node.outputs))]
    if not by_batch:
        return (every, *last)
    last = [to.call(torch.transpose, one, 0, 1) for one in last]
    return (to.call(torch.permute, every, (2, 0, 1, 3)), *last)
