"""What a resize picks or weighs at each place of a new axis, as tensors; see `sampling`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from xbench.graph.geometry.resizing import Rule
from xbench_adapters.tensorflow.lower.sampling import Axis, choose, real, sources

NEAREST: dict[str, Callable[[Any, Axis], Any]] = {
    "round_prefer_floor": lambda at, _: tf.math.ceil(at - 0.5),
    "round_prefer_ceil": lambda at, _: tf.floor(at + 0.5),
    "floor": lambda at, _: tf.floor(at),
    "ceil": lambda at, _: tf.math.ceil(at),
    "ceil_if_shorter": lambda at, axis: choose(axis.scale < 1, tf.math.ceil(at), tf.floor(at)),
}
"""Which element a place between two stands for."""


def tabled(make: Callable[[], Any], *axes: Axis) -> Any:
    """Return the tensors that a function makes: constants where the axes are known."""
    if not all(axis.known for axis in axes):
        return make()
    with tf.init_scope():  # runs at once
        found = make()
        several = isinstance(found, tuple)
        arrays = [one.numpy() for one in (found if several else (found,))]
    return tuple(map(tf.constant, arrays)) if several else tf.constant(arrays[0])


def outside(axis: Axis, rule: Rule) -> Any:
    """Return which places of the new axis lie outside the old one, but for rounding."""
    at, length = sources(axis, rule), real(axis.before)
    slack = 1e-7 * length
    return (at < -slack) | (at > length - 1 + slack)


def _picked(axis: Axis, rule: Rule, dtype: tf.DType) -> Any:
    same = axis._replace(scale=real(axis.scale, dtype))
    found = NEAREST[rule.nearest](sources(axis, rule, dtype), same)
    found = choose(axis.changes, found, sources(axis, rule, dtype))
    return tf.clip_by_value(tf.cast(found, tf.int32), 0, axis.before - 1)


def picks(axis: Axis, rule: Rule) -> Any:
    """Return the nearest element for each place of the new axis.

    Raises:
        ValueError: If rounding decides: ONNX's reference computes in 64 bits, runtimes in 32.
    """
    found, other = (_picked(axis, rule, dtype) for dtype in (tf.float64, tf.float32))
    told = "some place lies between two elements but for rounding"
    if not isinstance(found, tf.Tensor) or tf.executing_eagerly():
        if not bool(tf.reduce_all(found == other)):
            raise ValueError(told)
        return found
    with tf.control_dependencies([tf.debugging.assert_equal(found, other, message=told)]):
        return tf.identity(found)


def neighbours(axis: Axis, rule: Rule) -> tuple[Any, Any, Any]:
    """Return the elements before and after each place, and the share of the second."""
    last = real(axis.before) - 1
    at = tf.clip_by_value(sources(axis, rule), tf.zeros([], tf.float64), last)
    low = tf.floor(at)
    high = tf.minimum(low + 1, last)
    return tf.cast(low, tf.int32), tf.cast(high, tf.int32), at - low


def _triangle(distance: Any, _: float) -> Any:
    return tf.maximum(1 - tf.abs(distance), 0.0)


def _cubic(distance: Any, a: float) -> Any:
    t = tf.abs(distance)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return tf.where(t <= 1, near, tf.where(t < 2, far, tf.zeros_like(t)))


_FILTERS: dict[str, tuple[int, Callable[[Any, float], Any]]] = {
    "linear": (1, _triangle),
    "cubic": (2, _cubic),
}


def weights(axis: Axis, rule: Rule) -> Any:
    """Return how much each element of the old axis weighs at each place of the new one."""
    at, last = sources(axis, rule)[:, None], real(axis.before) - 1
    width, kernel = _FILTERS[rule.mode]
    shrink: Any = 1.0
    if rule.antialias:
        shrink = choose(axis.scale < 1, real(axis.scale), tf.ones([], tf.float64))
    reach = tf.math.ceil(width / shrink) if isinstance(shrink, tf.Tensor) else (
        math.ceil(width / shrink)
    )  # fmt: skip
    reach = tf.cast(reach, tf.int32)
    steps = tf.cast(tf.range(2 * reach) - (reach - 1), tf.float64)
    taps = tf.floor(at) + steps
    found = kernel((taps - at) * shrink, rule.sharpness)
    if rule.antialias:
        found = found / tf.reduce_sum(found, 1, keepdims=True)
    if rule.excluded:
        found = tf.where((taps >= 0) & (taps <= last), found, tf.zeros_like(found))
        total = tf.reduce_sum(found, 1, keepdims=True)
        found = found / tf.where(total == 0, tf.ones_like(total), total)
    columns = tf.cast(tf.clip_by_value(taps, tf.zeros([], tf.float64), last), tf.int32)
    rows = tf.broadcast_to(tf.range(axis.after)[:, None], tf.shape(columns))
    whole = tf.stack([axis.after, axis.before])
    return tf.scatter_nd(tf.stack([rows, columns], -1), found, whole)
