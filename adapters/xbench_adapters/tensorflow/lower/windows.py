"""Windows of signals, and the mel scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_COSINES = {
    "HannWindow": (0.5, 0.5, 0.0),
    "HammingWindow": (25 / 46, 21 / 46, 0.0),
    "BlackmanWindow": (0.42, 0.5, 0.08),
}


def _register(operator: str) -> None:
    @lowering(operator, 17, raw=True)
    def window(node: Node, to: Builder) -> Any:
        size, periodic = to.number(node.inputs[0]), bool(node.attributes["periodic"])
        found = cosines(tf.cast(size, tf.float64), periodic, *_COSINES[operator])
        return tf.cast(found, to.dtype(node.outputs[0]))


for _operator in _COSINES:
    _register(_operator)


def cosines(size: Any, periodic: bool, constant: float, first: float, second: float) -> Any:
    """Return a window that is a sum of cosines, in 64 bits.

    Args:
        size: Its length.
        periodic: Whether its end meets its start; else it is symmetric.
        constant: What the cosines are added to.
        first: What is taken of the cosine of one turn.
        second: What is added of the cosine of two turns.
    """
    angles = tf.range(size) * (2 * math.pi) / (size if periodic else size - 1)
    return constant - first * tf.math.cos(angles) + second * tf.math.cos(2 * angles)


@lowering("MelWeightMatrix", 17, raw=True)
def mel_weight_matrix(node: Node, to: Builder) -> Any:
    """Return the weights of frequencies in the bands of the mel scale."""
    bands, size, rate = (tf.cast(to.number(name), tf.int32) for name in node.inputs[:3])
    ends = [tf.cast(tf.reshape(to.value(name), []), tf.float64) for name in node.inputs[3:]]
    bins = mel_bins(bands, size, rate, ends)
    return tf.cast(mel_weights(bins, size // 2 + 1), to.dtype(node.outputs[0]))


def mel_bins(bands: Any, size: Any, rate: Any, ends: list[Any]) -> Any:
    """Return the places of the edges of bands in a transform, as whole numbers in float64.

    Args:
        bands: How many bands there are.
        size: The length of the transform.
        rate: Samples in a second.
        ends: The frequency at which the first band starts, and below which the last ends.
    """
    low, high = (2595 / math.log(10) * tf.math.log(1 + one / 700) for one in ends)
    steps = tf.cast(tf.range(bands + 2), tf.float64)
    mels = steps * ((high - low) / tf.cast(bands + 2, tf.float64)) + low
    hertz = 700 * tf.math.expm1(mels / 2595 * math.log(10))
    return tf.math.floor(tf.cast(size + 1, tf.float64) * hertz / tf.cast(rate, tf.float64))


def mel_weights(bins: Any, rows: Any) -> Any:
    """Return triangles: one row a frequency of a transform, one column a band."""
    left, centre, right = bins[:-2], bins[1:-1], bins[2:]
    places = tf.cast(tf.range(rows), tf.float64)[:, tf.newaxis]
    zero, one = tf.zeros([], tf.float64), tf.ones([], tf.float64)
    rising = tf.where(tf.equal(centre, left), one, (places - left) / (centre - left))
    falling = (right - places) / (right - centre)
    found = tf.where((places >= left) & (places <= centre), rising, zero)
    return tf.where((places >= centre) & (places < right), falling, found)
