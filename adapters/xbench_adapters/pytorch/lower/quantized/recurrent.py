"""The recurrent network of ONNX Runtime's quantiser: products of whole numbers in each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.fx

from xbench_adapters.pytorch.lower.index import turned
from xbench_adapters.pytorch.lower.quantized.integer_products import in_floats
from xbench_adapters.pytorch.lower.quantized.transformer import dynamic_product
from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

Weight = tuple[torch.Tensor, torch.Tensor]
"""By direction: a matrix less its zero point, and what it is to be multiplied by."""

_USUAL = ["Sigmoid", "Tanh", "Tanh"]


def less_zero(weight: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    """Return matrices less their zero points, one a direction or one a column of each."""
    wide = zero.reshape(weight.shape[0], 1, -1)
    return weight.to(torch.float64) - wide.to(torch.float64)


def lstm_quantized(
    x: torch.Tensor,
    inner: Weight,
    outer: Weight,
    bias: torch.Tensor | None,
    lengths: torch.Tensor | None,
    states: tuple[torch.Tensor | None, torch.Tensor | None],
    direction: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the outputs of every step, the last output and the last cell state.

    Args:
        x: By step, sample and feature.
        inner: What the input is multiplied by.
        outer: What the output of the step before is multiplied by.
        bias: By direction, that of the input after that of the output; None for none.
        lengths: How many steps each sample has; None for all.
        states: The first output and cell state, by direction; None for zero.
        direction: ``forward``, ``reverse`` or ``bidirectional``.
    """
    found = []
    for place in range(inner[0].shape[0]):
        backwards = direction == "reverse" or place == 1
        added = None if bias is None else bias[place].reshape(2, -1).sum(0)
        gates = dynamic_product(x, inner[0][place], None, inner[1][place], added)
        first = [None if one is None else one[place] for one in states]
        gates = backwards_in_time(gates, lengths) if backwards else gates
        steps, last, cell = _steps(gates, outer[0][place], outer[1][place], lengths, first)
        found.append((backwards_in_time(steps, lengths) if backwards else steps, last, cell))
    every, lasts, cells = zip(*found, strict=True)
    return torch.stack(every, 1), torch.stack(lasts), torch.stack(cells)


def _steps(
    gates: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor,
    lengths: torch.Tensor | None,
    first: list[torch.Tensor | None],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the outputs of one direction, its last output and its last cell state."""
    steps, batch, width = gates.shape
    zeros = gates.new_zeros(batch, width // 4)
    state, cell = (zeros if one is None else one for one in first)
    fed, every = state, []
    for step in range(steps):
        mixed = gates[step] + dynamic_product(fed, weight, None, scale, None)
        let_in, let_out, keep, new = mixed.chunk(4, -1)
        later = torch.sigmoid(keep) * cell + torch.sigmoid(let_in) * torch.tanh(new)
        fed = torch.sigmoid(let_out) * torch.tanh(later)
        if lengths is None:
            state, cell = fed, later
        else:  # a sample that has ended adds nothing to the range of the next step's input
            runs = (step < lengths).unsqueeze(-1)
            state, cell = torch.where(runs, fed, state), torch.where(runs, later, cell)
            fed = torch.where(runs, fed, zeros)
        every.append(fed)
    return torch.stack(every), state, cell


def backwards_in_time(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return the steps of each sample backwards; those after its end stay where they are."""
    return x.flip(0) if lengths is None else turned(x, lengths, 1, 0)


@lowering("DynamicQuantizeLSTM", 1, domain=MICROSOFT)
def dynamic_quantize_lstm(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the outputs of every step, the last output and the last cell state."""
    _usual(node, to)
    weights = [_weight(node, to, place, scale) for place, scale in ((1, 8), (2, 10))]
    bias, lengths, *states = (to.optional(node.input(place)) for place in (3, 4, 5, 6))
    found = to.call(
        lstm_quantized,
        to.value(node.inputs[0]),
        *weights,
        bias,
        lengths,
        tuple(states),
        node.attributes.get("direction", "forward"),
    )
    return to.items(found, 3)


def _weight(node: Node, to: Builder, place: int, scale: int) -> tuple[torch.fx.Node, torch.fx.Node]:
    """Return a weight less its zero point, and its scale, which stands before the zero point."""
    name, zero = node.inputs[place], node.inputs[scale + 1]
    array, offsets = to.constant(name), to.constant(zero)
    if array is None or offsets is None:
        less = to.call(less_zero, to.value(name), to.value(zero))
        return less, to.value(node.inputs[scale])
    whole = array.astype(np.int64) - offsets.astype(np.int64).reshape(array.shape[0], 1, -1)
    return to.fixed(f"{name}_centred", in_floats(whole, (1,))), to.value(node.inputs[scale])


def _usual(node: Node, to: Builder) -> None:
    """Refuse gates other than the usual ones."""
    given = node.attributes
    if given.get("clip") or given.get("input_forget", 0):
        to.refuse("clip or input_forget")
    if given.get("activation_alpha") or given.get("activation_beta"):
        to.refuse("activation_alpha or activation_beta")
    names = [one.capitalize() for one in given.get("activations") or []]
    directions = 2 if given.get("direction", "forward") == "bidirectional" else 1
    if names and names != _USUAL * directions:
        to.refuse(f"activations {names}")
    if node.input(7) and np.any(to.need(node.inputs[7], "peephole weights")):
        to.refuse("peepholes")
