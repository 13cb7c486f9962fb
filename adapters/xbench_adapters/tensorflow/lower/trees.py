"""Ensembles of decision trees of ai.onnx.ml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.lower.features import (
    ML,
    TRANSFORMS,
    labels_of,
    transform_of,
    transformed,
)
from xbench_adapters.tensorflow.lower.forest import LEAF, MEMBER, MODES, Trees, walked
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.tensorflow.builder import Builder

_TOGETHER = ("AVERAGE", "SUM", "MIN", "MAX")


def _floats(node: Node, name: str, dtype: Any) -> Array:
    """Return an attribute that is a list of floats, or a tensor since version 3."""
    tensor = node.attributes.get(f"{name}_as_tensor")
    found = node.attributes.get(name, []) if tensor is None else tensor
    return np.asarray(found).reshape(-1).astype(dtype)


def _ints(node: Node, name: str) -> Array:
    return np.array(node.attributes.get(name) or [], np.int64)


def _dtype(node: Node, to: Builder) -> type:
    """Return the type that features are compared in."""
    dtype = to.graph.value(node.inputs[0]).dtype
    return np.float64 if dtype == np.float64 else np.float32


def _places(node: Node, to: Builder) -> dict[tuple[int, int], int]:
    pairs = zip(node.attributes["nodes_treeids"], node.attributes["nodes_nodeids"], strict=True)
    found = {pair: place for place, pair in enumerate(pairs)}
    if len(found) < len(node.attributes["nodes_treeids"]):
        to.refuse("two nodes with one number")
    return found


def _asked(node: Node, to: Builder) -> Array:
    names = dict(zip(MODES, range(MEMBER), strict=True)) | {"LEAF": LEAF}
    modes = node.attributes["nodes_modes"]
    odd = sorted(set(modes) - set(names))
    if odd:
        to.refuse(f"nodes of kind {odd[0]}")
    return np.array([names[mode] for mode in modes], np.int64)


def _leaves(
    node: Node, stem: str, places: dict[tuple[int, int], int], targets: int, to: Builder
) -> tuple[Array, Array]:
    """Return what each node gives to each target, and whether it gives anything."""
    weights = np.zeros((len(places), targets), np.float64)
    gives = np.zeros(weights.shape, bool)
    numbers = _floats(node, f"{stem}_weights", np.float64)
    keys = (node.attributes[f"{stem}_{one}"] for one in ("treeids", "nodeids", "ids"))
    for tree, number, target, weight in zip(*keys, numbers, strict=True):
        if (tree, number) not in places or not 0 <= target < targets:
            to.refuse("a weight of no node or for no target")
        if gives[places[tree, number], target]:
            to.refuse("two weights of one leaf for one target")
        weights[places[tree, number], target] = weight
        gives[places[tree, number], target] = True
    return weights.astype(np.float32), gives


def _followers(
    node: Node, places: dict[tuple[int, int], int], modes: Array, to: Builder
) -> list[Array]:
    """Return the node that follows each one, on yes and on no; a leaf follows itself."""
    own, found = np.arange(len(modes)), []
    for answer in ("true", "false"):
        pairs = zip(
            node.attributes["nodes_treeids"], node.attributes[f"nodes_{answer}nodeids"], strict=True
        )
        after = np.array([places.get(pair, -1) for pair in pairs], np.int64)
        if ((after < 0) & (modes != LEAF)).any():
            to.refuse("a node that is followed by none")
        found.append(np.where(modes == LEAF, own, after))
    return found


def _roots(node: Node, asking: Array, followers: list[Array], to: Builder) -> Array:
    """Return the first node of each tree, the only one that follows none."""
    follow = set(np.concatenate([one[asking] for one in followers]).tolist())
    roots = np.array([place for place in range(len(asking)) if place not in follow], np.int64)
    trees = _ints(node, "nodes_treeids")
    if len(roots) != len(np.unique(trees)) or len(np.unique(trees[roots])) != len(roots):
        to.refuse("a tree without a root of its own")
    return roots


def _listed(node: Node, stem: str, targets: int, to: Builder) -> Trees:
    """Return the trees of a node that lists all nodes, leaves among them."""
    places, modes = _places(node, to), _asked(node, to)
    followers, asking = _followers(node, places, modes, to), modes != LEAF
    weights, gives = _leaves(node, stem, places, targets, to)
    tracks = _ints(node, "nodes_missing_value_tracks_true")
    return Trees(
        modes=modes,
        features=np.where(asking, _ints(node, "nodes_featureids"), 0),
        splits=_floats(node, "nodes_values", _dtype(node, to)),
        members=np.zeros((len(modes), 0), np.float32),
        missing=tracks != 0 if len(tracks) else np.zeros(len(modes), bool),
        yes=followers[0],
        no=followers[1],
        roots=_roots(node, asking, followers, to),
        weights=np.where(asking[:, None], np.float32(0), weights),
        gives=gives & ~asking[:, None],
    )


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
    base = _floats(node, "base_values", np.float32)
    if together not in _TOGETHER or len(base) not in (0, targets):
        to.refuse(f"{together} of the trees, with {len(base)} base values")
    trees = _listed(node, "target", targets, to)
    base = base if len(base) else np.zeros(targets, np.float32)
    scores, _ = _walked(trees, together, base, to.value(node.inputs[0]), to)
    return transformed(scores, how)


@lowering("TreeEnsembleClassifier", domain=ML, raw=True)
def tree_ensemble_classifier(node: Node, to: Builder) -> tuple[Any, Any]:
    """Return the class that most is given to, and what each is given."""
    how, labels = transform_of(node, to), labels_of(node, "classlabels_int64s", to)
    classes = int(labels.shape[0])
    base = _floats(node, "base_values", np.float32)
    single = classes == 2 and set(node.attributes["class_ids"]) == {0}
    targets = 1 if single else classes
    if classes < 2 or len(base) not in (0, targets):
        to.refuse(f"{classes} classes with {len(base)} base values")
    trees = _listed(node, "class", targets, to)
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
    likelihood = bool((_floats(node, "class_weights", np.float64) >= 0).all())
    if how not in (("NONE",) if likelihood else ("NONE", "LOGISTIC")):
        to.refuse(f"{how} of a single score")
    best = tf.cast(score > (0.5 if likelihood else 0.0), tf.int64)[:, 0]
    return best, tf.concat([1 - score if likelihood else -score, score], 1)


@lowering("TreeEnsemble", 5, domain=ML)
def tree_ensemble(node: Node, to: Builder) -> Any:
    """Return what the leaves that each row ends in give to each target."""
    together = int(node.attributes["aggregate_function"])
    transform = int(node.attributes["post_transform"])
    if not 0 <= together < len(_TOGETHER) or not 0 <= transform < len(TRANSFORMS):
        to.refuse(f"aggregate function {together} with transform {transform}")
    targets = int(node.attributes["n_targets"])
    trees = _split(node, targets, to)
    base = np.zeros(targets, trees.splits.dtype)
    scores, _ = _walked(trees, _TOGETHER[together], base, to.value(node.inputs[0]), to)
    return transformed(scores, TRANSFORMS[transform])


def _split(node: Node, targets: int, to: Builder) -> Trees:
    """Return the trees of a node that lists its leaves apart; they come last here."""
    splits = np.asarray(node.attributes["nodes_splits"]).reshape(-1)
    modes = np.asarray(node.attributes["nodes_modes"]).reshape(-1).astype(np.int64)
    weights = np.asarray(node.attributes["leaf_weights"]).reshape(-1)
    ids = _ints(node, "leaf_targetids")
    count, leaves = len(modes), len(weights)
    own = np.arange(count, count + leaves)
    followers = []
    for answer in ("true", "false"):
        numbers = _ints(node, f"nodes_{answer}nodeids")
        is_leaf = _ints(node, f"nodes_{answer}leafs") != 0
        followers.append(np.concatenate([np.where(is_leaf, numbers + count, numbers), own]))
    if (modes > MEMBER).any() or max(one.max() for one in followers) >= count + leaves:
        to.refuse("a node of another kind, or followed by none")
    given = np.zeros((count + leaves, targets), bool)
    given[own, ids] = True
    weighted = np.zeros(given.shape, splits.dtype)
    weighted[own, ids] = weights
    tracks = _ints(node, "nodes_missing_value_tracks_true")
    rest = np.zeros(leaves, np.int64)
    return Trees(
        modes=np.concatenate([modes, rest + LEAF]),
        features=np.concatenate([_ints(node, "nodes_featureids"), rest]),
        splits=np.concatenate([splits, rest.astype(splits.dtype)]),
        members=_members(node, modes, leaves, splits.dtype, to),
        missing=np.concatenate([tracks if len(tracks) else np.zeros(count, int), rest]) != 0,
        yes=followers[0],
        no=followers[1],
        roots=_ints(node, "tree_roots"),
        weights=weighted,
        gives=given,
    )


def _members(node: Node, modes: Array, leaves: int, dtype: Any, to: Builder) -> Array:
    """Return the numbers that each node looks for, which NaN set apart in the attribute."""
    sets: list[list[float]] = [[]]
    for one in np.asarray(node.attributes.get("membership_values", [])).reshape(-1).tolist():
        if one == one:
            sets[-1].append(one)
        else:
            sets.append([])
    places = np.flatnonzero(modes == MEMBER)
    found = sets if sets[-1] else sets[:-1]
    if len(found) != len(places):
        to.refuse(f"{len(found)} sets of members for {len(places)} nodes")
    width = max(map(len, found), default=0)
    members = np.full((len(modes) + leaves, width), np.nan, dtype)
    for place, one in zip(places, found, strict=True):
        members[place, : len(one)] = one
    return members
