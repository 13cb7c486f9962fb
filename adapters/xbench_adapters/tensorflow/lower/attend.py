"""Attention in plain operations: what the operators of several domains have in common.

Tensors of heads are (batch, heads, length, size).
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.lower.widths import multiplies

LOWEST = -inf
"""What is added to the score of a key that must not count."""

FLOATS: dict[int, tf.DType] = {1: tf.float32, 10: tf.float16, 11: tf.float64, 16: tf.bfloat16}
"""The types that nodes may ask to be computed in, by ONNX's numbers for them."""


def dims(x: Any) -> list[Any]:
    """Return the length of each axis: a number, or a scalar tensor where it is open."""
    known = x.shape.as_list()
    if None not in known:
        return list(known)
    run = tf.shape(x)
    return [run[place] if length is None else length for place, length in enumerate(known)]


def is_one(length: Any) -> bool:
    """Return whether a length is known to be one."""
    return isinstance(length, int) and length == 1


def split_heads(x: Any, heads: int) -> Any:
    """Return the heads of (batch, length, heads * size); what has heads stays as it is."""
    if x.shape.rank == 4:
        return x
    batch, length, _ = dims(x)
    width = x.shape[2]
    each = -1 if width is None or not width else width // heads
    return tf.transpose(tf.reshape(x, [batch, length, heads, each]), [0, 2, 1, 3])


def merge_heads(x: Any) -> Any:
    """Return heads as (batch, length, heads * size)."""
    batch, heads, length, size = dims(x)
    return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, length, heads * size])


def grown(past: Any, new: Any) -> Any:
    """Return the keys or values of the past, and then the new ones."""
    return tf.concat([past, new], 2)


def reachable(queries: Any, keys: Any, offset: Any, reach: tuple[int, int]) -> Any:
    """Return which keys each query may see: those within reach of its own place.

    Args:
        queries: How many queries there are.
        keys: How many keys there are.
        offset: The place of the first query among the keys: one number, or a vector with one
            for each item.
        reach: How many keys before and after its own place; below zero for all.
    """
    places = tf.range(queries)
    if isinstance(offset, int) or offset.shape.rank == 0:
        places = places + tf.cast(offset, tf.int32)
    else:
        places = (places + tf.reshape(tf.cast(offset, tf.int32), [-1, 1]))[:, None]
    gaps = tf.range(keys) - places[..., None]
    before, after = reach
    if before < 0:
        return gaps <= after
    near = gaps >= -before
    return near if after < 0 else near & (gaps <= after)


def both(mask: Any, seen: Any) -> Any:
    """Return the mask that masks what either does; of floats if the first one is."""
    if mask is None or seen is None:
        return seen if mask is None else mask
    if mask.dtype == tf.bool:
        return mask & seen
    return tf.where(seen, mask, tf.constant(LOWEST, mask.dtype))


def as_bias(mask: Any, dtype: tf.DType, lowest: float = LOWEST) -> Any:
    """Return a mask as numbers to add to scores: ``lowest`` for a key that does not count."""
    if mask.dtype != tf.bool:
        return tf.cast(mask, dtype)
    return tf.where(mask, tf.constant(0, dtype), tf.constant(lowest, dtype))


def causal_bias(queries: int, keys: int, dtype: tf.DType) -> Any:
    """Return numbers that hide the keys after each query's own place."""
    if queries * keys > 1 << 20:  # worked out anew rather than held
        return as_bias(reachable(queries, keys, 0, (-1, 0)), dtype)
    later = np.triu(np.full((queries, keys), LOWEST, np.float32), 1)
    return tf.cast(tf.constant(later), dtype)


def capped(scores: Any, cap: float) -> Any:
    """Return scores bent to stay below ``cap``; as they are where it is 0."""
    return tf.tanh(scores / cap) * cap if cap > 0 else scores


