"""Ensembles of decision trees of ai.onnx.ml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench.graph.trees import TOGETHER, Trees, floats, listed, split
from xbench_adapters.tensorflow.lower.features import (
    ML,
    TRANSFORMS,
    labels_of,
    transform_of,
    transformed,
)
from xbench_adapters.tensorflow.lower.forest import walked
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.tensorflow.builder import Builder


def _dtype(node: Node, to: Builder) -> type:
    """Return the type that features are compared in."""
    dtype = to.graph.value(node.inputs[0]).dtype
    return np.float64 if dtype == np.float64 else np.float32


def _walked(trees: Trees, how: str, base: Array, x: Any, to: Builder) -> tuple[Any, Any]:
    depth = trees.depth()
    if depth is None:
        to.refuse("a tree that leads back into itself")
    return walked(trees, depth, how, base, x)


@lowering("TreeEnsembleRegressor", domain=ML)
def tree_ensemble_regressor(node: Node, to: Builder) -> Any:
    """Return what the leaves that each row ends in give to each target."""
    how, targets = transform_of(node, to), int(node.attributes["n_targets"])
    together = str(node.attributes["aggregate_function"])
    base = floats(node, "base_values", np.float32)
    if together not in TOGETHER or len(base) not in (0, targets):
        to.refuse(f"{together} of the trees, with {len(base)} base values")
    trees = listed(node, "target", targets, _dtype(node, to), to.refuse)
    base = base if len(base) else np.zeros(targets, np.float32)
    scores, _ = _walked(trees, together, base, to.value(node.inputs[0]), to)
    return transformed(scores, how)


@lowering("TreeEnsembleClassifier", domain=ML, raw=True)
def tree_ensemble_classifier(node: Node, to: Builder) -> tuple[Any, Any]:
    """Return the class that most is given to, and what each is given."""
    how, labels = transform_of(node, to), labels_of(node, "classlabels_int64s", to)
    classes = int(labels.shape[0])
    base = floats(node, "base_values", np.float32)
    single = classes == 2 and set(node.attributes["class_ids"]) == {0}
    targets = 1 if single else classes
    if classes < 2 or len(base) not in (0, targets):
        to.refuse(f"{classes} classes with {len(base)} base values")
    trees = listed(node, "class", targets, _dtype(node, to), to.refuse)
    base = base if len(base) else np.zeros(targets, np.float32)
    scores, given = _walked(trees, "SUM", base, to.value(node.inputs[0]), to)
    if single:
        best, scores = _decided(node, how, scores, to)
    else:
        best = tf.argmax(tf.where(given, scores, tf.constant(-np.inf, scores.dtype)), 1)
    return tf.gather(labels, best), transformed(scores, how)


def _decided(node: Node, how: str, score: Any, to: Builder) -> tuple[Any, Any]:
    """Return which of two classes a single score is for, and the scores of both.

    A likelihood is compared with a half.
    """
    likelihood = bool((floats(node, "class_weights", np.float64) >= 0).all())
    if how not in (("NONE",) if likelihood else ("NONE", "LOGISTIC")):
        to.refuse(f"{how} of a single score")
    best = tf.cast(score > (0.5 if likelihood else 0.0), tf.int64)[:, 0]
    return best, tf.concat([1 - score if likelihood else -score, score], 1)


@lowering("TreeEnsemble", 5, domain=ML)
def tree_ensemble(node: Node, to: Builder) -> Any:
    """Return what the leaves that each row ends in give to each target."""
    together = int(node.attributes["aggregate_function"])
    transform = int(node.attributes["post_transform"])
    if not 0 <= together < len(TOGETHER) or not 0 <= transform < len(TRANSFORMS):
        to.refuse(f"aggregate function {together} with transform {transform}")
    targets = int(node.attributes["n_targets"])
    trees = split(node, targets, to.refuse)
    base = np.zeros(targets, trees.splits.dtype)
    scores, _ = _walked(trees, TOGETHER[together], base, to.value(node.inputs[0]), to)
    return transformed(scores, TRANSFORMS[transform])
