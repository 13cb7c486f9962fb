"""Recurrent networks step by step, for what native layers do not do as ONNX defines it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

Activation = tuple[str, float, float]
"""A function's name in lower case, and its alpha and beta."""

Rules = tuple[str, str, tuple[Activation, ...], float | None, bool]
"""The operator, its direction, its activations, the clip, and whether it is the variant.

The variant of GRU applies the reset gate after the linear map (`linear_before_reset`), that
of LSTM forgets what it takes in (`input_forget`).
"""

Weights = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]
"""For the input, for the state, biases, and peepholes; each of all directions."""

States = tuple[torch.Tensor | None, ...]
_Now = list[torch.Tensor]
_Step = Callable[[torch.Tensor, _Now], _Now]


def _affine(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    return x * alpha + beta


def _elu(x: torch.Tensor, alpha: float, _: float) -> torch.Tensor:
    return functional.elu(x, alpha)


def _hard_sigmoid(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    return (x * alpha + beta).clamp(0, 1)


def _leaky_relu(x: torch.Tensor, alpha: float, _: float) -> torch.Tensor:
    return functional.leaky_relu(x, alpha)


def _relu(x: torch.Tensor, *_: float) -> torch.Tensor:
    return torch.relu(x)


def _scaled_tanh(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    return torch.tanh(x * beta) * alpha


def _sigmoid(x: torch.Tensor, *_: float) -> torch.Tensor:
    return torch.sigmoid(x)


def _softplus(x: torch.Tensor, *_: float) -> torch.Tensor:
    # From 40 on it is x in doubles too; the usual 20 is right for floats only.
    return functional.softplus(x, threshold=40)


def _softsign(x: torch.Tensor, *_: float) -> torch.Tensor:
    return functional.softsign(x)


def _tanh(x: torch.Tensor, *_: float) -> torch.Tensor:
    return torch.tanh(x)


def _thresholded_relu(x: torch.Tensor, alpha: float, _: float) -> torch.Tensor:
    return torch.where(x >= alpha, x, 0)


_FUNCTIONS: dict[str, Callable[[torch.Tensor, float, float], torch.Tensor]] = {
    "affine": _affine,
    "elu": _elu,
    "hardsigmoid": _hard_sigmoid,
    "leakyrelu": _leaky_relu,
    "relu": _relu,
    "scaledtanh": _scaled_tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "softsign": _softsign,
    "tanh": _tanh,
    "thresholdedrelu": _thresholded_relu,
}


def _activated(x: torch.Tensor, activation: Activation, clip: float | None) -> torch.Tensor:
    name, alpha, beta = activation
    x = x if clip is None else x.clamp(-clip, clip)
    return _FUNCTIONS[name](x, alpha, beta)


def stepped(
    x: torch.Tensor,
    weights: Weights,
    lengths: torch.Tensor | None,
    states: States,
    rules: Rules,
) -> tuple[torch.Tensor, ...]:
    """Return the outputs of every step, and the last states.

    Args:
        x: Steps, batch, inputs.
        weights: As ONNX orders them.
        lengths: How many steps each item of the batch has; the outputs after them are zero.
        states: The first ones; None for zeros.
        rules: What the network computes.

    Returns:
        Outputs as steps, directions, batch, outputs; states as directions, batch, outputs.
    """
    w, r, b, p = weights
    zeros = x.new_zeros((x.shape[1], r.shape[2]))
    found = []
    for place in range(w.shape[0]):
        first = [zeros if one is None else one[place] for one in states]
        mine = w[place], r[place], _part(b, place), _part(p, place)
        backwards = rules[1] == "reverse" or place == 1
        count = len(rules[2]) // w.shape[0]
        activations = rules[2][place * count : (place + 1) * count]
        inputs, step = _STEPS[rules[0]](x, mine, activations, rules[3], rules[4])
        found.append(_run(inputs, step, first, lengths, backwards))
    outputs = torch.stack([one[0] for one in found], 1)
    last = [torch.stack(list(one)) for one in zip(*[one[1] for one in found], strict=True)]
    return (outputs, *last)


def _part(x: torch.Tensor | None, place: int) -> torch.Tensor | None:
    return None if x is None else x[place]


def _run(
    inputs: torch.Tensor, step: _Step, now: _Now, lengths: torch.Tensor | None, backwards: bool
) -> tuple[torch.Tensor, _Now]:
    """Return the outputs of every step in one direction, and the last states.

    As in ONNX Runtime, an item of no steps ends with zeros, whatever it started with.
    """
    steps = inputs.shape[0]
    outputs: list[torch.Tensor] = []
    for time in reversed(range(steps)) if backwards else range(steps):
        then = step(inputs[time], now)
        if lengths is None:
            now = then
            outputs.append(now[0])
            continue
        goes_on = (lengths > time).unsqueeze(1)
        now = [torch.where(goes_on, new, old) for new, old in zip(then, now, strict=True)]
        outputs.append(torch.where(goes_on, now[0], 0))
    if lengths is not None:
        now = [torch.where((lengths > 0).unsqueeze(1), one, 0) for one in now]
    return torch.stack(outputs[::-1] if backwards else outputs), now


def _halves(b: torch.Tensor | None) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return the biases of the input and of the state."""
    if b is None:
        return None, None
    ours, theirs = b.chunk(2)
    return ours, theirs


def _rnn(
    x: torch.Tensor,
    weights: Weights,
    activations: tuple[Activation, ...],
    clip: float | None,
    _: bool,
) -> tuple[torch.Tensor, _Step]:
    w, r, b, _p = weights
    ours, theirs = _halves(b)

    def step(inputs: torch.Tensor, now: _Now) -> _Now:
        return [_activated(inputs + functional.linear(now[0], r, theirs), activations[0], clip)]

    return functional.linear(x, w, ours), step


def _gru(
    x: torch.Tensor,
    weights: Weights,
    activations: tuple[Activation, ...],
    clip: float | None,
    reset_last: bool,
) -> tuple[torch.Tensor, _Step]:
    w, r, b, _p = weights
    ours, theirs = _halves(b)
    size = 2 * r.shape[1]
    f, g = activations
    gates, rest = (r, r) if reset_last else (r[:size], r[size:])
    offsets = theirs if theirs is None or reset_last else theirs[:size]
    offset = None if theirs is None else theirs[size:]

    def step(inputs: torch.Tensor, now: _Now) -> _Now:
        (h,) = now
        update, reset, new = inputs.chunk(3, -1)
        if reset_last:
            from_update, from_reset, from_new = functional.linear(h, gates, offsets).chunk(3, -1)
            new = new + _activated(reset + from_reset, f, clip) * from_new
        else:
            from_update, from_reset = functional.linear(h, gates, offsets).chunk(2, -1)
            held = _activated(reset + from_reset, f, clip) * h
            new = new + functional.linear(held, rest, offset)
        kept = _activated(update + from_update, f, clip)
        return [(1 - kept) * _activated(new, g, clip) + kept * h]

    return functional.linear(x, w, ours), step


def _lstm(
    x: torch.Tensor,
    weights: Weights,
    activations: tuple[Activation, ...],
    clip: float | None,
    coupled: bool,
) -> tuple[torch.Tensor, _Step]:
    w, r, b, p = weights
    ours, theirs = _halves(b)
    f, g, h = activations
    peepholes = None if p is None else p.chunk(3)

    def step(inputs: torch.Tensor, now: _Now) -> _Now:
        state, cell = now
        gates = inputs + functional.linear(state, r, theirs)
        enters, leaves, forgets, new = gates.chunk(4, -1)
        if peepholes is not None:
            enters, forgets = enters + peepholes[0] * cell, forgets + peepholes[2] * cell
        enters = _activated(enters, f, clip)
        kept = 1 - enters if coupled else _activated(forgets, f, clip)
        cell = kept * cell + enters * _activated(new, g, clip)
        if peepholes is not None:
            leaves = leaves + peepholes[1] * cell
        # As in ONNX Runtime, the clip is for the gates and not for the cell.
        return [_activated(leaves, f, clip) * _activated(cell, h, None), cell]

    return functional.linear(x, w, ours), step


_STEPS = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}
