"""Operators that draw at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_TRAINING = "in training without a seed it draws anew in each run (export the model for inference)"


@lowering("Dropout", 1, 6)
def dropout_by_attribute(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the input; training is refused, and so is the mask, which has no values then."""
    if not node.attributes["is_test"] and node.attributes["ratio"] != 0:
        to.refuse(_TRAINING)
    return to.value(node.inputs[0]), None


@lowering("Dropout", 7, 11)
def dropout(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the input and a mask that keeps all of it: the operator outside training."""
    return _idle(node, to)


def _idle(node: Node, to: Builder) -> tuple[Any, ...]:
    name, dtype = node.inputs[0], tf.bool if node.version >= 10 else to.dtype(node.inputs[0])
    if to.has_last(name):
        x = to.last(name)
        return Last(x), Last(tf.ones_like(x, dtype=dtype))
    x = to.value(name)
    return x, tf.ones_like(x, dtype=dtype)


@lowering("Dropout", 12)
def dropout_by_inputs(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the input and a mask of what is kept of it: all, unless it is trained with a seed.

    A seed draws what ONNX's reference draws from it, so that there is something to compare.
    """
    if not node.input(2) or any(_is_zero(name, to) for name in node.inputs[1:] if name):
        return _idle(node, to)
    x, training = to.value(node.inputs[0]), tf.reshape(to.value(node.inputs[2]), [])
    ratio = tf.reshape(to.value(node.inputs[1]), []) if node.inputs[1] else tf.constant(0.5)
    seed = node.attributes.get("seed")
    if seed is None:
        return _idle_or_fails(node, to, tf.logical_and(training, tf.not_equal(ratio, 0)))
    drawn = np.random.RandomState(seed).uniform(0, 1.0, to.shape(node.inputs[0]))
    rate = tf.where(training, tf.cast(ratio, tf.float64), tf.zeros([], tf.float64))
    mask = tf.constant(drawn) >= rate
    kept = tf.cast(tf.cast(x, tf.float64) / (1 - rate), x.dtype)
    return tf.where(mask, kept, tf.zeros([], x.dtype)), mask


def _is_zero(name: str, to: Builder) -> bool:
    array = to.constant(name)
    return array is not None and not array.any()


def _idle_or_fails(node: Node, to: Builder, draws: Any) -> tuple[Any, ...]:
    """Return the operator outside training; a run in training fails."""
    known = [to.constant(name) for name in node.inputs[1:] if name]
    if all(array is not None for array in known):
        to.refuse(_TRAINING)
    with tf.control_dependencies([tf.debugging.Assert(tf.logical_not(draws), [_TRAINING])]):
        x = tf.identity(to.value(node.inputs[0]))
        return x, tf.ones_like(x, dtype=tf.bool)


def random_numbers(_: Node, to: Builder) -> NoReturn:
    """Refuse: what is drawn could be compared with no other runtime's."""
    to.refuse(
        "it draws at random, so that no two runtimes give the same and nothing could be"
        " compared (export the model with the noise as an input)"
    )


for _name in ("Bernoulli", "Multinomial"):
    lowering(_name, raw=True)(random_numbers)
for _name in ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"):
    lowering(_name, raw=True)(random_numbers)
