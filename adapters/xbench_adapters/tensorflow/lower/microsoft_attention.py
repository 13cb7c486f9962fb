"""ONNX Runtime's fused attention, with its masks and its packings."""

from __future__ import annotations

from math import inf
from typing import Any

import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower import attend
from xbench_adapters.tensorflow.lower.linear import linear_layer, product
from xbench_adapters.tensorflow.registry import lowering

MICROSOFT = "com.microsoft"


def padding_bias(mask: Any, query: Any, key: Any, lowest: float, to: Builder) -> Any:
    """Return what a mask of whole numbers adds to scores; None where it adds the same to all.

    Args:
        mask: Where keys end, or end and start, for each item; or 1 for each key that counts,
            by item, by item and query, or by item and place of the query.
        query: Heads of queries.
        key: Heads of keys.
        lowest: What is added for a key that does not count.
        to: What is built with.
    """
    (batch, _, queries, _), keys = attend.dims(query), attend.dims(key)[2]
    rank = mask.shape.rank
    if rank is None or not 1 <= rank <= 4:
        to.refuse(f"a mask of {rank} dimensions")
    if rank == 1:
        places = tf.range(tf.cast(keys, mask.dtype))
        ends = mask[:batch, None]
        # Without starts, all start at 0.
        both = tf.concat([mask, tf.zeros([batch], mask.dtype)], 0)
        starts = both[batch : 2 * batch, None]
        kept = ((places < ends) & (places >= starts))[:, None, None]
    elif rank == 2 and mask.shape[1] == 1 and not attend.is_one(keys):
        return None
    elif rank == 4:
        kept = mask[:, :, keys - queries : keys, :keys] > 0
    else:
        kept = mask[:, None] > 0 if rank == 3 else mask[:, None, None] > 0
    width = kept.shape[-1]
    if isinstance(width, int) and isinstance(keys, int) and width != keys:
        to.refuse(f"a mask for {width} keys, of which there are {keys}")
    if not (isinstance(width, int) and isinstance(keys, int)):
        same = tf.equal(tf.shape(kept)[-1], keys)
        alone = tf.logical_and(rank == 2, tf.equal(tf.shape(kept)[-1], 1))
        tf.debugging.Assert(same | alone, ["a mask for another number of keys", keys])
        kept = tf.logical_or(kept, tf.logical_not(same))  # one for all adds the same to all
    return attend.as_bias(kept, query.dtype, lowest)


def whole_mask(
    node: Node, to: Builder, heads: tuple[Any, Any], mask: Any, bias: Any, before: Any
) -> Any:
    """Return all that is added to scores or hides keys as one tensor; None where it is nothing.

    Args:
        node: The node.
        to: What is built with.
        heads: Queries and keys.
        mask: The mask of whole numbers, or None.
        bias: What is added to scores, or None.
        before: How many keys the past has.
    """
    query, key = heads
    lowest = node.attributes.get("mask_filter_value", -10000.0)
    added = None if mask is None else padding_bias(mask, query, key, lowest, to)
    if bias is not None:
        added = bias if added is None else added + bias
    queries, keys = attend.dims(query)[2], attend.dims(key)[2]
    if node.attributes.get("unidirectional", 0) != 1 or attend.is_one(queries):
        return added
    if all(isinstance(one, int) for one in (queries, keys, before)):
        if queries + before != keys:
            to.refuse(f"{queries} queries that see those before them, and {keys} keys")
        return attend.both(added, attend.reachable(queries, keys, before, (-1, 0)))
    alone = tf.equal(queries, 1)
    fits = tf.logical_or(alone, tf.equal(queries + before, keys))
    told = ["queries that see those before them, and another number of keys", queries, keys]
    tf.debugging.Assert(fits, told)
    seen = tf.logical_or(attend.reachable(queries, keys, before, (-1, 0)), alone)
    return attend.both(added, seen)


