"""Rotary embeddings: pairs of elements turned by the angle of their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def turned(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int, interleaved: bool
) -> torch.Tensor:
    """Return the first elements of each head turned, as many as the angles are for.

    Args:
        x: (batch, heads, length, size) or (batch, length, heads * size).
        cos: Cosines (batch, length, half of the elements turned).
        sin: Sines, likewise.
        heads: How many heads ``x`` has, where it has no axis for them; 0 if all is turned.
        interleaved: Whether the two of a pair stand side by side, not half a head apart.
    """
    width, axis = 2 * cos.shape[-1], 1
    split = x
    if x.ndim == 3:
        heads = heads or x.shape[2] // width
        split, axis = x.reshape(*x.shape[:2], heads, x.shape[2] // heads), 2
    cos, sin = cos.unsqueeze(axis), sin.unsqueeze(axis)
    part = split[..., :width]
    left, right = (part[..., 0::2], part[..., 1::2]) if interleaved else part.tensor_split(2, -1)
    pair = left * cos - right * sin, left * sin + right * cos
    whole = torch.stack(pair, -1).flatten(-2) if interleaved else torch.cat(pair, -1)
    if width < split.shape[-1]:
        whole = torch.cat((whole, split[..., width:]), -1)
    return whole.reshape(x.shape)


def turned_at(
    x: torch.Tensor,
    places: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    heads: int,
    interleaved: bool,
) -> torch.Tensor:
    """Return ``x`` turned by the angles of ``places``, which tables hold.

    Args:
        x: (batch, heads, length, size) or (batch, length, heads * size).
        places: The place of each (batch, length), or that of the first one alone.
        cos: Cosines by place.
        sin: Sines by place.
        heads: See `turned`.
        interleaved: See `turned`.
    """
    if places.ndim < 2:
        length = x.shape[2 if x.ndim == 4 else 1]
        places = (places.reshape(1) + torch.arange(length, device=x.device))[None]
    angles = functional.embedding(places, cos), functional.embedding(places, sin)
    return turned(x, *angles, heads, interleaved)


@lowering("RotaryEmbedding", 23)
def rotary_embedding(node: Node, to: Builder) -> torch.fx.Node:
    """Return heads with their elements turned by angles given, or those of places given."""
    x, cos, sin = (to.value(name) for name in node.inputs[:3])
    heads = node.attributes.get("num_heads") or 0
    if not heads and to.rank(node.inputs[0]) == 3:
        to.refuse("three dimensions without a number of heads")
    options = heads, bool(node.attributes["interleaved"])
    if not node.input(3):
        return to.call(turned, x, cos, sin, *options)
    return to.call(turned_at, x, to.value(node.inputs[3]), cos, sin, *options)


@lowering("RotaryEmbedding", 1, domain=MICROSOFT)
def microsoft_rotary_embedding(node: Node, to: Builder) -> torch.fx.Node:
    """Return heads with their elements turned by the angles of places."""
    if node.attributes.get("is_packed_batching", 0) or node.attributes.get("scale", 1.0) != 1.0:
        to.refuse("packed batches or a scale of its own")
    options = node.attributes.get("num_heads", 0), bool(node.attributes.get("interleaved", 0))
    return to.call(turned_at, *map(to.value, node.inputs[:4]), *options)
