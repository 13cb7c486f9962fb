"""Normalisations that ONNX Runtime fuses with the sums and tables before them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower.normalization import moments
from xbench_adapters.tensorflow.lower.standard import as_standard
from xbench_adapters.tensorflow.lower.widths import at_least_float32
from xbench_adapters.tensorflow.registry import lowering

MICROSOFT = "com.microsoft"


@lowering("LayerNormalization", 1, 16)
def layer_normalization(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the trailing axes normalised, as before the operator was ONNX's own."""
    return as_standard(node, to, "LayerNormalization", 17)


@lowering("SimplifiedLayerNormalization", 1)
@lowering("SimplifiedLayerNormalization", 1, domain=MICROSOFT)
def simplified_layer_normalization(node: Node, to: Builder) -> Any:
    """Return the trailing axes over their root mean square."""
    return as_standard(node, to, "RMSNormalization", 23, outputs=node.outputs[:1])[0]


def _normalized(node: Node, to: Builder, x: Any, scale: str, bias: str = "") -> Any:
    """Return the last axis of ``x`` less its mean, over its deviation, scaled and shifted."""
    wide = tf.cast(x, at_least_float32(x.dtype))
    centred, _, inverse = moments(wide, [-1], node.attributes.get("epsilon", 1e-12))
    found = tf.cast(centred * inverse, x.dtype) * to.value(scale)
    return found + to.value(bias) if bias else found


def _summed(node: Node, to: Builder, bias: str) -> Any:
    """Return the sum of input, skip and bias."""
    total = to.value(node.inputs[0]) + to.value(node.inputs[1])
    return total + to.value(bias) if bias else total


@lowering("SkipLayerNormalization", 1, domain=MICROSOFT)
def skip_layer_normalization(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the last axis of a sum normalised, and the sum."""
    total = _summed(node, to, node.input(4))
    return _normalized(node, to, total, node.inputs[2], node.input(3)), None, None, total


@lowering("SkipSimplifiedLayerNormalization", 1, domain=MICROSOFT)
def skip_simplified_layer_normalization(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the last axis of a sum over its root mean square, and the sum."""
    total = _summed(node, to, node.input(3))
    wide = tf.cast(total, at_least_float32(total.dtype))
    squares = tf.reduce_mean(tf.math.square(wide), -1, keepdims=True)
    inverse = tf.math.rsqrt(squares + node.attributes.get("epsilon", 1e-12))
    return tf.cast(wide * inverse, total.dtype) * to.value(node.inputs[2]), None, None, total


@lowering("EmbedLayerNormalization", 1, domain=MICROSOFT)
def embed_layer_normalization(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return embeddings normalised, how many words the mask keeps, and the embeddings."""
    ids, segments, words, places, kinds = (to.optional(node.input(one)) for one in range(5))
    mask, at = to.optional(node.input(7)), to.optional(node.input(8))
    total = tf.gather(words, ids)
    total = total + (places[: tf.shape(ids)[1]] if at is None else tf.gather(places, at))
    if segments is not None and kinds is not None:
        total = total + tf.gather(kinds, segments)
    if mask is None:
        count = tf.zeros([tf.shape(ids)[0]], tf.int32)  # which stands for none
    else:
        count = tf.reduce_sum(tf.cast(tf.equal(mask, 1), tf.int32), 1)
    return _normalized(node, to, total, *node.inputs[5:7]), count, total
