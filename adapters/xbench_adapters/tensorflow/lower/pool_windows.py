"""What the windows of poolings give: native kernels where there are some, else slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf

from xbench.graph.geometry.windows import (
    Ends,
    Length,
    Windows,
    counted_of,
    known,
    overhang_of,
)
from xbench_adapters.tensorflow.lower.sliding import (
    flat,
    folded,
    framed,
    is_same,
    lengths_of,
    nth,
    padding_of,
    widened,
)
from xbench_adapters.tensorflow.lower.widths import NARROW

_FLOATS = (tf.float16, tf.bfloat16, tf.float32, tf.float64)
_LARGEST = (None, tf.nn.max_pool2d, tf.nn.max_pool3d)
_MEANS = (None, tf.nn.avg_pool2d, tf.nn.avg_pool3d)


@dataclass(frozen=True, slots=True)
class Pool:
    """Windows over a tensor.

    Attributes:
        x: Batch, axes of space, channels.
        windows: How the windows slide; their lengths are known.
        lengths: Those of the axes of space.
        counts: How many windows each axis has.
        same: Whether the windows are padded as TensorFlow's ``SAME`` would.
    """

    x: Any
    windows: Windows
    lengths: list[Length]
    counts: list[Length]
    same: bool

    @property
    def ends(self) -> Ends:
        """Return the padding with which no window reaches beyond an end."""
        return overhang_of(self.windows, self.lengths, self.counts)

    @property
    def as_same(self) -> bool:
        """Return whether the padding is what TensorFlow's ``SAME`` would be."""
        return self.same or is_same(self.windows, self.lengths, self.ends)

    @property
    def native(self) -> bool:
        """Return whether TensorFlow has kernels for such windows."""
        axes = len(self.windows.kernel)
        small = self.x.dtype in ((tf.float32,) if axes == 3 else _FLOATS)
        return axes <= 3 and not self.windows.dilated and small


def largest(pool: Pool) -> Any:
    """Return the largest element of each window; padding never wins."""
    axes = len(pool.windows.kernel)
    if not pool.native:
        return folded(_framed_low(pool), pool.windows, pool.counts, tf.maximum)
    padding = "SAME" if pool.as_same else padding_of(pool.ends)
    x = pool.x
    if padding is None or (axes != 2 and not isinstance(padding, str)):
        x, padding = _framed_low(pool), "VALID"
    return _run(_LARGEST, x, pool.windows, padding)


def _run(functions: tuple[Any, ...], x: Any, windows: Windows, padding: Any) -> Any:
    """Return a native pooling: that of a signal is one of an image of one row."""
    if len(windows.kernel) == 1:
        wide = widened(windows)
        return tf.squeeze(functions[1](flat(x), wide.kernel, wide.strides, padding), 1)
    run = functions[len(windows.kernel) - 1]
    return run(x, windows.kernel, windows.strides, padding)


def _framed_low(pool: Pool) -> Any:
    """Return the input, padded by what is less than, or like, all it could hold."""
    x = pool.x
    return framed(x, pool.ends, -np.inf if x.dtype.is_floating else x.dtype.min)


def largest_and_places(pool: Pool, *, by_columns: bool) -> tuple[Any, Any]:
    """Return the largest element of each window, and where in the whole tensor it stands.

    Places count batch, channels and axes of space, whichever layout the tensors have.

    Args:
        pool: The windows.
        by_columns: Whether places count along the first spatial axis first.
    """
    dtype, windows = pool.x.dtype, pool.windows
    wide = pool.x if dtype.is_floating else tf.cast(pool.x, tf.int32)  # less than all others
    padded = _framed_low(replace(pool, x=wide))
    found, at = padded, tf.zeros(tf.shape(padded), tf.int64)
    for place in reversed(range(len(windows.kernel))):  # of equal elements the first one is meant
        before, found, at = (found, at), None, None
        for tap in range(windows.kernel[place]):
            part, mine = (nth(one, windows, pool.counts[place], place, tap) for one in before)
            mine += _along(pool, place, tap, by_columns=by_columns)
            better: Any = None if found is None else part > found
            found = part if better is None else tf.where(better, part, found)
            at = mine if better is None else tf.where(better, mine, at)
    return tf.cast(found, dtype), at + _planes(pool)


