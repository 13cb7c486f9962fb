"""ONNX's own attention, with its masks, its windows and its cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower import attend
from xbench_adapters.tensorflow.registry import lowering


@lowering("Attention", 23)
def attention(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return attention, the keys and values with those of the past, and scores."""
    get = node.attributes.get
    query = _heads(to, node.inputs[0], get("q_num_heads"))
    key, value = (_heads(to, name, get("kv_num_heads")) for name in node.inputs[1:3])
    before: Any = 0
    if node.input(4):
        past = to.value(node.input(4))
        before = attend.dims(past)[2]
        key = attend.grown(past, key)
        value = attend.grown(to.value(node.input(5)), value)
    mask, guard = _mask(node, to, query, key, before)
    code = get("softmax_precision", 0) or 0
    if code and code not in attend.FLOATS:
        to.refuse(f"softmax_precision={code}")
    result, shown = attend.attended(
        query,
        key,
        value,
        mask,
        scale=get("scale"),
        cap=get("softcap", 0.0),
        precision=attend.FLOATS.get(code),
        shown=get("qk_matmul_output_mode", 0),
        guard=guard,
    )
    if to.rank(node.inputs[0]) != 4:
        result = attend.merge_heads(result)
    return result, key, value, shown


def _heads(to: Builder, name: str, heads: int | None) -> Any:
    if to.rank(name) == 4:
        return to.value(name)
    if not heads:
        to.refuse("three dimensions without a number of heads")
    return attend.split_heads(to.value(name), heads)


def _mask(node: Node, to: Builder, query: Any, key: Any, before: Any) -> tuple[Any, bool]:
    """Return all that masks keys as one mask, and whether it may mask all keys of a query.

    Args:
        node: The node.
        to: What is built with.
        query: Heads of queries.
        key: Heads of keys, those of the past among them.
        before: How many keys the past has.
    """
    given, lengths = node.input(3), to.optional(node.input(6))
    (_, _, queries, _), (_, _, keys, _) = attend.dims(query), attend.dims(key)
    mask, guard, offset = None, False, before
    if given:
        mask = _widened(to.value(given), keys, query.dtype)
        known = to.constant(given)
        guard = known is None or _hides_all(known)
    seen = None
    if lengths is not None:
        lengths, guard = tf.cast(tf.reshape(lengths, [-1]), tf.int32), True
        offset = offset if node.input(4) else lengths - queries
        seen = (tf.range(keys) < lengths[:, None])[:, None, None]
    first, last = (node.attributes.get(f"{one}_window_size", -1) for one in ("left", "right"))
    last = 0 if node.attributes.get("is_causal", 0) else last
    if _sees_all(first, last, offset, keys):
        return attend.both(mask, seen), guard
    seen = attend.both(seen, attend.reachable(queries, keys, offset, (first, last)))
    # Within a window there may be no key, and a mask may hide the only ones that are seen.
    return attend.both(mask, seen), guard or mask is not None or first >= 0


def _sees_all(first: int, last: int, offset: Any, keys: Any) -> bool:
    """Return whether it is known that every key is within reach of every query."""
    if first >= 0:
        return False
    known = isinstance(offset, int) and isinstance(keys, int)
    return last < 0 or (known and offset + last >= keys - 1)


def _hides_all(mask: Any) -> bool:
    """Return whether a known mask hides all keys of some query."""
    seen = mask if mask.dtype == bool else ~np.isneginf(mask.astype(np.float64))
    return not bool(seen.any(-1).all())


def _widened(mask: Any, keys: Any, dtype: tf.DType) -> Any:
    """Return a mask of at least two dimensions, the keys beyond its end masked."""
    if mask.dtype != tf.bool:
        mask = tf.cast(mask, dtype)
    if mask.shape.rank < 2:
        mask = tf.reshape(mask, [1, -1])
    if mask.shape.rank == 3:
        mask = mask[None]
    width = attend.dims(mask)[-1]
    if isinstance(width, int) and isinstance(keys, int) and width >= keys:
        return mask
    missing = tf.maximum(tf.cast(keys, tf.int32) - width, 0)
    ends = [[0, 0]] * (mask.shape.rank - 1) + [[0, missing]]
    rest: Any = False if mask.dtype == tf.bool else tf.constant(attend.LOWEST, dtype)
    return tf.pad(mask, ends, constant_values=rest)
