"""Ensembles of decision trees of ai.onnx.ml, as tables of their nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node

Refuse = Callable[[str], NoReturn]
"""Says why a node cannot be run, and never returns."""

TOGETHER = ("AVERAGE", "SUM", "MIN", "MAX")
"""What is made of the weights that leaves give a target, as `TreeEnsemble` numbers it."""

LEAF = -1
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
MEMBER = 6
"""What a node asks of a feature, in the numbers that `TreeEnsemble` gives them; -1 is a leaf."""


@dataclass(frozen=True, slots=True)
class Trees:
    """The nodes of all trees, leaves included, an entry each.

    Attributes:
        modes: What a node asks.
        features: Which feature it asks it of.
        splits: The number that it compares with.
        members: The numbers that it looks for, filled with NaN; no columns if none looks.
        missing: Whether a missing feature (NaN) counts as yes.
        yes: The node that follows on yes; a leaf follows itself.
        no: The node that follows on no.
        roots: The first node of each tree.
        weights: What a leaf gives to each target.
        gives: Whether it gives it anything.
    """

    modes: Array
    features: Array
    splits: Array
    members: Array
    missing: Array
    yes: Array
    no: Array
    roots: Array
    weights: Array
    gives: Array

    def depth(self) -> int | None:
        """Return how many questions the longest way asks; None if one never ends."""
        level, steps = self.roots, 0
        while (asking := level[self.modes[level] != LEAF]).size:
            level, steps = np.unique(np.concatenate([self.yes[asking], self.no[asking]])), steps + 1
            if steps > len(self.modes):
                return None
        return steps

    @property
    def asked(self) -> list[int]:
        """Return all that any node asks."""
        return sorted({int(mode) for mode in self.modes} - {LEAF})


def floats(node: Node, name: str, dtype: Any) -> Array:
    """Return an attribute that is a list of floats, or a tensor since version 3."""
    tensor = node.attributes.get(f"{name}_as_tensor")
    found = node.attributes.get(name, []) if tensor is None else tensor
    return np.asarray(found).reshape(-1).astype(dtype)


def _ints(node: Node, name: str) -> Array:
    return np.array(node.attributes.get(name) or [], np.int64)


def _places(node: Node, refuse: Refuse) -> dict[tuple[int, int], int]:
    pairs = zip(node.attributes["nodes_treeids"], node.attributes["nodes_nodeids"], strict=True)
    found = {pair: place for place, pair in enumerate(pairs)}
    if len(found) < len(node.attributes["nodes_treeids"]):
        refuse("two nodes with one number")
    return found


def _asked(node: Node, refuse: Refuse) -> Array:
    names = dict(zip(MODES, range(MEMBER), strict=True)) | {"LEAF": LEAF}
    modes = node.attributes["nodes_modes"]
    odd = sorted(set(modes) - set(names))
    if odd:
        refuse(f"nodes of kind {odd[0]}")
    return np.array([names[mode] for mode in modes], np.int64)


def _leaves(
    node: Node, stem: str, places: dict[tuple[int, int], int], targets: int, refuse: Refuse
) -> tuple[Array, Array]:
    """Return what each node gives to each target, and whether it gives anything."""
    weights = np.zeros((len(places), targets), np.float64)
    gives = np.zeros(weights.shape, bool)
    numbers = floats(node, f"{stem}_weights", np.float64)
    keys = (node.attributes[f"{stem}_{one}"] for one in ("treeids", "nodeids", "ids"))
    for tree, number, target, weight in zip(*keys, numbers, strict=True):
        if (tree, number) not in places or not 0 <= target < targets:
            refuse("a weight of no node or for no target")
        if gives[places[tree, number], target]:
            refuse("two weights of one leaf for one target")
        weights[places[tree, number], target] = weight
        gives[places[tree, number], target] = True
    return weights.astype(np.float32), gives


def _followers(
    node: Node, places: dict[tuple[int, int], int], modes: Array, refuse: Refuse
) -> list[Array]:
    """Return the node that follows each one, on yes and on no; a leaf follows itself."""
    own, found = np.arange(len(modes)), []
    for answer in ("true", "false"):
        pairs = zip(
            node.attributes["nodes_treeids"], node.attributes[f"nodes_{answer}nodeids"], strict=True
        )
        after = np.array([places.get(pair, -1) for pair in pairs], np.int64)
        if ((after < 0) & (modes != LEAF)).any():
            refuse("a node that is followed by none")
        found.append(np.where(modes == LEAF, own, after))
    return found


def _roots(node: Node, asking: Array, followers: list[Array], refuse: Refuse) -> Array:
    """Return the first node of each tree, the only one that follows none."""
    follow = set(np.concatenate([one[asking] for one in followers]).tolist())
    roots = np.array([place for place in range(len(asking)) if place not in follow], np.int64)
    trees = _ints(node, "nodes_treeids")
    if len(roots) != len(np.unique(trees)) or len(np.unique(trees[roots])) != len(roots):
        refuse("a tree without a root of its own")
    return roots


def listed(node: Node, stem: str, targets: int, dtype: Any, refuse: Refuse) -> Trees:
    """Return the trees of a node that lists all nodes, leaves among them, splits in ``dtype``."""
    places, modes = _places(node, refuse), _asked(node, refuse)
    followers, asking = _followers(node, places, modes, refuse), modes != LEAF
    weights, gives = _leaves(node, stem, places, targets, refuse)
    tracks = _ints(node, "nodes_missing_value_tracks_true")
    return Trees(
        modes=modes,
        features=np.where(asking, _ints(node, "nodes_featureids"), 0),
        splits=floats(node, "nodes_values", dtype),
        members=np.zeros((len(modes), 0), np.float32),
        missing=tracks != 0 if len(tracks) else np.zeros(len(modes), bool),
        yes=followers[0],
        no=followers[1],
        roots=_roots(node, asking, followers, refuse),
        weights=np.where(asking[:, None], np.float32(0), weights),
        gives=gives & ~asking[:, None],
    )


def split(node: Node, targets: int, refuse: Refuse) -> Trees:
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
        refuse("a node of another kind, or followed by none")
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
        members=_members(node, modes, leaves, splits.dtype, refuse),
        missing=np.concatenate([tracks if len(tracks) else np.zeros(count, int), rest]) != 0,
        yes=followers[0],
        no=followers[1],
        roots=_ints(node, "tree_roots"),
        weights=weighted,
        gives=given,
    )


def _members(node: Node, modes: Array, leaves: int, dtype: Any, refuse: Refuse) -> Array:
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
        refuse(f"{len(found)} sets of members for {len(places)} nodes")
    width = max(map(len, found), default=0)
    members = np.full((len(modes) + leaves, width), np.nan, dtype)
    for place, one in zip(places, found, strict=True):
        members[place, : len(one)] = one
    return members