def _along(pool: Pool, place: int, tap: int, *, by_columns: bool) -> Any:
    """Return what an element of each window along an axis adds to a place in its plane.

    Padding counts as the nearest element.
    """
    start = tap * pool.windows.dilations[place] - pool.windows.before[place]
    at = tf.range(pool.counts[place]) * pool.windows.strides[place] + start
    at = tf.cast(tf.clip_by_value(at, 0, pool.lengths[place] - 1), tf.int64)
    for length in pool.lengths[:place] if by_columns else pool.lengths[place + 1 :]:
        at *= tf.cast(length, tf.int64)
    return tf.reshape(at, _shape(pool, place))


def _shape(pool: Pool, place: int) -> list[int]:
    """Return the shape of a vector along one axis of space."""
    axes = len(pool.counts)
    return [1] + [-1 if axis == place else 1 for axis in range(axes)] + [1]


def _planes(pool: Pool) -> Any:
    """Return where the plane of each item and channel begins."""
    axes = len(pool.lengths)
    batch, *lengths, channels = (tf.cast(one, tf.int64) for one in lengths_of(pool.x, 0, None))
    size = tf.reduce_prod(tf.stack(lengths))
    items = tf.reshape(tf.range(batch), [-1] + [1] * (axes + 1)) * channels
    return (items + tf.range(channels)) * size


def mean(pool: Pool, *, pads: bool) -> Any:
    """Return the mean of each window, over the elements that count.

    Args:
        pool: The windows.
        pads: Whether padding counts; what a window reaches beyond it never does.
    """
    if pool.x.dtype in NARROW:  # the kernels sum in so few bits
        return tf.cast(mean(_wide(pool), pads=pads), pool.x.dtype)
    if pool.native and pool.as_same and not pads:
        return _run(_MEANS, pool.x, pool.windows, "SAME")
    return _shared(pool, _whole_mean(pool), pads=pads)


def _wide(pool: Pool) -> Pool:
    """Return the windows over the same elements in 32 bits."""
    return replace(pool, x=tf.cast(pool.x, tf.float32))


def _whole_mean(pool: Pool) -> Any:
    """Return the mean of each window, with zeros for what it has no element for."""
    padded = framed(pool.x, pool.ends)
    if pool.native:
        return _run(_MEANS, padded, pool.windows, "VALID")
    total = folded(padded, pool.windows, pool.counts, tf.add)
    return total / tf.cast(prod(pool.windows.kernel), total.dtype)


def _shared(pool: Pool, found: Any, *, pads: bool) -> Any:
    """Return means over the elements that count, from those over whole windows."""
    shares = np.ones([1] * (len(pool.counts) + 2))
    for place, count in enumerate(pool.counts):
        taps, length = pool.windows.kernel[place], pool.lengths[place]
        counted = counted_of(pool.windows, place, length, numbered(count), pads=pads)
        shape = _shape(pool, place)
        if isinstance(counted, np.ndarray):
            shares = shares * (taps / counted).reshape(shape)
        else:
            share = tf.cast(taps / counted, found.dtype)
            found *= tf.reshape(share, shape)
    if (shares == 1).all():
        return found
    return found * tf.constant(shares.astype(found.dtype.as_numpy_dtype))


def numbered(count: Length) -> Any:
    """Return the vector 0, 1, ... with an entry for each window."""
    return np.arange(count) if known(count) else tf.range(count)


def norm(pool: Pool, p: float) -> Any:
    """Return the Lp norm of each window."""
    if pool.x.dtype in NARROW:
        return tf.cast(norm(_wide(pool), p), pool.x.dtype)
    raised = power(p)(tf.abs(pool.x))
    powers = replace(pool, x=raised)
    taps = prod(pool.windows.kernel)
    return power(1 / p)(_whole_mean(powers) * tf.cast(taps, raised.dtype))


def power(p: float) -> Callable[[Any], Any]:
    """Return a function for a power, a cheaper one where there is one."""
    usual: dict[float, Callable[[Any], Any]] = {1: tf.identity, 2: tf.square, 0.5: tf.sqrt}
    return usual.get(p, lambda x: x**p)
