"""ONNX Runtime's fused attention, with its masks and its packings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.shared import attend
from xbench_adapters.pytorch.lower.shared.standard import as_standard, first
from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def padding_bias(
    mask: torch.Tensor, query: torch.Tensor, key: torch.Tensor, lowest: float
) -> torch.Tensor | None:
    """Return what a mask of whole numbers adds to scores; None where it adds the same to all.

    Args:
        mask: Where keys end, or end and start, for each item; or 1 for each key that counts,
            by item, by item and query, or by item and place of the query.
        query: Heads of queries.
        key: Heads of keys.
        lowest: What is added for a key that does not count.

    Raises:
        ValueError: If the mask has a shape of none of these kinds.
    """
    batch, queries, keys = query.shape[0], query.shape[2], key.shape[2]
    if mask.ndim == 1:
        places = torch.arange(keys, device=mask.device)
        kept = places < mask[:batch, None]
        if mask.shape[0] == 2 * batch:
            kept = kept & (places >= mask[batch:, None])
        kept = kept[:, None, None]
    elif mask.ndim == 2 and mask.shape[1] == 1 != keys:
        return None
    elif mask.ndim == 4:
        kept = mask[:, :, keys - queries : keys, :keys] > 0
    else:
        kept = mask[:, None] > 0 if mask.ndim == 3 else mask[:, None, None] > 0
    if kept.shape[-1] != keys:
        raise ValueError(f"a mask for {kept.shape[-1]} keys, of which there are {keys}")
    return attend.as_bias(kept, query.dtype, lowest)


def whole_mask(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    bias: torch.Tensor | None,
    past: torch.Tensor | None,
    causal: bool,
    lowest: float,
) -> torch.Tensor | None:
    """Return all that is added to scores as one tensor; None where it is nothing.

    Raises:
        ValueError: If each query is to see those before it, and there are not as many keys.
    """
    added = None if mask is None else padding_bias(mask, query, key, lowest)
    if bias is not None:
        added = bias if added is None else added + bias
    queries, keys = query.shape[2], key.shape[2]
    if not causal or queries == 1:
        return added
    offset = 0 if past is None else past.shape[2]
    if queries + offset != keys:
        raise ValueError(f"{queries} queries that see those before them, and {keys} keys")
    return attend.both(added, attend.reachable(queries, keys, offset, (-1, 0), key))


def _masked(
    node: Node,
    to: Builder,
    heads: tuple[torch.fx.Node, torch.fx.Node],
    mask_and_bias: tuple[str, str],
    past: torch.fx.Node | None,
) -> dict[str, Any]:
    """Return how the node masks keys, as PyTorch's own attention takes it.

    Args:
        node: The node.
        to: The module that grows.
        heads: Queries and keys.
        mask_and_bias: The names of both; '' for one that is absent.
        past: Keys of the past.
    """
    mask, bias = map(to.optional, mask_and_bias)
    causal = node.attributes.get("unidirectional", 0) == 1
    shape = to.graph.value(node.inputs[0]).shape
    if mask is None and not causal:
        return {"attn_mask": bias}
    length = None if shape is None else shape[1]
    if causal and length == 1 and mask is None:
        return {"attn_mask": bias}
    if mask is None and bias is None and past is None and _as_many_keys(node, to):
        return {"is_causal": True}
    lowest = node.attributes.get("mask_filter_value", -10000.0)
    return {"attn_mask": to.call(whole_mask, *heads, mask, bias, past, causal, lowest)}


def _as_many_keys(node: Node, to: Builder) -> bool:
    """Return whether it is known that there are as many keys as queries; refuse if not so."""
    if node.operator != "MultiHeadAttention":  # all are of one input
        return isinstance((to.graph.value(node.inputs[0]).shape or (None, None))[1], int)
    query, key = (to.graph.value(node.input(place)).shape for place in range(2))
    if query is None or key is None:
        return query is not None and not node.input(1)
    keys = key[2] if len(key) == 4 else key[1]
    if not isinstance(query[1], int) or not isinstance(keys, int):
        return False
    if query[1] != keys:
        to.refuse(f"{query[1]} queries that see those before them, and {keys} keys")
    return True


def _attended(
    node: Node,
    to: Builder,
    heads: tuple[torch.fx.Node, torch.fx.Node, torch.fx.Node],
    mask_and_bias: tuple[str, str],
    past: torch.fx.Node | None,
) -> torch.fx.Node:
    """Return attention over heads of queries, keys and values; see `_masked`."""
    options = _masked(node, to, heads[:2], mask_and_bias, past)
    options["scale"] = node.attributes.get("scale") or None
    found = to.call(functional.scaled_dot_product_attention, *heads, **options)
    return to.call(attend.merge_heads, found)


def split_projection(
    x: torch.Tensor, sizes: list[int] | None, heads: int
) -> tuple[torch.Tensor, ...]:
    """Return heads of queries, keys and values that one projection gave side by side."""
    parts = torch.split(x, sizes or x.shape[2] // 3, 2)
    return tuple(attend.split_heads(part, heads) for part in parts)


@lowering("Attention", 1, domain=MICROSOFT)
def attention(node: Node, to: Builder) -> tuple[torch.fx.Node | None, ...]:
    """Return attention over one projection to queries, keys and values, and the last two."""
    inputs = node.input(3), node.input(5), node.input(4)
    return self_attention(node, to, _projected(node, to), *inputs)


def self_attention(
    node: Node, to: Builder, projected: torch.fx.Node, mask: str, bias: str, earlier: str
) -> tuple[torch.fx.Node | None, ...]:
    """Return attention over queries, keys and values side by side, and all of the last two.

    Args:
        node: The node.
        to: The module that grows.
        projected: By item and place, the queries, the keys and the values of every head.
        mask: The mask; '' for none, as for the others.
        bias: What is added to scores.
        earlier: Keys and values of the past.
    """
    attributes = node.attributes
    if attributes.get("do_rotary", 0) or attributes.get("past_present_share_buffer", 0):
        to.refuse("rotary embeddings, or a buffer that past and present share")
    sizes = attributes.get("qkv_hidden_sizes") or None
    parts = to.call(split_projection, projected, sizes, attributes["num_heads"])
    query, key, value = to.items(parts, 3)
    past = None
    if earlier:
        past, values = to.items(to.value(earlier), 2)
        key, value = to.call(attend.grown, past, key), to.call(attend.grown, values, value)
    result = _attended(node, to, (query, key, value), (mask, bias), past)
    return result, to.call(torch.stack, (key, value)) if node.wants(1) else None


def _projected(node: Node, to: Builder) -> torch.fx.Node:
    """Return the projection: a native linear layer where weight and bias are known."""
    x, weight, bias = node.inputs[0], node.inputs[1], node.input(2)
    result = f"{node.name}/projection"
    if bias and to.constant(weight) is not None and to.constant(bias) is not None:
        layer = as_standard(
            node, to, "Linear", 1, domain="xbench", inputs=(x, weight, bias), outputs=(result,)
        )
        return first(layer)
    plain = first(as_standard(node, to, "MatMul", 13, inputs=(x, weight), outputs=(result,)))
    return to.call(torch.add, plain, to.value(bias)) if bias else plain


def apart(
    query: torch.Tensor,
    key: torch.Tensor | None,
    value: torch.Tensor | None,
    bias: torch.Tensor | None,
    heads: int,
) -> tuple[torch.Tensor, ...]:
    """Return heads of queries, keys and values, however they came packed, with their bias."""
    if query.ndim == 5:
        parts = [part.transpose(1, 2) for part in query.unbind(3)]
    else:
        assert key is not None
        rest = key.unbind(3) if key.ndim == 5 else (key, value)
        parts = [attend.split_heads(query, heads)]
        for one in rest:
            assert one is not None
            packed = key.ndim == 5
            parts.append(one.transpose(1, 2) if packed else attend.split_heads(one, heads))
    if bias is None:
        return tuple(parts)
    sizes = [heads * part.shape[3] for part in parts]
    added = [one.reshape(heads, 1, -1) for one in torch.split(bias, sizes)]
    return tuple(part + one for part, one in zip(parts, added, strict=True))


@lowering("MultiHeadAttention", 1, domain=MICROSOFT)
def multi_head_attention(node: Node, to: Builder) -> tuple[torch.fx.Node | None, ...]:
    """Return attention over queries, keys and values that were projected before."""
    if node.input(8) or node.input(9):
        to.refuse("a buffer that past and present share")
    if not node.input(1) and to.rank(node.inputs[0]) != 5:
        to.refuse("queries without keys that are not packed with them")
    given = (to.optional(node.input(place)) for place in range(4))
    parts = to.call(apart, *given, node.attributes["num_heads"])
    query, key, value = to.items(parts, 3)
    past = to.optional(node.input(6))
    if past is not None:
        key = to.call(attend.grown, past, key)
        value = to.call(attend.grown, to.value(node.input(7)), value)
    result = _attended(node, to, (query, key, value), (node.input(4), node.input(5)), past)
    return result, key, value
