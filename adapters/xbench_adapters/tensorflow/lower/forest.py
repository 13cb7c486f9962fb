"""Forests of decision trees, all walked at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from xbench.graph.plain import Array

LEAF = -1
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
MEMBER = 6
"""What a node asks of a feature, in the numbers that `TreeEnsemble` gives them; -1 is a leaf."""

_ASKS = (
    tf.math.less_equal, tf.math.less, tf.math.greater_equal, tf.math.greater,
    tf.math.equal, tf.math.not_equal,
)  # fmt: skip
_TABLES = (
    "modes", "features", "splits", "members", "missing", "yes", "no", "weights", "gives",
)  # fmt: skip


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


def walked(trees: Trees, depth: int, how: str, base: Array, x: Any) -> tuple[Any, Any]:
    """Return a column for each target, and whether some leaf gave it anything.

    Args:
        trees: The trees.
        depth: How many questions are asked.
        how: Whether each target is given the ``SUM``, ``AVERAGE``, ``MIN`` or ``MAX``.
        base: What is added for each target.
        x: Rows of features.
    """
    tables = {name: tf.constant(getattr(trees, name)) for name in _TABLES}
    x = tf.cast(x, tables["splits"].dtype)
    at = tf.broadcast_to(tf.constant(trees.roots), tf.stack([tf.shape(x)[0], len(trees.roots)]))
    for _ in range(depth):
        value = tf.gather(x, tf.gather(tables["features"], at), batch_dims=1)
        answer = _answer(trees.asked, tables, value, at)
        if trees.missing.any():
            answer = answer | (tf.math.is_nan(value) & tf.gather(tables["missing"], at))
        at = tf.where(answer, tf.gather(tables["yes"], at), tf.gather(tables["no"], at))
    weights, gives = tf.gather(tables["weights"], at), tf.gather(tables["gives"], at)
    given = tf.reduce_any(gives, 1)
    total = _together(weights, gives, how, len(trees.roots))
    return tf.where(given, total, tf.zeros_like(total)) + tf.cast(base, total.dtype), given


def _answer(asked: list[int], tables: dict[str, Any], value: Any, at: Any) -> Any:
    if not asked:
        return tf.zeros_like(at, dtype=tf.bool)
    found = _asked(tables, asked[0], value, at)
    for mode in asked[1:]:
        mine = tf.gather(tables["modes"], at) == mode
        found = tf.where(mine, _asked(tables, mode, value, at), found)
    return found


def _asked(tables: dict[str, Any], mode: int, value: Any, at: Any) -> Any:
    if mode == MEMBER:
        return tf.reduce_any(value[..., None] == tf.gather(tables["members"], at), -1)
    return _ASKS[mode](value, tf.gather(tables["splits"], at))


def _together(weights: Any, gives: Any, how: str, count: int) -> Any:
    if how == "MIN":
        return tf.reduce_min(tf.where(gives, weights, _like(weights, float("inf"))), 1)
    if how == "MAX":
        return tf.reduce_max(tf.where(gives, weights, _like(weights, -float("inf"))), 1)
    total = tf.reduce_sum(weights, 1)
    return total / count if how == "AVERAGE" else total


def _like(x: Any, value: float) -> Any:
    return tf.constant(value, x.dtype)
