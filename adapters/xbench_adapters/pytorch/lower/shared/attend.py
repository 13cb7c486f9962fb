"""Attention in plain tensors: what the operators of several domains have in common.

Tensors of heads are (batch, heads, length, size), as PyTorch's own attention takes them.
"""

from __future__ import annotations

from math import sqrt

import torch

LOWEST = -float("inf")
"""What is added to the score of a key that must not count."""


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Return the heads of (batch, length, heads * size); what has heads stays as it is."""
    if x.ndim == 4:
        return x
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)


def merge_heads(x: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
    """Return heads as (batch, length, heads * size), unless ``like`` has heads itself."""
    if like is not None and like.ndim == 4:
        return x
    return x.transpose(1, 2).flatten(2)


def grown(past: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Return the keys or values of the past, and then the new ones."""
    return torch.cat((past, new), 2)


def reachable(
    queries: int, keys: int, offset: torch.Tensor | int, reach: tuple[int, int], x: torch.Tensor
) -> torch.Tensor:
    """Return which keys each query may see: those within reach of its own place.

    Args:
        queries: How many queries there are.
        keys: How many keys there are.
        offset: The place of the first query among the keys: one number, or one an item.
        reach: How many keys before and after its own place; below zero for all.
        x: A tensor on the device wanted.
    """
    places = torch.arange(queries, device=x.device)
    if isinstance(offset, torch.Tensor):
        places = (places + offset.reshape(-1, 1))[:, None]
    else:
        places = places + offset
    gaps = torch.arange(keys, device=x.device) - places[..., None]
    before, after = reach
    if before < 0:
        return gaps <= after
    near = gaps >= -before
    return near if after < 0 else near & (gaps <= after)


def both(mask: torch.Tensor | None, seen: torch.Tensor | None) -> torch.Tensor | None:
    """Return the mask that masks what either does; of floats if the first one is."""
    if mask is None or seen is None:
        return seen if mask is None else mask
    return mask & seen if mask.dtype == torch.bool else torch.where(seen, mask, LOWEST)


def as_bias(mask: torch.Tensor, dtype: torch.dtype, lowest: float = LOWEST) -> torch.Tensor:
    """Return a mask as numbers to add to scores: ``lowest`` for a key that does not count."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, lowest)


def repeated(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Return each head of keys or values as often as queries share it."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], 1)


def capped(scores: torch.Tensor, cap: float) -> torch.Tensor:
    """Return scores bent to stay below ``cap``; as they are where it is 0."""
    return torch.tanh(scores / cap) * cap if cap > 0 else scores


def scores_of(query: torch.Tensor, key: torch.Tensor, scale: float | None) -> torch.Tensor:
    """Return the scaled products of queries and keys; both are scaled, against overflow."""
    root = sqrt(scale if scale is not None else query.shape[-1] ** -0.5)
    return (query * root) @ (repeated(key, query.shape[1]) * root).transpose(-1, -2)


def weights_of(
    scores: torch.Tensor, mask: torch.Tensor | None, precision: torch.dtype
) -> torch.Tensor:
    """Return the softmax of scores, to which a mask was added: 0 where all is masked."""
    weights = torch.softmax(scores.to(precision), -1)
    if mask is None:
        return weights
    seen = mask if mask.dtype == torch.bool else mask != LOWEST
    return weights.masked_fill(~seen.any(-1, keepdim=True), 0.0)


def attended(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float | None,
    cap: float,
    precision: torch.dtype | None,
    shown: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention step by step, and the scores after one of the steps.

    Args:
        query: Heads of queries.
        key: Heads of keys, each for one head of queries or for several.
        value: Heads of values.
        mask: None, booleans that are true where a key counts, or numbers to add.
        scale: What scores are multiplied by; None for 1 / sqrt(size).
        cap: What scores are bent to stay below; 0 for no bend.
        precision: What softmax is computed in; None for the type of the query.
        shown: 0 for the scores as they are, 1 for bent, 2 for masked, 3 for the weights.
    """
    raw = scores_of(query, key, scale)
    bent = capped(raw, cap)
    masked = bent if mask is None else bent + as_bias(mask, bent.dtype)
    weights = weights_of(masked, mask, precision or query.dtype).to(query.dtype)
    result = weights @ repeated(value, query.shape[1]).to(query.dtype)
    return result, (raw, bent, masked, weights)[shown]


def softmax_beside(scores: torch.Tensor, sink: torch.Tensor | float) -> torch.Tensor:
    """Return a softmax with one more score for each row, whose weight is left out."""
    if isinstance(sink, torch.Tensor):
        one = sink.to(scores.dtype).reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
    else:
        one = torch.full((*scores.shape[:3], 1), sink, dtype=scores.dtype, device=scores.device)
    return torch.softmax(torch.cat((scores, one), -1), -1)[..., :-1]