def _attended(
    node: Node,
    to: Builder,
    heads: tuple[Any, Any, Any],
    mask_and_bias: tuple[str, str],
    before: Any,
) -> Any:
    """Return attention over heads of queries, keys and values; see `whole_mask`."""
    mask, bias = map(to.optional, mask_and_bias)
    added = whole_mask(node, to, heads[:2], mask, bias, before)
    lowest = node.attributes.get("mask_filter_value", -10000.0)
    guard = bias is not None or (mask is not None and lowest == -inf)
    scale = node.attributes.get("scale") or None
    found = attend.attended(*heads, added, scale=scale, guard=guard)[0]
    return attend.merge_heads(found)


@lowering("Attention", 1, domain=MICROSOFT)
def attention(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return attention over one projection to queries, keys and values, and the last two."""
    inputs = node.input(3), node.input(5), node.input(4)
    return self_attention(node, to, _projected(node, to), *inputs)


def self_attention(
    node: Node, to: Builder, projected: Any, mask: str, bias: str, earlier: str
) -> tuple[Any, ...]:
    """Return attention over queries, keys and values side by side, and all of the last two.

    Args:
        node: The node.
        to: What is built with.
        projected: By item and place, the queries, the keys and the values of every head.
        mask: The mask; '' for none, as for the others.
        bias: What is added to scores.
        earlier: Keys and values of the past.
    """
    attributes = node.attributes
    if attributes.get("do_rotary", 0) or attributes.get("past_present_share_buffer", 0):
        to.refuse("rotary embeddings, or a buffer that past and present share")
    sizes = attributes.get("qkv_hidden_sizes") or 3
    parts = tf.split(projected, sizes, 2)
    query, key, value = (attend.split_heads(one, attributes["num_heads"]) for one in parts)
    before: Any = 0
    if earlier:
        past, values = tf.unstack(to.value(earlier), num=2)
        before = attend.dims(past)[2]
        key, value = attend.grown(past, key), attend.grown(values, value)
    result = _attended(node, to, (query, key, value), (mask, bias), before)
    return result, tf.stack([key, value]) if node.wants(1) else None


def _projected(node: Node, to: Builder) -> Any:
    """Return the projection, as a layer where the weight is known."""
    bias = to.optional(node.input(2))
    x, weight = to.value(node.inputs[0]), to.weight(node.inputs[1])
    if to.constant(node.inputs[1]) is not None:
        return linear_layer(x, weight, bias)
    found = product(x, weight)
    return found if bias is None else found + bias


def _apart(node: Node, to: Builder) -> list[Any]:
    """Return heads of queries, keys and values, however they came packed, with their bias."""
    heads = node.attributes["num_heads"]
    query, key, value, bias = (to.optional(node.input(place)) for place in range(4))
    if to.rank(node.inputs[0]) == 5:
        packed, parts = query, []
    else:
        if key is None:
            to.refuse("queries without keys that are not packed with them")
        packed, parts = key if to.rank(node.inputs[1]) == 5 else None, [query]
    if packed is None:
        parts += [key, value]
        if value is None:
            to.refuse("keys without values")
    else:
        count = 3 - len(parts)
        each = tf.unstack(packed, num=count, axis=3)
        parts += [tf.transpose(one, [0, 2, 1, 3]) for one in each]
    parts = [attend.split_heads(one, heads) for one in parts]
    if bias is None:
        return parts
    sizes = [heads * attend.dims(one)[3] for one in parts]
    added = [tf.reshape(one, [heads, 1, -1]) for one in tf.split(bias, sizes, num=3)]
    return [part + one for part, one in zip(parts, added, strict=True)]


@lowering("MultiHeadAttention", 1, domain=MICROSOFT)
def multi_head_attention(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return attention over queries, keys and values that were projected before."""
    if node.input(8) or node.input(9):
        to.refuse("a buffer that past and present share")
    query, key, value = _apart(node, to)
    before: Any = 0
    if node.input(6):
        past = to.value(node.input(6))
        before = attend.dims(past)[2]
        key = attend.grown(past, key)
        value = attend.grown(to.value(node.input(7)), value)
    mask_and_bias = node.input(4), node.input(5)
    result = _attended(node, to, (query, key, value), mask_and_bias, before)
    return result, key, value
