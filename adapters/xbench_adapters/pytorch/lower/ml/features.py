"""Operators of ai.onnx.ml that scale and fill features, and linear models of them."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from torch import nn
from torch.nn import functional

from xbench_adapters.pytorch.lower.shared.moved import moves
from xbench_adapters.pytorch.registry import ML, lowering
from xbench_adapters.pytorch.tensors import text_array

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")
"""How scores become probabilities, in the order of `TreeEnsemble`'s numbers for them."""


def as_float(x: torch.Tensor) -> torch.Tensor:
    """Return numbers as float32."""
    return x.to(torch.float32)


def scaled(x: torch.Tensor, offset: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return features moved and scaled; float64 is rounded at the end only."""
    wide = x if x.is_floating_point() else x.to(torch.float32)
    return ((wide - offset) * scale).to(torch.float32)


def normalized(x: torch.Tensor, norm: str) -> torch.Tensor:
    """Return rows divided by a norm of theirs; rows whose norm is zero stay."""
    wide = x if x.is_floating_point() else x.to(torch.float32)
    if norm == "MAX":
        size = wide.amax(-1, keepdim=True)
    elif norm == "L1":
        size = wide.abs().sum(-1, keepdim=True)
    else:
        size = wide.square().sum(-1, keepdim=True).sqrt()
    return (wide / torch.where(size == 0, 1.0, size)).to(torch.float32)


def imputed(x: torch.Tensor, values: torch.Tensor, replaced: float) -> torch.Tensor:
    """Return features with others in place of the one that marks a missing value."""
    missing = torch.isnan(x) if replaced != replaced else x == replaced
    return torch.where(missing, values.to(x.dtype), x)


def vectorized(parts: list[torch.Tensor], widths: list[int]) -> torch.Tensor:
    """Return features of several inputs side by side, each cut or filled to its width."""
    if any(one.ndim != 2 for one in parts):
        raise ValueError("features must be of shape [N, C]")
    return torch.cat(
        [
            functional.pad(one.to(torch.float32), (0, width - one.shape[1]))
            for one, width in zip(parts, widths, strict=True)
        ],
        1,
    )


def transformed(scores: torch.Tensor, how: str) -> torch.Tensor:
    """Return scores as probabilities, or as they are for ``NONE``."""
    if how == "SOFTMAX":
        return torch.softmax(scores, -1)
    if how == "LOGISTIC":
        return torch.sigmoid(scores)
    if how == "SOFTMAX_ZERO":
        most = scores.amax(-1, keepdim=True)
        zero = scores.abs() <= 1e-7
        powers = torch.where(zero, scores * torch.exp(-most), torch.exp(scores - most))
        return powers / powers.sum(-1, keepdim=True)
    return scores


def transform_of(node: Node, to: Builder) -> str:
    """Return how a model's scores become probabilities, or refuse it."""
    how = str(node.attributes.get("post_transform", "NONE"))
    if how not in TRANSFORMS:
        to.refuse(f"post_transform {how}")
    return how


class Picked(nn.Module):
    """The label at each place: a number, or text."""

    labels: torch.Tensor

    def __init__(self, numbers: list[int], words: list[str]) -> None:
        super().__init__()
        self.words = tuple(words)
        self.register_buffer("labels", torch.tensor(numbers, dtype=torch.int64))

    def forward(self, places: torch.Tensor) -> Any:
        """Return the label at each place."""
        if not self.words:
            return self.labels[places]
        flat = tuple(self.words[place] for place in places.reshape(-1).tolist())
        return text_array(flat, tuple(places.shape))


def labels_of(node: Node, numbers: str, to: Builder) -> Picked:
    """Return a classifier's labels; ``numbers`` is the attribute of those that are numbers."""
    words = list(node.attributes.get("classlabels_strings") or [])
    found = list(node.attributes.get(numbers) or [])
    if bool(words) == bool(found):
        to.refuse("labels that are missing, or of two kinds")
    return Picked(found, words)


def _vector(node: Node, name: str, otherwise: float) -> Array:
    return np.array(node.attributes.get(name) or [otherwise], np.float32)


@lowering("Scaler", domain=ML)
def scaler(node: Node, to: Builder) -> torch.fx.Node:
    """Return features moved and scaled."""
    offset = to.fixed(f"{node.name}_offset", _vector(node, "offset", 0.0))
    scale = to.fixed(f"{node.name}_scale", _vector(node, "scale", 1.0))
    return to.call(scaled, to.value(node.inputs[0]), offset, scale)


@lowering("Normalizer", domain=ML)
def normalizer(node: Node, to: Builder) -> torch.fx.Node:
    """Return rows divided by a norm of theirs."""
    norm = str(node.attributes["norm"])
    if norm not in ("MAX", "L1", "L2"):
        to.refuse(f"norm {norm}")
    return to.call(normalized, to.value(node.inputs[0]), norm)


@lowering("Imputer", domain=ML)
def imputer(node: Node, to: Builder) -> torch.fx.Node:
    """Return features with others in place of the one that marks a missing value."""
    floating = to.floating(node.inputs[0])
    kind = ("floats", "float") if floating else ("int64s", "int64")
    values = node.attributes.get(f"imputed_value_{kind[0]}")
    if not values:
        to.refuse("it has no values for features of this type")
    fixed = to.fixed(f"{node.name}_values", np.array(values, np.float32 if floating else np.int64))
    return to.call(
        imputed, to.value(node.inputs[0]), fixed, node.attributes[f"replaced_value_{kind[1]}"]
    )


@lowering("FeatureVectorizer", domain=ML)
def feature_vectorizer(node: Node, to: Builder) -> torch.fx.Node:
    """Return features of several inputs side by side."""
    widths = [int(one) for one in node.attributes.get("inputdimensions") or []]
    if len(widths) != len(node.inputs):
        to.refuse(f"{len(widths)} widths for {len(node.inputs)} inputs")
    return to.call(vectorized, [to.value(name) for name in node.inputs], widths)


@lowering("Binarizer", 1, domain=ML)
def binarizer(node: Node, to: Builder) -> torch.fx.Node:
    """Return one where elements are above a threshold, else zero."""
    threshold = node.attributes["threshold"]
    bound = threshold if to.floating(node.inputs[0]) else floor(threshold)
    above = to.call(torch.gt, to.value(node.inputs[0]), bound)
    return to.call(torch.Tensor.to, above, to.dtype(node.inputs[0]))


@moves
def features(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return elements along the last axis; those of a vector as a matrix of one row."""
    picked = torch.index_select(x, x.ndim - 1, places.reshape(-1))
    return picked.reshape(1, -1) if x.ndim == 1 else picked


@lowering("ArrayFeatureExtractor", 1, domain=ML)
def array_feature_extractor(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements along the last axis."""
    return to.call(features, *map(to.value, node.inputs))


def _scores(node: Node, to: Builder, count: int) -> torch.fx.Node:
    """Return a linear function of the features for each of ``count`` targets."""
    weights = np.array(node.attributes["coefficients"], np.float32)
    shifts = np.array(node.attributes.get("intercepts") or [0.0] * count, np.float32)
    if count < 1 or len(weights) % count or len(shifts) != count:
        to.refuse(f"{len(weights)} coefficients and {len(shifts)} intercepts for {count} targets")
    x = to.call(as_float, to.value(node.inputs[0]))
    weight = to.fixed(f"{node.name}_weight", weights.reshape(count, -1))
    return to.call(functional.linear, x, weight, to.fixed(f"{node.name}_bias", shifts))


@lowering("LinearRegressor", domain=ML)
def linear_regressor(node: Node, to: Builder) -> torch.fx.Node:
    """Return a linear function of the features for each target."""
    how = transform_of(node, to)
    return to.call(transformed, _scores(node, to, int(node.attributes["targets"])), how)


@lowering("LinearClassifier", domain=ML, raw=True)
def linear_classifier(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the best class, and the scores of all."""
    how = transform_of(node, to)
    labels = labels_of(node, "classlabels_ints", to)
    count = len(labels.words) or len(labels.labels)
    if count < 2:
        to.refuse("a single class")
    scores = _scores(node, to, count)
    best = to.call(torch.argmax, scores, 1)
    return to.module(labels, best), to.call(transformed, scores, how)


class Vectors(nn.Module):
    """A sum over support vectors of how near each is, weighted."""

    vectors: torch.Tensor
    weights: torch.Tensor

    def __init__(
        self, kernel: str, numbers: list[float], vectors: Array, weights: Array, shift: float
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.gamma, self.start, self.power = numbers
        self.register_buffer("vectors", torch.tensor(vectors))
        self.register_buffer("weights", torch.tensor(weights))
        self.shift = shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum for each row, as a column."""
        x = x.to(torch.float32)
        if self.kernel == "RBF":
            apart = (x.unsqueeze(1) - self.vectors).square().sum(-1)
            near = torch.exp(-self.gamma * apart)
        else:
            near = x @ self.vectors.T
            if self.kernel != "LINEAR":
                near = near * self.gamma + self.start
            if self.kernel == "POLY":
                near = near**self.power
            if self.kernel == "SIGMOID":
                near = torch.tanh(near)
        return (near @ self.weights + self.shift).unsqueeze(1)


@lowering("SVMRegressor", domain=ML)
def svm_regressor(node: Node, to: Builder) -> torch.fx.Node:
    """Return a sum over support vectors of how near each is to the features."""
    attributes = node.attributes
    if transform_of(node, to) != "NONE" or attributes["one_class"]:
        to.refuse("one class, or probabilities")
    weights = np.array(attributes["coefficients"], np.float32)
    count, kernel = int(attributes["n_supports"]), str(attributes["kernel_type"])
    if count:
        vectors = np.array(attributes["support_vectors"], np.float32).reshape(count, -1)
    else:
        vectors, weights, kernel = weights.reshape(1, -1), np.ones(1, np.float32), "LINEAR"
    numbers = [float(one) for one in attributes.get("kernel_params") or [0.0, 0.0, 0.0]]
    if len(numbers) != 3 or len(weights) != len(vectors):
        to.refuse("parameters or coefficients that do not fit")
    module = Vectors(kernel, numbers, vectors, weights, float(attributes["rho"][0]))
    return to.module(module, to.value(node.inputs[0]))