def product(left: Any, right: Any, *, turned: bool = False) -> Any:
    """Return the product of heads, of which several of the left may share one of the right.

    Args:
        left: Heads, or matrices of any leading axes.
        right: As many, or a share of them.
        turned: Whether the right matrices are transposed.
    """
    wide = left.dtype if multiplies(left.dtype) else tf.float32
    a, b = tf.cast(left, wide), tf.cast(right, wide)
    if left.shape.rank != 4 or (left.shape[1] is not None and left.shape[1] == right.shape[1]):
        return tf.cast(tf.matmul(a, b, transpose_b=turned), left.dtype)
    batch, heads, length, size = dims(a)
    shared = dims(b)[1]
    together = tf.reshape(a, [batch, shared, (heads // shared) * length, size])
    found = tf.matmul(together, b, transpose_b=turned)
    whole = tf.reshape(found, [batch, heads, length, dims(found)[3]])
    return tf.cast(whole, left.dtype)


def scores_of(query: Any, key: Any, scale: float | None) -> Any:
    """Return the scaled products of queries and keys."""
    if scale is None:
        size = query.shape[-1]
        if size is None:
            scaled = query * tf.math.rsqrt(tf.cast(tf.shape(query)[-1], query.dtype))
            return product(scaled, key, turned=True)
        scale = size**-0.5 if size else 1.0
    if query.dtype.size < 4 and scale > 0:  # both are scaled, against overflow
        root = tf.constant(sqrt(scale), query.dtype)
        return product(query * root, key * root, turned=True)
    return product(query * tf.constant(scale, query.dtype), key, turned=True)


def softmax(scores: Any, precision: tf.DType | None = None) -> Any:
    """Return the softmax along the last axis, in the type asked for; halves are summed wide."""
    dtype = precision or scores.dtype
    wide = tf.float32 if dtype.size < 4 else dtype
    found = tf.nn.softmax(tf.cast(scores, wide))
    return tf.cast(found, scores.dtype)


def weights_of(scores: Any, mask: Any, precision: tf.DType | None, *, guard: bool) -> Any:
    """Return the softmax of scores, to which a mask was added: 0 where all is masked.

    Args:
        scores: The scores.
        mask: What was added to them, or None.
        precision: What softmax is computed in; None for the type of the scores.
        guard: Whether the mask may mask all keys of a query.
    """
    weights = softmax(scores, precision)
    if mask is None or not guard:
        return weights
    seen = mask if mask.dtype == tf.bool else mask != tf.constant(LOWEST, mask.dtype)
    some = tf.reduce_any(seen, -1, keepdims=True)
    return tf.where(some, weights, tf.constant(0, weights.dtype))


def attended(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    *,
    scale: float | None = None,
    cap: float = 0.0,
    precision: tf.DType | None = None,
    shown: int = 0,
    guard: bool = True,
) -> tuple[Any, Any]:
    """Return attention, and the scores after one of the steps.

    Args:
        query: Heads of queries.
        key: Heads of keys, each for one head of queries or for several.
        value: Heads of values.
        mask: None, booleans that are true where a key counts, or numbers to add.
        scale: What scores are multiplied by; None for 1 / sqrt(size).
        cap: What scores are bent to stay below; 0 for no bend.
        precision: What softmax is computed in; None for the type of the query.
        shown: 0 for the scores as they are, 1 for bent, 2 for masked, 3 for the weights.
        guard: Whether the mask may mask all keys of a query.
    """
    raw = scores_of(query, tf.cast(key, query.dtype), scale)
    bent = capped(raw, cap)
    masked = bent if mask is None else bent + as_bias(mask, bent.dtype)
    weights = weights_of(masked, mask, precision, guard=guard)
    result = product(weights, tf.cast(value, query.dtype))
    return result, (raw, bent, masked, weights)[shown]


def softmax_beside(scores: Any, sink: Any) -> Any:
    """Return a softmax with one more score for each row, whose weight is left out.

    Args:
        scores: Scores of heads.
        sink: That score: one number, or a vector with one for each head.
    """
    batch, heads, queries, _ = dims(scores)
    one = tf.reshape(tf.cast(sink, scores.dtype), [1, -1, 1, 1])
    beside = tf.broadcast_to(one, [batch, heads, queries, 1])
    return softmax(tf.concat([scores, beside], -1))[..., :-1]
