"""Biases of attention that depend on how far apart two tokens are."""

from __future__ import annotations

from math import log
from typing import Any

import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower.attend import dims
from xbench_adapters.tensorflow.lower.turns import known_number
from xbench_adapters.tensorflow.registry import lowering


def buckets(gaps: Any, count: Any, farthest: int, either: bool) -> Any:
    """Return the bucket of each distance: its own if it is near, else by its logarithm.

    Args:
        gaps: Places of keys less places of queries.
        count: How many buckets there are.
        farthest: The distance from which all are in the last bucket.
        either: Whether keys behind the query have the second half of the buckets.
    """
    base = tf.zeros_like(gaps)
    if either:
        count //= 2
        base = tf.where(gaps > 0, count, base)
        far = tf.abs(gaps)
    else:
        far = tf.maximum(-gaps, 0)
    near = count // 2
    ratio = tf.math.log(tf.cast(tf.maximum(far, 1), tf.float32) / near) / log(farthest / near)
    coarse = near + tf.cast(ratio * (count - near), tf.int32)
    return base + tf.where(far < near, far, tf.minimum(coarse, count - 1))


@lowering("RelativePositionBias", 1, domain="com.microsoft")
def relative_position_bias(node: Node, to: Builder) -> Any:
    """Return a bias by the distance of a query and a key, for as many as are asked.

    The table's numbers stand head by head, whatever its shape says.
    """
    table = to.value(node.inputs[0])
    count, heads = dims(table)
    if not isinstance(count, int):
        to.refuse("a table whose number of buckets is not known")
    queries, keys = (tf.cast(known_number(to, name), tf.int32) for name in node.inputs[1:3])
    gaps = tf.range(keys)[None] - tf.range(queries)[:, None]
    either = bool(node.attributes.get("is_bidirectional", 0))
    chosen = buckets(gaps, count, node.attributes["max_distance"], either)
    return tf.gather(tf.reshape(table, [heads, count]), chosen, axis=1)[None]
