"""Biases of attention that depend on how far apart two tokens are."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared.attend import split_heads
from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def buckets(gaps: torch.Tensor, count: int, farthest: int, either: bool) -> torch.Tensor:
    """Return the bucket of each distance: its own if it is near, else by its logarithm.

    Args:
        gaps: Places of keys less places of queries.
        count: How many buckets there are.
        farthest: The distance from which all are in the last bucket.
        either: Whether keys behind the query have the second half of the buckets.
    """
    base = torch.zeros_like(gaps)
    if either:
        count //= 2
        base = torch.where(gaps > 0, count, 0)
        far = gaps.abs()
    else:
        far = (-gaps).clamp(min=0)
    near = count // 2
    ratio = torch.log(far.clamp(min=1).to(torch.float32) / near) / log(farthest / near)
    coarse = (near + (ratio * (count - near)).to(torch.int64)).clamp(max=count - 1)
    return base + torch.where(far < near, far, coarse)


def relative_bias(
    table: torch.Tensor, queries: int, keys: int, farthest: int, either: bool
) -> torch.Tensor:
    """Return the bias of each head for each pair of a query and a key.

    The table's numbers stand head by head, whatever its shape says.
    """
    count, heads = table.shape
    places = torch.arange(max(queries, keys), device=table.device)
    gaps = places[None, :keys] - places[:queries, None]
    chosen = buckets(gaps, count, farthest, either)
    return table.reshape(heads, count)[:, chosen][None]


@lowering("RelativePositionBias", 1, domain=MICROSOFT)
def relative_position_bias(node: Node, to: Builder) -> torch.fx.Node:
    """Return a bias by the distance of a query and a key, for as many as are asked."""
    lengths = (to.number(name) for name in node.inputs[1:3])
    either = bool(node.attributes.get("is_bidirectional", 0))
    farthest = node.attributes["max_distance"]
    return to.call(relative_bias, to.value(node.inputs[0]), *lengths, farthest, either)


def gated_bias(
    query: torch.Tensor,
    query_bias: torch.Tensor,
    places: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    factor: torch.Tensor,
    heads: int,
) -> torch.Tensor:
    """Return a bias by place, times what two gates make of each query.

    Args:
        query: Queries (batch, length, heads * size).
        query_bias: What is added to them.
        places: The bias (1, heads, length, length).
        weight: The gates' matrix.
        bias: The gates' vector.
        factor: What the second gate is multiplied by (1, heads, 1, 1).
        heads: How many heads there are.
    """
    gates = split_heads(query + query_bias, heads) @ weight + bias
    gates = torch.sigmoid(gates.reshape(*gates.shape[:3], 2, gates.shape[3] // 2).sum(-1))
    first, second = gates[..., :1], gates[..., 1:]
    return (first * (second * factor - 1.0) + 2.0) * places


@lowering("GatedRelativePositionBias", 1, domain=MICROSOFT)
def gated_relative_position_bias(node: Node, to: Builder) -> torch.fx.Node:
    """Return a bias by place that gates of the queries weigh."""
    if node.input(6):
        to.refuse("queries without their padding")
    given = (to.value(name) for name in node.inputs[:6])
    return to.call(gated_bias, *given, node.attributes["num_heads"])
