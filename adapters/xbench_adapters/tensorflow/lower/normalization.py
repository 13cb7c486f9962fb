"""Normalisations over groups of channels, or over trailing axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.places import length, lengths
from xbench_adapters.tensorflow.lower.widths import FLOATS, at_least_float32
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


def _stash(node: Node, to: Builder) -> tuple[tf.DType, tf.DType]:
    """Return the type for statistics, and the one to compute them in, which may be wider."""
    code = node.attributes.get("stash_type", 1)
    if code not in FLOATS:
        to.refuse(f"stash_type={code}")
    stash, dtype = FLOATS[code], to.dtype(node.inputs[0])
    return stash, at_least_float32(dtype) if stash in (tf.float32, dtype) else stash


def moments(x: Any, axes: list[int], epsilon: float) -> tuple[Any, Any, Any]:
    """Return a tensor less its mean over axes, that mean, and one over the deviation."""
    mean = tf.reduce_mean(x, axes, keepdims=True)
    centred = x - mean
    variance = tf.reduce_mean(tf.math.square(centred), axes, keepdims=True)
    return centred, mean, tf.math.rsqrt(variance + epsilon)


def _beside_channels(weights: Any, rank: int, last: bool) -> Any:
    """Return weights of channels such that they broadcast against a tensor of ``rank``."""
    return weights if last else tf.reshape(weights, [-1, *[1] * (rank - 2)])


@lowering("InstanceNormalization")
def instance_normalization(node: Node, to: Builder) -> Any:
    """Return each channel of each item normalised over its spatial axes."""
    name, rank = node.inputs[0], to.rank(node.inputs[0])
    last = to.has_last(name)
    x = to.last(name) if last else to.value(name)
    wide = at_least_float32(x.dtype)
    scale, bias = (
        tf.cast(_beside_channels(to.value(one), rank, last), wide) for one in node.inputs[1:]
    )
    axes = list(range(1, rank - 1)) if last else list(range(2, rank))
    centred, _, inverse = moments(tf.cast(x, wide), axes, node.attributes["epsilon"])
    found = tf.cast(centred * (inverse * scale) + bias, x.dtype)
    return Last(found) if last else found


@lowering("GroupNormalization", 21)
def group_normalization(node: Node, to: Builder) -> Any:
    """Return groups of channels normalised, with a scale and bias for each channel."""
    weights = [to.value(name) for name in node.inputs[1:]]
    return _group_norm(node, to, weights, _stash(node, to)[1])


@lowering("GroupNormalization", 18, 20)
def group_normalization_by_group(node: Node, to: Builder) -> Any:
    """Return groups of channels normalised, with a scale and bias for each group."""
    channels = length(to.value(node.inputs[0]), 1) // node.attributes["num_groups"]
    weights = [tf.repeat(to.value(name), channels) for name in node.inputs[1:]]
    return _group_norm(node, to, weights, at_least_float32(to.dtype(node.inputs[0])))


def _group_norm(node: Node, to: Builder, weights: list[Any], wide: tf.DType) -> Any:
    name, rank, groups = node.inputs[0], to.rank(node.inputs[0]), node.attributes["num_groups"]
    last = to.has_last(name)
    x = to.last(name) if last else to.value(name)
    batch, channels = length(x, 0), length(x, -1 if last else 1)
    if last:
        parts = tf.reshape(x, [batch, -1, groups, channels // groups])
    else:
        parts = tf.reshape(x, [batch, groups, -1])
    axes = [1, 3] if last else [2]
    centred, _, inverse = moments(tf.cast(parts, wide), axes, node.attributes["epsilon"])
    alone = tf.cast(tf.reshape(centred * inverse, lengths(x)), x.dtype)
    scale, bias = (_beside_channels(one, rank, last) for one in weights)
    found = alone * scale + bias
    return Last(found) if last else found


def _trailing(node: Node, to: Builder) -> list[int]:
    rank = to.rank(node.inputs[0])
    return list(range(to.axis(node.attributes["axis"], rank), rank))


@lowering("LayerNormalization", 17)
def layer_normalization(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the trailing axes normalised, and in a type of their own mean and 1/deviation."""
    stash, wide = _stash(node, to)
    x, scale = (to.value(name) for name in node.inputs[:2])
    axes, epsilon = _trailing(node, to), node.attributes["epsilon"]
    centred, mean, inverse = moments(tf.cast(x, wide), axes, epsilon)
    found = tf.cast(centred * inverse, x.dtype) * scale
    if node.input(2):
        found = found + to.value(node.inputs[2])
    return found, tf.cast(mean, stash), tf.cast(inverse, stash)


@lowering("RMSNormalization", 23)
def rms_normalization(node: Node, to: Builder) -> Any:
    """Return the trailing axes over their root mean square."""
    if to.dtype(node.inputs[0]) != to.dtype(node.inputs[1]):
        to.refuse("a scale of another type: ONNX's texts differ on the result's")
    x, scale = (to.value(name) for name in node.inputs)
    wide = tf.cast(x, _stash(node, to)[1])
    squares = tf.reduce_mean(tf.math.square(wide), _trailing(node, to), keepdims=True)
    inverse = tf.math.rsqrt(squares + node.attributes["epsilon"])
    return tf.cast(wide * inverse, x.dtype) * scale
