"""Operators of ai.onnx.ml that scale and fill features, and linear models of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.tensorflow.builder import Builder

ML = "ai.onnx.ml"

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")
"""How scores become probabilities, in the order of `TreeEnsemble`'s numbers for them."""


def transformed(scores: Any, how: str) -> Any:
    """Return scores as probabilities, or as they are for ``NONE``."""
    if how == "SOFTMAX":
        return tf.nn.softmax(scores, -1)
    if how == "LOGISTIC":
        return tf.sigmoid(scores)
    if how == "SOFTMAX_ZERO":
        most = tf.reduce_max(scores, -1, keepdims=True)
        zero = tf.abs(scores) <= 1e-7
        powers = tf.where(zero, scores * tf.exp(-most), tf.exp(scores - most))
        return powers / tf.reduce_sum(powers, -1, keepdims=True)
    return scores


def transform_of(node: Node, to: Builder) -> str:
    """Return how a model's scores become probabilities, or refuse it."""
    how = str(node.attributes.get("post_transform", "NONE"))
    if how not in TRANSFORMS:
        to.refuse(f"post_transform {how}")
    return how


def labels_of(node: Node, numbers: str, to: Builder) -> Any:
    """Return a classifier's labels; ``numbers`` is the attribute of those that are numbers."""
    words = list(node.attributes.get("classlabels_strings") or [])
    found = list(node.attributes.get(numbers) or [])
    if bool(words) == bool(found):
        to.refuse("labels that are missing, or of two kinds")
    return tf.constant(words) if words else tf.constant(found, tf.int64)


def _wide(x: Any) -> Any:
    return x if x.dtype.is_floating else tf.cast(x, tf.float32)


def _vector(node: Node, name: str, otherwise: float) -> Array:
    return np.array(node.attributes.get(name) or [otherwise], np.float32)


@lowering("Scaler", domain=ML)
def scaler(node: Node, to: Builder) -> Any:
    """Return features moved and scaled; float64 is rounded at the end only."""
    x = _wide(to.value(node.inputs[0]))
    offset, scale = (
        tf.cast(_vector(node, *pair), x.dtype) for pair in (("offset", 0.0), ("scale", 1.0))
    )
    return tf.cast((x - offset) * scale, tf.float32)


@lowering("Normalizer", domain=ML)
def normalizer(node: Node, to: Builder) -> Any:
    """Return rows divided by a norm of theirs; rows whose norm is zero stay."""
    norm, x = str(node.attributes["norm"]), _wide(to.value(node.inputs[0]))
    if norm == "MAX":
        size = tf.reduce_max(x, -1, keepdims=True)
    elif norm == "L1":
        size = tf.reduce_sum(tf.abs(x), -1, keepdims=True)
    elif norm == "L2":
        size = tf.sqrt(tf.reduce_sum(tf.square(x), -1, keepdims=True))
    else:
        to.refuse(f"norm {norm}")
    return tf.cast(x / tf.where(size == 0, tf.ones_like(size), size), tf.float32)


@lowering("Imputer", domain=ML)
def imputer(node: Node, to: Builder) -> Any:
    """Return features with others in place of the one that marks a missing value."""
    floating = to.floating(node.inputs[0])
    kind = ("floats", "float") if floating else ("int64s", "int64")
    values = node.attributes.get(f"imputed_value_{kind[0]}")
    if not values:
        to.refuse("it has no values for features of this type")
    x, marker = to.value(node.inputs[0]), node.attributes[f"replaced_value_{kind[1]}"]
    missing = tf.math.is_nan(x) if marker != marker else x == tf.constant(marker, x.dtype)
    return tf.where(missing, tf.cast(tf.constant(values), x.dtype), x)


@lowering("FeatureVectorizer", domain=ML)
def feature_vectorizer(node: Node, to: Builder) -> Any:
    """Return features of several inputs side by side, each cut or filled to its width."""
    widths = [int(one) for one in node.attributes.get("inputdimensions") or []]
    if len(widths) != len(node.inputs):
        to.refuse(f"{len(widths)} widths for {len(node.inputs)} inputs")
    parts = []
    for name, width in zip(node.inputs, widths, strict=True):
        if to.rank(name) != 2:
            to.refuse("features that are not of shape [N, C]")
        x = tf.cast(to.value(name), tf.float32)[:, :width]
        room = tf.stack([tf.constant(0), width - tf.shape(x)[1]])
        parts.append(tf.ensure_shape(tf.pad(x, tf.stack([[0, 0], room])), [x.shape[0], width]))
    return tf.concat(parts, 1)


