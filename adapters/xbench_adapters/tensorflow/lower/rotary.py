"""Rotary embeddings: pairs of elements turned by the angle of their place."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower.attend import dims
from xbench_adapters.tensorflow.registry import lowering


def turned(x: Any, cos: Any, sin: Any, heads: int, interleaved: bool) -> Any:
    """Return the first elements of each head turned, as many as the angles are for.

    Args:
        x: (batch, heads, length, size) or (batch, length, heads * size).
        cos: Cosines (batch, length, half of the elements turned).
        sin: Sines, likewise.
        heads: How many heads ``x`` has, where it has no axis for them; 0 if all is turned.
        interleaved: Whether the two of a pair stand side by side, not half a head apart.
    """
    half, axis = dims(cos)[-1], 1
    split = x
    if x.shape.rank == 3:
        batch, length, width = dims(x)
        heads = heads or width // (2 * half)
        split, axis = tf.reshape(x, [batch, length, heads, width // heads]), 2
    cos, sin = (tf.expand_dims(tf.cast(one, x.dtype), axis) for one in (cos, sin))
    part = split[..., : 2 * half]
    if interleaved:
        left, right = part[..., 0::2], part[..., 1::2]
    else:
        left, right = part[..., :half], part[..., half:]
    pair = left * cos - right * sin, left * sin + right * cos
    parts = [tf.reshape(tf.stack(pair, -1), tf.shape(part))] if interleaved else list(pair)
    if not isinstance(half, int) or split.shape[-1] != 2 * half:
        parts.append(split[..., 2 * half :])
    joined = tf.concat(parts, -1) if len(parts) > 1 else parts[0]
    return tf.reshape(joined, dims(x))


def turned_at(x: Any, places: Any, cos: Any, sin: Any, heads: int, interleaved: bool) -> Any:
    """Return ``x`` turned by the angles of ``places``, which tables hold.

    Args:
        x: (batch, heads, length, size) or (batch, length, heads * size).
        places: The place of each (batch, length), or that of the first one alone.
        cos: Cosines by place.
        sin: Sines by place.
        heads: See `turned`.
        interleaved: See `turned`.
    """
    if places.shape.rank is not None and places.shape.rank < 2:
        length = dims(x)[2 if x.shape.rank == 4 else 1]
        places = (tf.cast(tf.reshape(places, [1]), tf.int32) + tf.range(length))[None]
    return turned(x, tf.gather(cos, places), tf.gather(sin, places), heads, interleaved)


@lowering("RotaryEmbedding", 23)
def rotary_embedding(node: Node, to: Builder) -> Any:
    """Return heads with their elements turned by angles given, or those of places given."""
    x, cos, sin = (to.value(name) for name in node.inputs[:3])
    heads = node.attributes.get("num_heads") or 0
    if not heads and to.rank(node.inputs[0]) == 3:
        to.refuse("three dimensions without a number of heads")
    options = heads, bool(node.attributes["interleaved"])
    if not node.input(3):
        return turned(x, cos, sin, *options)
    return turned_at(x, to.value(node.inputs[3]), cos, sin, *options)


@lowering("RotaryEmbedding", 1, domain="com.microsoft")
def microsoft_rotary_embedding(node: Node, to: Builder) -> Any:
    """Return heads with their elements turned by the angles of places."""
    if node.attributes.get("is_packed_batching", 0) or node.attributes.get("scale", 1.0) != 1.0:
        to.refuse("packed batches or a scale of its own")
    to.rank(node.inputs[1])
    options = node.attributes.get("num_heads", 0), bool(node.attributes.get("interleaved", 0))
    x, places, cos, sin = (to.value(name) for name in node.inputs[:4])
    return turned_at(x, places, cos, sin, *options)
