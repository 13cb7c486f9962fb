"""Tensors resized along axes: by TensorFlow's own kernels, or by places and weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from xbench.graph.geometry.resizing import Rule
from xbench_adapters.tensorflow.lower.sample_tables import (
    neighbours,
    outside,
    picks,
    tabled,
    weights,
)
from xbench_adapters.tensorflow.lower.sampling import Axis, both

Limits = tuple[int, int] | None


def widened(x: Any) -> Any:
    """Return the elements in a type that is wide enough to blend them."""
    if x.dtype in (tf.float16, tf.bfloat16):
        return tf.cast(x, tf.float32)
    return x if x.dtype.is_floating else tf.cast(x, tf.float64)


def narrowed(x: Any, dtype: tf.DType, limits: Limits) -> Any:
    """Return blended elements in their own type; whole ones to the nearest, within limits."""
    if x.dtype == dtype:
        return x
    if not dtype.is_floating:
        x = tf.round(x)
    if limits is not None:
        x = tf.clip_by_value(x, *(tf.constant(one, x.dtype) for one in limits))
    return tf.cast(x, dtype)


def _along(x: Any, axis: int, values: Any) -> Any:
    """Return a vector so that it broadcasts along an axis of ``x``."""
    return tf.reshape(values, [-1] + [1] * (x.shape.rank - axis - 1))


def mixed(x: Any, axis: int, low: Any, high: Any, share: Any) -> Any:
    """Return a blend of two elements for each place of a new axis."""
    first, second = (tf.gather(x, one, axis=axis) for one in (low, high))
    return first + (second - first) * tf.cast(_along(x, axis, share), x.dtype)


def weighed(x: Any, axis: int, matrix: Any) -> Any:
    """Return sums over an axis, weighed by each row of a matrix, as a new axis."""
    matrix, shape = tf.cast(matrix, x.dtype), tf.shape(x)
    ends, rank = matrix.shape[0], x.shape.rank
    if axis == rank - 1:
        flat = tf.reshape(x, [-1, shape[axis]])
        found = tf.matmul(flat, matrix, transpose_b=True)
    else:
        flat = tf.reshape(x, tf.stack([-1, shape[axis], tf.reduce_prod(shape[axis + 1 :])]))
        found = tf.matmul(matrix, flat)
    after = tf.shape(matrix)[:1]
    found = tf.reshape(found, tf.concat([shape[:axis], after, shape[axis + 1 :]], 0))
    return tf.ensure_shape(found, [*x.shape[:axis], ends, *x.shape[axis + 1 :]])


def filled(x: Any, axis: int, empty: Any, value: float) -> Any:
    """Return ``x`` with a value at some places of an axis; whole elements take the nearest."""
    value = value if x.dtype.is_floating else round(value)
    return tf.where(_along(x, axis, empty), tf.constant(value, x.dtype), x)


def worked_out(x: Any, axes: Sequence[Axis], rule: Rule, limits: Limits) -> Any:
    """Return ``x`` resized along axes by places and weights."""
    found = x if rule.mode == "nearest" else widened(x)
    for axis in axes:
        place = axis.place
        if rule.mode == "nearest":
            chosen = tabled(partial(picks, axis, rule), axis)
            found = tf.gather(found, chosen, axis=place)
        elif rule.mode == "linear" and not rule.antialias:
            found = mixed(found, place, *tabled(partial(neighbours, axis, rule), axis))
        else:
            found = weighed(found, place, tabled(partial(weights, axis, rule), axis))
        if rule.crops:
            empty = tabled(partial(outside, axis, rule), axis)
            found = filled(found, place, empty, rule.fill)
    return narrowed(found, x.dtype, limits)


def native(x: Any, lengths: Sequence[Any], rule: Rule) -> Any:
    """Return images, channels last, resized by TensorFlow's own kernels; see `fits`."""
    size = tf.stack([tf.cast(one, tf.int32) for one in lengths])
    aligned = rule.places == "align_corners"
    halves = rule.mode == "nearest" or rule.places in ("half_pixel", "pytorch_half_pixel")
    kernel = (
        tf.raw_ops.ResizeNearestNeighbor if rule.mode == "nearest" else tf.raw_ops.ResizeBilinear
    )
    found = kernel(images=x, size=size, align_corners=aligned, half_pixel_centers=halves)
    return tf.cast(found, x.dtype)


def fits(axes: Sequence[Axis], rule: Rule) -> Any:
    """Return whether TensorFlow's own kernels resize the same: a tensor where the run tells.

    With a whole factor, half-pixel coordinates rounded either way and asymmetric ones
    rounded down all pick the element that is repeated. Its cubic kernel has another sharpness.
    """
    if rule.crops or rule.antialias or rule.mode == "cubic":
        return False
    if rule.mode == "linear" and rule.places not in (
        "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"
    ):  # fmt: skip
        return False
    if rule.mode == "nearest" and not _repeats(rule):
        return False
    found: Any = True
    for axis in axes:
        found = both(found, axis.exact)
        found = both(found, axis.before > 0)
        if rule.mode == "nearest":
            found = both(found, axis.after % axis.before == 0)
        if rule.places == "pytorch_half_pixel":
            found = both(found, axis.after > 1)
    return found


def _repeats(rule: Rule) -> bool:
    return (rule.places == "asymmetric" and rule.nearest in ("floor", "ceil_if_shorter")) or (
        rule.places in ("half_pixel", "pytorch_half_pixel") and rule.nearest.startswith("round")
    )
