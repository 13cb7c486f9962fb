"""Layers of transformers whose weights are whole numbers of 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.lower.microsoft_attention import self_attention
from xbench_adapters.tensorflow.lower.quantized import quantize_by_range
from xbench_adapters.tensorflow.lower.quantized_products import by_column, factor, product
from xbench_adapters.tensorflow.lower.quantized_scales import (
    Quantised,
    offset,
    real,
    scale_of,
    single,
)
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

MICROSOFT = "com.microsoft"


def scaled_product(
    a: Any, b: Any, zeros: tuple[Any, Any], scales: tuple[Any, Any], bias: Any
) -> Any:
    """Return the floats that a product of quantised matrices stands for, plus a bias."""
    ratio = tf.cast(single(scales[0]) * by_column(scales[1]), tf.float32)
    found = tf.cast(product(a, b, *zeros), tf.float32) * ratio
    found = found if bias is None else found + tf.cast(bias, tf.float32)
    return tf.cast(found, scales[0].dtype)


@lowering("DynamicQuantizeMatMul", 1, domain=MICROSOFT, raw=True)
def dynamic_quantize_matmul(node: Node, to: Builder) -> Any:
    """Return a product with a quantised matrix; the first is quantised by its own range."""
    b, b_zero = factor(to, node.inputs[1], node.input(3))
    whole, scale, zero = quantize_by_range(to.value(node.inputs[0]))
    scales = (scale, scale_of(to, node.inputs[2]))
    return scaled_product(whole, b, (zero, b_zero), scales, to.optional(node.input(4)))


@lowering("MatMulIntegerToFloat", 1, domain=MICROSOFT, raw=True)
def matmul_integer_to_float(node: Node, to: Builder) -> Any:
    """Return the floats that a product of quantised matrices stands for, plus a bias."""
    one_number(node, to, 2, "scale")
    b, b_zero = factor(to, node.inputs[1], node.input(5))
    zeros = (offset(to, node.input(4)), b_zero)
    scales = (scale_of(to, node.inputs[2]), scale_of(to, node.inputs[3]))
    return scaled_product(to.value(node.inputs[0]), b, zeros, scales, to.optional(node.input(6)))


def one_number(node: Node, to: Builder, place: int, what: str) -> None:
    """Refuse a scale or zero point of the first input that is more than one number."""
    shape = to.graph.value(node.inputs[place]).static
    if shape is not None and any(length != 1 for length in shape):
        to.refuse(f"a {what} of its first input that is more than one number")


def embedded(
    ids: Any,
    segments: Any,
    tables: tuple[Quantised, Quantised, Quantised | None],
    scale_and_shift: tuple[Any, Any],
    epsilon: float,
) -> Any:
    """Return the sum of three quantised embeddings, normalised over its last axis."""
    words, positions, kinds = tables
    found = real(tf.gather(words[0], ids), *words[1:])
    found = found + real(positions[0][: tf.shape(ids)[1]], *positions[1:])
    if kinds is not None and segments is not None:
        found = found + real(tf.gather(kinds[0], segments), *kinds[1:])
    mean, variance = tf.nn.moments(found, -1, keepdims=True)
    gamma, beta = scale_and_shift
    return (found - mean) * tf.math.rsqrt(variance + epsilon) * gamma + beta


@lowering("QEmbedLayerNormalization", 1, domain=MICROSOFT, raw=True)
def q_embed_layer_normalization(node: Node, to: Builder) -> tuple[Any, Any]:
    """Return the normalised sum of quantised embeddings, and the length of each sample."""
    found: list[Quantised | None] = [None] * 5
    for number in range(5):
        place = number + 2
        if node.input(place):
            zero = offset(to, node.input(place + 11))
            scale = scale_of(to, node.inputs[place + 6])
            found[number] = to.value(node.inputs[place]), scale, zero
    words, positions, kinds, gamma, beta = found
    if words is None or positions is None or gamma is None or beta is None:
        to.refuse("without words, places, or how they are normalised")
    ids, segments = to.value(node.inputs[0]), to.optional(node.input(1))
    shift = real(*gamma), real(*beta)
    epsilon = node.attributes.get("epsilon", 1e-12)
    result = embedded(ids, segments, (words, positions, kinds), shift, epsilon)
    mask = to.optional(node.input(7))
    if mask is None:
        return result, tf.zeros([tf.shape(ids)[0]], tf.int32)  # which stands for none
    return result, tf.reduce_sum(tf.cast(tf.equal(mask, 1), tf.int32), 1)


@lowering("QAttention", 1, domain=MICROSOFT, raw=True)
def q_attention(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return attention over projections by a quantised matrix, and all keys and values."""
    mask = node.input(5)
    if mask and to.rank(mask) not in (1, 2, 3):
        to.refuse("a mask of more than 3 axes")
    one_number(node, to, 3, "scale")
    weight, zero = factor(to, node.inputs[1], node.input(7))
    projected = scaled_product(
        to.value(node.inputs[0]),
        weight,
        (offset(to, node.input(6)), zero),
        (scale_of(to, node.inputs[3]), scale_of(to, node.inputs[4])),
        to.optional(node.input(2)),
    )
    return self_attention(node, to, projected, mask, "", node.input(8))
