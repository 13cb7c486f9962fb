"""ONNX Runtime's attention of grouped heads over a cache of keys and values."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower import attend
from xbench_adapters.tensorflow.lower.attend import dims
from xbench_adapters.tensorflow.lower.rotary import turned_at
from xbench_adapters.tensorflow.lower.turns import known_number
from xbench_adapters.tensorflow.lower.widths import at_least_float32
from xbench_adapters.tensorflow.registry import lowering

Heads = tuple[Any, Any, Any]


def _unpacked(node: Node, to: Builder) -> Heads:
    """Return heads of queries, keys and values, which may come side by side in the first."""
    own, shared = node.attributes["num_heads"], node.attributes["kv_num_heads"]
    query = to.value(node.inputs[0])
    if node.input(1) and node.input(2):
        key, value = (attend.split_heads(to.value(name), shared) for name in node.inputs[1:3])
        return attend.split_heads(query, own), key, value
    whole = attend.split_heads(query, own + 2 * shared)
    query, key, value = tf.split(whole, [own, shared, shared], 1)
    return query, key, value


def first_places(lengths: Any, queries: Any, total: Any) -> Any:
    """Return the place of each item's first query: 0 for a prompt, else what is cached.

    Args:
        lengths: The place of each item's last token.
        queries: How many queries each item has.
        total: How many tokens the longest item has.
    """
    lengths = tf.cast(tf.reshape(lengths, [-1]), tf.int32)
    return tf.where(tf.equal(queries, total), tf.zeros_like(lengths), lengths + 1 - queries)


def cached(past: Any, new: Any, lengths: Any, total: Any) -> Any:
    """Return a cache with the new keys or values behind those of the past, zeros at its end."""
    batch, heads, count, size = dims(new)
    if past is None:
        room, before = total, 0
    else:
        before = dims(past)[2]
        known = isinstance(total, int) and isinstance(before, int)
        room = max(total, before) if known else tf.maximum(total, before)
    if isinstance(room, int) and isinstance(count, int) and count == room:
        return new
    if attend.is_one(batch):
        return _appended(past, new, total, room)
    start = first_places(lengths, count, total)[:, None]
    places = tf.range(room)[None]
    at = tf.clip_by_value(places - start, 0, tf.maximum(count - 1, 0))
    at = tf.broadcast_to(at, [batch, room])
    whole = tf.transpose(tf.gather(tf.transpose(new, [0, 2, 1, 3]), at, batch_dims=1), [0, 2, 1, 3])
    is_new = ((places >= start) & (places < start + count))[:, None, :, None]
    zero = tf.zeros([], new.dtype)
    if past is None:
        return tf.where(is_new, whole, zero)
    filled = tf.concat([past, tf.zeros([batch, heads, room - before, size], new.dtype)], 2)
    old = tf.where((places < start)[:, None, :, None], filled, zero)
    return tf.where(is_new, whole, old)


def _appended(past: Any, new: Any, total: Any, room: Any) -> Any:
    """Return the cache of a single item."""
    batch, heads, count, size = dims(new)
    kept = [new] if past is None else [past[:, :, : total - count], new]
    taken = count if past is None else count + tf.shape(kept[0])[2]
    rest = tf.zeros([batch, heads, room - taken, size], new.dtype)
    return tf.concat([*kept, rest], 2)


def _seen(query: Any, lengths: Any, total: Any, window: int) -> Any:
    """Return which tokens each query sees; None where it is all of them."""
    batch, _, queries, _ = dims(query)
    if not attend.is_one(batch):
        offset = first_places(lengths, queries, total)
    elif attend.is_one(queries) and window < 0:
        return None
    else:
        offset = total - queries
    return attend.reachable(queries, total, offset, (max(window - 1, -1), 0))


def _attended(node: Node, to: Builder, heads: Heads, lengths: Any, total: Any) -> Any:
    """Return attention of each query to the tokens up to its own; padding gives anything."""
    get = node.attributes.get
    query, key, value = heads[0], heads[1][:, :, :total], heads[2][:, :, :total]
    sink = to.optional(node.input(11))
    if sink is None and get("smooth_softmax", 0) == 1:
        sink = 0.0
    scale, cap = get("scale") or None, get("softcap", 0.0)
    seen = _seen(query, lengths, total, get("local_window_size", -1))
    mask = attend.both(to.optional(node.input(10)), seen)
    if sink is None:
        return attend.attended(query, key, value, mask, scale=scale, cap=cap)[0]
    scores = attend.capped(attend.scores_of(query, key, scale), cap)
    scores = scores if mask is None else scores + attend.as_bias(mask, scores.dtype)
    return attend.product(attend.softmax_beside(scores, sink), value)


def head_norm(x: Any, weight: Any, epsilon: float) -> Any:
    """Return each head over its root mean square."""
    wide = tf.cast(x, at_least_float32(x.dtype))
    squares = tf.reduce_mean(tf.math.square(wide), -1, keepdims=True)
    return tf.cast(wide * tf.math.rsqrt(squares + epsilon), x.dtype) * weight


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


@lowering("GroupQueryAttention", 1, domain="com.microsoft")
def group_query_attention(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return attention over a cache, and the cache with the new keys and values."""
    _refuse_others(node, to)
    get = node.attributes.get
    query, key, value = _unpacked(node, to)
    lengths, total = to.value(node.inputs[5]), known_number(to, node.inputs[6])
    if not isinstance(total, int):
        total = tf.cast(total, tf.int32)
    if node.input(14):
        epsilon = get("qk_norm_epsilon", 1e-6)
        query = head_norm(query, to.value(node.input(14)), epsilon)
        key = head_norm(key, to.value(node.input(15)), epsilon)
    if get("do_rotary", 0):
        places = to.optional(node.input(9))
        if places is None:
            count = dims(query)[2]
            places = first_places(lengths, count, total)[:, None] + tf.range(count)
        turn = to.value(node.input(7)), to.value(node.input(8)), 0
        interleaved = bool(get("rotary_interleaved", 0))
        query, key = (turned_at(one, places, *turn, interleaved) for one in (query, key))
    past = [to.optional(node.input(place)) for place in (3, 4)]
    key = cached(past[0], key, lengths, total)
    value = cached(past[1], value, lengths, total)
    result = _attended(node, to, (query, key, value), lengths, total)
    return attend.merge_heads(result), key, value
