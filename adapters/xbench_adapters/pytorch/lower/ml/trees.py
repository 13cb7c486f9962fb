"""Ensembles of decision trees of ai.onnx.ml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.fx
from torch import nn

from xbench.graph.trees import TOGETHER, Trees, floats, listed, split
from xbench_adapters.pytorch.lower.ml.features import (
    TRANSFORMS,
    Picked,
    labels_of,
    transform_of,
    transformed,
)
from xbench_adapters.pytorch.lower.ml.forest import Forest
from xbench_adapters.pytorch.registry import ML, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder


def _dtype(node: Node, to: Builder) -> type:
    """Return the type that features are compared in."""
    dtype = to.graph.value(node.inputs[0]).dtype
    return np.float64 if dtype == np.float64 else np.float32


def _forest(trees: Trees, how: str, base: Array, to: Builder) -> Forest:
    depth = trees.depth()
    if depth is None:
        to.refuse("a tree that leads back into itself")
    return Forest(trees, depth, how, base)


@lowering("TreeEnsembleRegressor", domain=ML)
def tree_ensemble_regressor(node: Node, to: Builder) -> torch.fx.Node:
    """Return what the leaves that each row ends in give to each target."""
    how, targets = transform_of(node, to), int(node.attributes["n_targets"])
    together = str(node.attributes["aggregate_function"])
    base = floats(node, "base_values", np.float32)
    if together not in TOGETHER or len(base) not in (0, targets):
        to.refuse(f"{together} of the trees, with {len(base)} base values")
    trees = listed(node, "target", targets, _dtype(node, to), to.refuse)
    forest = _forest(trees, together, base if len(base) else np.zeros(targets, np.float32), to)
    scores = to.item(to.module(forest, to.value(node.inputs[0])), 0)
    return to.call(transformed, scores, how)


class Classifier(nn.Module):
    """The class that most is given to, and what each is given."""

    def __init__(self, forest: Forest, labels: Picked, how: str) -> None:
        super().__init__()
        self.forest, self.labels, self.how = forest, labels, how

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the best class of those that are given anything, and the scores of all."""
        scores, given = self.forest(x)
        best = torch.where(given, scores, -float("inf")).argmax(1)
        return self.labels(best), transformed(scores, self.how)


class Decision(nn.Module):
    """One of two classes, by a single score."""

    def __init__(self, forest: Forest, labels: Picked, how: str, *, likelihood: bool) -> None:
        super().__init__()
        self.forest, self.labels, self.how = forest, labels, how
        self.likelihood = likelihood

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the class, and the scores of both; a likelihood is compared with a half."""
        score = self.forest(x)[0]
        best = (score > (0.5 if self.likelihood else 0.0)).long().squeeze(1)
        other = 1 - score if self.likelihood else -score
        scores = torch.cat([other, score], 1)
        return self.labels(best), transformed(scores, self.how)


@lowering("TreeEnsembleClassifier", domain=ML, raw=True)
def tree_ensemble_classifier(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the class that most is given to, and what each is given."""
    how, labels = transform_of(node, to), labels_of(node, "classlabels_int64s", to)
    classes = len(labels.words) or len(labels.labels)
    base = floats(node, "base_values", np.float32)
    single = classes == 2 and set(node.attributes["class_ids"]) == {0}
    targets = 1 if single else classes
    if classes < 2 or len(base) not in (0, targets):
        to.refuse(f"{classes} classes with {len(base)} base values")
    forest = _forest(
        listed(node, "class", targets, _dtype(node, to), to.refuse),
        "SUM",
        base if len(base) else np.zeros(targets, np.float32),
        to,
    )
    module: nn.Module = Classifier(forest, labels, how)
    if single:
        likelihood = bool((floats(node, "class_weights", np.float64) >= 0).all())
        if how not in (("NONE",) if likelihood else ("NONE", "LOGISTIC")):
            to.refuse(f"{how} of a single score")
        module = Decision(forest, labels, how, likelihood=likelihood)
    found = to.module(module, to.value(node.inputs[0]))
    return to.items(found, 2)


@lowering("TreeEnsemble", 5, domain=ML)
def tree_ensemble(node: Node, to: Builder) -> torch.fx.Node:
    """Return what the leaves that each row ends in give to each target."""
    together = int(node.attributes["aggregate_function"])
    transform = int(node.attributes["post_transform"])
    if not 0 <= together < len(TOGETHER) or not 0 <= transform < len(TRANSFORMS):
        to.refuse(f"aggregate function {together} with transform {transform}")
    targets = int(node.attributes["n_targets"])
    trees = split(node, targets, to.refuse)
    forest = _forest(trees, TOGETHER[together], np.zeros(targets, trees.splits.dtype), to)
    scores = to.item(to.module(forest, to.value(node.inputs[0])), 0)
    return to.call(transformed, scores, TRANSFORMS[transform])
