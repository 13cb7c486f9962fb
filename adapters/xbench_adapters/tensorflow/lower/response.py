"""Normalisations by what lies around an element, by a norm, and by axes that are named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.places import in_last, length
from xbench_adapters.tensorflow.lower.widths import in_float32
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


@lowering("LRN")
def local_response_normalization(node: Node, to: Builder) -> Any:
    """Return elements over a power of the squares of the channels around them."""
    size, name = node.attributes["size"], node.inputs[0]
    alpha, beta, bias = (node.attributes[one] for one in ("alpha", "beta", "bias"))
    # TensorFlow's own centres odd sizes only, and does not divide by them.
    if to.rank(name) == 4 and size % 2 and to.dtype(name) == tf.float32:
        x = to.last(name)
        return Last(tf.nn.local_response_normalization(x, size // 2, bias, alpha / size, beta))
    return in_float32(local_response)(to.value(name), size, alpha, beta, bias)


def local_response(x: Any, size: int, alpha: float, beta: float, bias: float) -> Any:
    """Return elements over (bias + alpha * mean square of ``size`` channels around) ** beta.

    Of an even number one channel more lies behind than before.
    """
    ends = [[0, 0]] * x.shape.rank
    ends[1] = [(size - 1) // 2, size // 2]
    padded, channels = tf.pad(tf.math.square(x), ends), length(x, 1)
    summed = tf.add_n([padded[:, place : place + channels] for place in range(size)])
    return x / tf.math.pow(summed * (alpha / size) + bias, beta)


@lowering("MeanVarianceNormalization", 9)
def mean_variance_normalization(node: Node, to: Builder) -> Any:
    """Return (x - mean) / (deviation + 1e-9) over the axes given."""
    name, rank = node.inputs[0], to.rank(node.inputs[0])
    axes = [to.axis(axis, rank) for axis in node.attributes["axes"]]
    if to.has_last(name):
        return Last(_by_deviation(to.last(name), [in_last(axis, rank) for axis in axes]))
    return _by_deviation(to.value(name), axes)


@in_float32
def _by_deviation(x: Any, axes: list[int]) -> Any:
    centred = x - tf.reduce_mean(x, axes, keepdims=True)
    squares = tf.reduce_mean(tf.math.square(centred), axes, keepdims=True)
    return centred / (tf.math.sqrt(squares) + 1e-9)


@lowering("LpNormalization")
def lp_normalization(node: Node, to: Builder) -> Any:
    """Return elements over their norm along an axis; zero where the norm is zero."""
    name, rank = node.inputs[0], to.rank(node.inputs[0])
    axis, p = to.axis(node.attributes["axis"], rank), node.attributes["p"]
    if to.has_last(name):
        return Last(_by_norm(to.last(name), in_last(axis, rank), p))
    return _by_norm(to.value(name), axis, p)


@in_float32
def _by_norm(x: Any, axis: int, p: int) -> Any:
    if p == 1:
        norm = tf.reduce_sum(tf.math.abs(x), axis, keepdims=True)
    else:
        norm = tf.math.sqrt(tf.reduce_sum(tf.math.square(x), axis, keepdims=True))
    return x / tf.where(tf.equal(norm, 0), tf.ones([], x.dtype), norm)