@lowering("ArrayFeatureExtractor", 1, domain=ML, raw=True)
def array_feature_extractor(node: Node, to: Builder) -> Any:
    """Return elements along the last axis; those of a vector as a matrix of one row."""
    x, places = map(to.value, node.inputs)
    picked = tf.gather(x, tf.reshape(places, [-1]), axis=-1)
    return picked[None] if to.rank(node.inputs[0]) == 1 else picked


def _scores(node: Node, to: Builder, count: int) -> Any:
    """Return a linear function of the features for each of ``count`` targets."""
    weights = np.array(node.attributes["coefficients"], np.float32)
    shifts = np.array(node.attributes.get("intercepts") or [0.0] * count, np.float32)
    if count < 1 or len(weights) % count or len(shifts) != count:
        to.refuse(f"{len(weights)} coefficients and {len(shifts)} intercepts for {count} targets")
    x = tf.cast(to.value(node.inputs[0]), tf.float32)
    rows = x[None] if to.rank(node.inputs[0]) == 1 else x
    found = tf.matmul(rows, np.ascontiguousarray(weights.reshape(count, -1).T)) + shifts
    return found[0] if to.rank(node.inputs[0]) == 1 else found


@lowering("LinearRegressor", domain=ML)
def linear_regressor(node: Node, to: Builder) -> Any:
    """Return a linear function of the features for each target."""
    how = transform_of(node, to)
    return transformed(_scores(node, to, int(node.attributes["targets"])), how)


@lowering("LinearClassifier", domain=ML, raw=True)
def linear_classifier(node: Node, to: Builder) -> tuple[Any, Any]:
    """Return the best class, and the scores of all."""
    how, labels = transform_of(node, to), labels_of(node, "classlabels_ints", to)
    count = int(labels.shape[0])
    if count < 2:
        to.refuse("a single class")
    if to.rank(node.inputs[0]) != 2:
        to.refuse("features that are not of shape [N, C]")
    scores = _scores(node, to, count)
    return tf.gather(labels, tf.argmax(scores, 1)), transformed(scores, how)


@lowering("OneHotEncoder", domain=ML, raw=True)
def one_hot_encoder(node: Node, to: Builder) -> Any:
    """Return one for the category that each label is in, zero for all others."""
    cats = list(node.attributes.get("cats_int64s") or node.attributes.get("cats_strings") or [])
    if not cats or len(set(cats)) < len(cats):
        to.refuse("categories that are missing or given twice")
    dtype = to.graph.value(node.inputs[0]).dtype
    if dtype is None or (dtype.kind == "O") != isinstance(cats[0], str):
        to.refuse("categories of another type than the labels")
    x = to.value(node.inputs[0])
    if x.dtype != tf.string:
        x = tf.cast(x, tf.int64)
    found = x[..., None] == tf.constant(cats, x.dtype)
    if not node.attributes["zeros"]:
        tf.debugging.Assert(
            tf.reduce_all(tf.reduce_any(found, -1)), ["a label is in none of the categories"]
        )
    return tf.cast(found, tf.float32)


@lowering("SVMRegressor", domain=ML)
def svm_regressor(node: Node, to: Builder) -> Any:
    """Return a sum over support vectors of how near each is to the features, weighted."""
    given = node.attributes
    if transform_of(node, to) != "NONE" or given["one_class"]:
        to.refuse("one class, or probabilities")
    weights = np.array(given["coefficients"], np.float32)
    count, kernel = int(given["n_supports"]), str(given["kernel_type"])
    if count:
        vectors = np.array(given["support_vectors"], np.float32).reshape(count, -1)
    else:
        vectors, weights, kernel = weights.reshape(1, -1), np.ones(1, np.float32), "LINEAR"
    numbers = [float(one) for one in given.get("kernel_params") or [0.0, 0.0, 0.0]]
    if len(numbers) != 3 or len(weights) != len(vectors):
        to.refuse("parameters or coefficients that do not fit")
    near = _near(tf.cast(to.value(node.inputs[0]), tf.float32), kernel, numbers, vectors)
    return tf.matmul(near, weights[:, None]) + np.float32(given["rho"][0])


def _near(x: Any, kernel: str, numbers: list[float], vectors: Array) -> Any:
    """Return how near each row is to each support vector."""
    gamma, start, power = numbers
    if kernel == "RBF":
        apart = tf.reduce_sum(tf.square(x[:, None] - vectors), -1)
        return tf.exp(-gamma * apart)
    near = tf.matmul(x, vectors, transpose_b=True)
    if kernel != "LINEAR":
        near = near * gamma + start
    if kernel == "POLY":
        near = near**power
    return tf.tanh(near) if kernel == "SIGMOID" else near
