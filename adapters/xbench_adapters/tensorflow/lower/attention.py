"""Attention that fusions and exporters write, and that whose scores go through graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from xbench.graph.plain import Graph, Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower import attend
from xbench_adapters.tensorflow.registry import lowering


@lowering("ScaledDotProductAttention", 1, domain="xbench")
def scaled_dot_product_attention(node: Node, to: Builder) -> Any:
    """Return softmax(scale * Q @ K' + mask) @ V, from the pattern that exporters write for it."""
    query, key, value = (to.value(name) for name in node.inputs[:3])
    mask, guard = to.optional(node.input(3)), False
    if mask is not None:
        known = to.constant(node.inputs[3])
        guard = known is None or bool(np.isneginf(known).all(-1).any())
    elif node.attributes["is_causal"]:
        lengths = query.shape[-2], key.shape[-2]
        if None in lengths:
            to.refuse("queries that see those before them, whose number is not known")
        mask = attend.causal_bias(*lengths, query.dtype)
    scale = node.attributes["scale"]
    return attend.attended(query, key, value, mask, scale=scale, guard=guard)[0]


@lowering("FlexAttention", 1, domain="ai.onnx.preview")
def flex_attention(node: Node, to: Builder) -> Any:
    """Return attention whose scores and weights go through graphs of the node."""
    query, key, value = (to.value(name) for name in node.inputs[:3])
    bends, changes = (node.attributes.get(name) for name in ("score_mod", "prob_mod"))
    wide = tf.float64 if query.dtype == tf.float64 else tf.float32
    precision = attend.FLOATS.get(node.attributes.get("softmax_precision", 0), wide)
    scores = attend.scores_of(query, tf.cast(key, query.dtype), node.attributes.get("scale"))
    scores = tf.cast(scores, precision)
    scores = scores if bends is None else _through(to, bends, scores)
    weights = attend.softmax(scores)
    weights = weights if changes is None else _through(to, changes, weights)
    return tf.cast(attend.product(weights, tf.cast(value, weights.dtype)), value.dtype)


def _through(to: Builder, graph: Graph, x: Any) -> Any:
    """Return what a graph of the node makes of a tensor."""
    captures = [to.raw(name) for name in graph.captures]
    return to.inner(graph, [x, *captures])[0]
