"""Forests of decision trees, all walked at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.graph.trees import MEMBER, Trees

if TYPE_CHECKING:
    from xbench.graph.plain import Array


_ASKS = (
    tf.math.less_equal, tf.math.less, tf.math.greater_equal, tf.math.greater,
    tf.math.equal, tf.math.not_equal,
)  # fmt: skip
_TABLES = (
    "modes", "features", "splits", "members", "missing", "yes", "no", "weights", "gives",
)  # fmt: skip


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
