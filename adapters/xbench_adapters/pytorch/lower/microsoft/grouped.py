"""ONNX Runtime's attention of grouped heads over a cache of keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.rotary import turned_at
from xbench_adapters.pytorch.lower.shared import attend
from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def unpacked(
    query: torch.Tensor,
    key: torch.Tensor | None,
    value: torch.Tensor | None,
    heads: tuple[int, int],
) -> tuple[torch.Tensor, ...]:
    """Return heads of queries, keys and values, which may come side by side in the first."""
    own, shared = heads
    if key is not None and value is not None:
        counts = (own, shared, shared)
        return tuple(map(attend.split_heads, (query, key, value), counts))
    whole = attend.split_heads(query, own + 2 * shared)
    return torch.split(whole, [own, shared, shared], 1)


def first_places(lengths: torch.Tensor, queries: int, total: int) -> torch.Tensor:
    """Return the place of each item's first query: 0 for a prompt, else what is cached."""
    if queries == total:
        return torch.zeros_like(lengths)
    return lengths + 1 - queries


def places_of(query: torch.Tensor, lengths: torch.Tensor, total: int) -> torch.Tensor:
    """Return the place of each query of each item among all tokens."""
    queries = query.shape[2]
    steps = torch.arange(queries, device=query.device)
    return first_places(lengths, queries, total).reshape(-1, 1) + steps


def cached(
    past: torch.Tensor | None, new: torch.Tensor, lengths: torch.Tensor, total: int
) -> torch.Tensor:
    """Return a cache with the new keys or values behind those of the past, zeros at its end."""
    batch, heads, count, size = new.shape
    room = total if past is None else max(total, past.shape[2])
    if count == room:
        return new
    if batch == 1 or count == total:
        kept = [new] if count == total or past is None else [past[:, :, : total - count], new]
        taken = sum(one.shape[2] for one in kept)
        if taken < room:
            kept.append(new.new_zeros(batch, heads, room - taken, size))
        return torch.cat(kept, 2)
    start = first_places(lengths, count, total).reshape(-1, 1)
    whole = new.new_zeros(batch, heads, room, size)
    if past is not None:
        old = torch.arange(past.shape[2], device=new.device) < start
        whole[:, :, : past.shape[2]] = past * old[:, None, :, None].to(past.dtype)
    places = (start + torch.arange(count, device=new.device))[:, None, :, None]
    return whole.scatter(2, places.to(torch.int64).expand(batch, heads, count, size), new)


def grouped_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: torch.Tensor,
    total: int,
    bias: torch.Tensor | None,
    sink: torch.Tensor | float | None,
    scale: float | None,
    cap: float,
    window: int,
) -> torch.Tensor:
    """Return attention of each query to the tokens up to its own; padding gives anything.

    Args:
        query: Heads of queries.
        key: The cache of keys.
        value: The cache of values.
        lengths: The place of each item's last token.
        total: How many tokens the longest item has.
        bias: What is added to scores.
        sink: A score beside those of the keys, one for all or one a head; None for none.
        scale: What scores are multiplied by; None for 1 / sqrt(size).
        cap: What scores are bent to stay below; 0 for no bend.
        window: How many tokens a query sees, its own and those before it; below zero for all.
    """
    key, value = key[:, :, :total], value[:, :, :total]
    steps = cap > 0 or sink is not None
    if not steps and bias is None and window < 0 and query.shape[2] == total:
        return functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, enable_gqa=True
        )
    mask = attend.both(bias, _seen(query, lengths, total, window))
    if not steps:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scale, enable_gqa=True
        )
    if sink is None:
        return attend.attended(query, key, value, mask, scale, cap, None, 0)[0]
    scores = attend.capped(attend.scores_of(query, key, scale), cap)
    scores = scores if mask is None else scores + attend.as_bias(mask, scores.dtype)
    return attend.softmax_beside(scores, sink) @ attend.repeated(value, query.shape[1])


def _seen(
    query: torch.Tensor, lengths: torch.Tensor, total: int, window: int
) -> torch.Tensor | None:
    """Return which tokens each query sees; None where it is all of them."""
    queries = query.shape[2]
    if query.shape[0] > 1:
        offset: torch.Tensor | int = first_places(lengths, queries, total)
    elif queries == 1 and window < 0:
        return None
    else:
        offset = total - queries
    return attend.reachable(queries, total, offset, (max(window - 1, -1), 0), query)


def head_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Return each head over its root mean square."""
    return functional.rms_norm(x, x.shape[-1:], weight, epsilon)


def _refuse_others(node: Node, to: Builder) -> None:
    get = node.attributes.get
    if node.wants(3) or get("qk_output", 0):
        to.refuse("the scores as an output")
    if get("sliding_window_cache", 0) or not get("causal", 1):
        to.refuse("a cache of a window, or queries that see later tokens")
    if not get("local_window_size", -1):
        to.refuse("a window of no tokens")
    if any(get(f"{one}_quant_type", "NONE") != "NONE" for one in "kv") or node.input(12):
        to.refuse("a quantised cache")


@lowering("GroupQueryAttention", 1, domain=MICROSOFT)
def group_query_attention(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return attention over a cache, and the cache with the new keys and values."""
    _refuse_others(node, to)
    get = node.attributes.get
    heads = node.attributes["num_heads"], node.attributes["kv_num_heads"]
    given = (to.optional(node.input(place)) for place in range(3))
    query, key, value = to.items(to.call(unpacked, *given, heads), 3)
    lengths, total = to.value(node.inputs[5]), to.number(node.inputs[6])
    if node.input(14):
        epsilon = get("qk_norm_epsilon", 1e-6)
        query = to.call(head_norm, query, to.value(node.input(14)), epsilon)
        key = to.call(head_norm, key, to.value(node.input(15)), epsilon)
    if get("do_rotary", 0):
        places = to.optional(node.input(9)) or to.call(places_of, query, lengths, total)
        angles = (to.value(node.input(7)), to.value(node.input(8)))
        turn = (places, *angles, 0, bool(get("rotary_interleaved", 0)))
        query, key = to.call(turned_at, query, *turn), to.call(turned_at, key, *turn)
    past = (to.optional(node.input(place)) for place in (3, 4))
    key, value = (
        to.call(cached, old, new, lengths, total)
        for old, new in zip(past, (key, value), strict=True)
    )
    sink = to.optional(node.input(11)) or (0.0 if get("smooth_softmax", 0) == 1 else None)
    result = to.call(
        grouped_attention, query, key, value, lengths, total, to.optional(node.input(10)), sink,
        get("scale") or None, get("softcap", 0.0), get("local_window_size", -1),
    )  # fmt: skip
    return to.call(attend.merge_heads, result), key, value
