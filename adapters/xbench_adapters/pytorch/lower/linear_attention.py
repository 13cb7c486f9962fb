"""Attention without softmax: a state that is updated token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx

from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_RULES = {
    "linear": (False, False),
    "gated": (True, False),
    "delta": (False, True),
    "gated_delta": (True, True),
}
"""By rule: whether the state decays, and whether a value replaces what its key recalls."""


def _tokens(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Return (batch, length, heads, size), in float32."""
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads).to(torch.float32)


def _written(
    state: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rate: torch.Tensor | None
) -> torch.Tensor:
    """Return the state with a value added at its key, or put for a part of what was there."""
    if rate is not None:
        value = rate * (value - (key.unsqueeze(-2) @ state).squeeze(-2))
    return state + key.unsqueeze(-1) * value.unsqueeze(-2)


def linear_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    state: torch.Tensor | None,
    decay: torch.Tensor | None,
    rate: torch.Tensor | None,
    heads: tuple[int, int],
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what each query reads from the state at its token, and the last state.

    Args:
        query: (batch, length, heads of queries * size).
        key: (batch, length, heads of keys * size).
        value: (batch, length, heads of keys * size of values).
        state: (batch, heads of keys, size, size of values); None to start from zeros.
        decay: Logarithms by which the state decays, for each head or each of its rows.
        rate: How much of the difference to what a key recalls is written; None to add.
        heads: How many heads queries have, and keys.
        scale: What is read is multiplied by it; 0 for 1 / sqrt(size).
    """
    out_dtype, state_dtype = query.dtype, query.dtype if state is None else state.dtype
    counts = (heads[0], heads[1], heads[1])
    query, key, value = map(_tokens, (query, key, value), counts)
    size, width = query.shape[-1], value.shape[-1]
    zeros = query.new_zeros(query.shape[0], heads[1], size, width)
    state = zeros if state is None else state.to(torch.float32)
    left = None if decay is None else _tokens(decay, heads[1]).exp()
    rates = None if rate is None else rate.to(torch.float32).unsqueeze(-1)
    query = query * (scale or size**-0.5)
    read = []
    for place in range(query.shape[1]):
        state = state if left is None else state * left[:, place].unsqueeze(-1)
        share = None if rates is None else rates[:, place]
        state = _written(state, key[:, place], value[:, place], share)
        asked = query[:, place].reshape(-1, heads[1], heads[0] // heads[1], size)
        read.append((asked @ state).flatten(1))
    whole = torch.stack(read, 1) if read else query.new_zeros(*query.shape[:2], heads[0] * width)
    return whole.to(out_dtype), state.to(state_dtype)


@lowering("LinearAttention", 1, domain=MICROSOFT)
@lowering("LinearAttention", 27)
def lowered(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return what is read from the state at each token, and the last state."""
    rule = node.attributes.get("update_rule", "gated_delta")
    heads = node.attributes["q_num_heads"], node.attributes["kv_num_heads"]
    if rule not in _RULES or heads[1] <= 0 or heads[0] % heads[1] or heads[0] <= 0:
        to.refuse(f"rule {rule!r} with {heads[0]} heads of queries and {heads[1]} of keys")
    if node.attributes.get("state_window", 0):
        to.refuse("a window of states")
    if _RULES[rule] != (bool(node.input(4)), bool(node.input(5))):
        to.refuse(f"rule {rule!r} with other inputs than it takes")
    query, key, value = (to.value(name) for name in node.inputs[:3])
    rest = (to.optional(node.input(place)) for place in (3, 4, 5))
    scale = float(node.attributes.get("scale") or 0.0)
    return to.items(to.call(linear_attention, query, key, value, *rest, heads, scale), 2)
