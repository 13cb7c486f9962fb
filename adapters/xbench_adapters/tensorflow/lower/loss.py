"""Losses of classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.widths import at_least_float32
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


@lowering("NegativeLogLikelihoodLoss", 12)
def negative_log_likelihood(node: Node, to: Builder) -> Any:
    """Return the negated logarithms of the classes that are right, weighted and reduced."""
    rank = to.rank(node.inputs[0])
    logs = to.last(node.inputs[0]) if rank > 2 else to.value(node.inputs[0])
    return _loss(node, to, logs)


@lowering("SoftmaxCrossEntropyLoss", 12)
def softmax_cross_entropy(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the loss of scores, and the logarithms of their softmax."""
    rank = to.rank(node.inputs[0])
    scores = to.last(node.inputs[0]) if rank > 2 else to.value(node.inputs[0])
    logs = tf.nn.log_softmax(tf.cast(scores, at_least_float32(scores.dtype)))
    loss, logs = (tf.cast(one, scores.dtype) for one in (_loss(node, to, logs), logs))
    return loss, Last(logs) if rank > 2 else logs


def _loss(node: Node, to: Builder, logs: Any) -> Any:
    """Return the loss of logarithms of probabilities, whose last axis is the classes."""
    weight = to.optional(node.input(2))
    found = likelihood_loss(
        tf.cast(logs, at_least_float32(logs.dtype)),
        tf.cast(to.value(node.inputs[1]), tf.int64),
        weight,
        node.attributes.get("ignore_index"),
        node.attributes["reduction"],
    )
    return tf.cast(found, logs.dtype)


def likelihood_loss(
    logs: Any, target: Any, weight: Any, ignored: int | None, reduction: str
) -> Any:
    """Return the loss of logarithms of probabilities, in their type.

    Args:
        logs: Logarithms, their last axis the classes.
        target: The right classes.
        weight: A factor for each class.
        ignored: A class of no loss and no weight.
        reduction: ``none``, ``sum``, or ``mean`` by weight.
    """
    none = tf.zeros([], logs.dtype)
    counts = None if ignored is None else tf.not_equal(target, ignored)
    places = target if counts is None else tf.where(counts, target, tf.zeros([], tf.int64))
    picked = tf.gather(logs, places, axis=-1, batch_dims=places.shape.rank)
    factors = tf.ones_like(picked)
    if weight is not None:
        factors = tf.gather(tf.cast(weight, logs.dtype), places)
    if counts is not None:
        factors, picked = tf.where(counts, factors, none), tf.where(counts, picked, none)
    loss = -picked * factors
    if reduction == "none":
        return loss
    total = tf.reduce_sum(loss)
    return total if reduction == "sum" else total / tf.reduce_sum(factors)
