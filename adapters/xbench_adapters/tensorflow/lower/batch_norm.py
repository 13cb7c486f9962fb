"""Batch normalisation: by statistics that are given, or by those of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.places import lengths
from xbench_adapters.tensorflow.lower.widths import NARROW, at_least_float32
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


@lowering("BatchNormalization")
def batch_normalization(node: Node, to: Builder) -> Any:
    """Return a normalisation by running statistics; in training by the batch's, and those."""
    name, rank = node.inputs[0], to.rank(node.inputs[0])
    epsilon, spatial = node.attributes["epsilon"], bool(node.attributes.get("spatial", 1))
    four = [to.value(one) for one in node.inputs[1:]]
    if _trains(node, to):
        return _in_training(to.value(name), four, epsilon, node.attributes["momentum"], spatial)
    if spatial and to.dtype(name) in (tf.float32, *NARROW):
        if rank == 2:
            return _native(to.value(name), four, epsilon)
        if rank == 4 or (rank > 2 and to.has_last(name)):
            return Last(_native(to.last(name), four, epsilon))
    return batch_norm(to.value(name), four, epsilon, spatial)


def _trains(node: Node, to: Builder) -> bool:
    """Return whether the batch's own statistics are used: said by attributes, or by outputs."""
    if node.version >= 14:
        return bool(node.attributes["training_mode"])
    more = any(node.wants(place) for place in range(1, 5))
    if node.version < 7 and more == bool(node.attributes["is_test"]):
        to.refuse("is_test says one mode and the number of outputs the other")
    return more


def _native(x: Any, four: list[Any], epsilon: float) -> Any:
    """Return the last axis normalised by the kernel, which wants four axes."""
    # Keras's way to the kernel would raise the epsilon that ONNX has by default.
    scale, bias, mean, variance = (tf.cast(one, tf.float32) for one in four)
    flat = x if x.shape.rank == 4 else tf.reshape(x, [-1, 1, 1, tf.size(scale)])
    found = tf.raw_ops.FusedBatchNormV3(
        x=flat,
        scale=scale,
        offset=bias,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=False,
    ).y
    return found if x.shape.rank == 4 else tf.reshape(found, lengths(x))


def _beside(x: Any, spatial: bool) -> Any:
    """Return the shape of what there is for each channel, or each feature, beside ``x``."""
    rank = x.shape.rank
    if not spatial:
        return lengths(x[:1])
    return [1, -1, *[1] * (rank - 2)] if rank > 1 else [-1]


def batch_norm(x: Any, four: list[Any], epsilon: float, spatial: bool) -> Any:
    """Return each channel, or each feature, normalised by a mean and variance.

    Args:
        x: Items of channels of any rank, or single numbers of one channel.
        four: Scale, bias, mean and variance of each channel.
        epsilon: What is added to the variance.
        spatial: Whether positions of a channel share these; else each has its own.
    """
    dtypes = {x.dtype, *(one.dtype for one in four)}
    wide, shape = tf.float64 if tf.float64 in dtypes else tf.float32, _beside(x, spatial)
    scale, bias, mean, variance = (tf.reshape(tf.cast(one, wide), shape) for one in four)
    factor = scale / tf.math.sqrt(variance + epsilon)
    return tf.cast((tf.cast(x, wide) - mean) * factor + bias, x.dtype)


def _in_training(
    x: Any, four: list[Any], epsilon: float, momentum: float, spatial: bool
) -> tuple[Any, ...]:
    """Return the batch normalised by itself, the running mean and variance, and its own."""
    scale, bias, mean, variance = four
    wide = tf.cast(x, at_least_float32(x.dtype))
    axes = [0, *range(2, x.shape.rank)] if spatial else [0]
    own_mean = tf.reduce_mean(wide, axes, keepdims=True)
    own_variance = tf.reduce_mean(tf.math.squared_difference(wide, own_mean), axes)
    own_mean, own_variance = (tf.reshape(one, tf.shape(mean)) for one in (own_mean, own_variance))
    found = batch_norm(x, [scale, bias, own_mean, own_variance], epsilon, spatial)
    running = (
        tf.cast(tf.cast(old, new.dtype) * momentum + new * (1 - momentum), old.dtype)
        for old, new in ((mean, own_mean), (variance, own_variance))
    )
    return found, *running, tf.cast(own_mean, x.dtype), tf.cast(own_variance, x.dtype)
