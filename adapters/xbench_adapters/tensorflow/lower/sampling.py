"""Where a resize samples, and how much each element weighs: worked out for one axis at a time.

All of it is computed in 64 bits and by TensorFlow, so that the same rules hold for lengths that
are known at import, which `tabled` computes at once, and for those that a run brings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from xbench.graph.geometry.resizing import Rule
from xbench_adapters.tensorflow.unfolded import unfolded


class Axis(NamedTuple):
    """One axis that may change. Numbers are plain where they are known, else tensors.

    Attributes:
        place: Which axis it is.
        before: Its length.
        after: The new length.
        scale: New length over old, as asked for: the new length may be rounded.
        start: Where the region that is resized starts, from 0 to 1 over the old axis.
        end: Where it ends.
    """

    place: int
    before: Any
    after: Any
    scale: Any
    start: Any = 0.0
    end: Any = 1.0

    @property
    def known(self) -> bool:
        """Return whether nothing is left for a run to tell."""
        return not any(isinstance(one, tf.Tensor) for one in self[1:])

    @property
    def changes(self) -> Any:
        """Return whether anything at all is done along it."""
        same = both(self.scale == 1, self.before == self.after)
        return opposite(both(same, both(self.start == 0.0, self.end == 1.0)))

    @property
    def exact(self) -> Any:
        """Return whether the lengths tell the scale exactly."""
        return real(self.scale) * real(self.before) == real(self.after)


def both(one: Any, other: Any) -> Any:
    """Return whether two conditions hold, known or not."""
    if isinstance(one, tf.Tensor) or isinstance(other, tf.Tensor):
        return tf.logical_and(one, other)
    return one and other


def opposite(one: Any) -> Any:
    """Return whether a condition does not hold, known or not."""
    return tf.logical_not(one) if isinstance(one, tf.Tensor) else not one


def choose(condition: Any, one: Any, other: Any) -> Any:
    """Return the first where a condition holds, known or not, else the second."""
    if not isinstance(condition, tf.Tensor):
        return one if condition else other
    tensor = next((x for x in (one, other) if isinstance(x, tf.Tensor)), tf.cast(one, tf.float64))
    return tf.where(condition, tf.cast(one, tensor.dtype), tf.cast(other, tensor.dtype))


def real(number: Any, dtype: tf.DType = tf.float64) -> Any:
    """Return a number as it is, or a tensor as floats."""
    return tf.cast(number, dtype) if isinstance(number, tf.Tensor) else number


def axes_of(
    lengths: Sequence[Any],
    scales: Sequence[Any] | None,
    sizes: Sequence[Any] | None,
    regions: Sequence[tuple[Any, Any]] | None,
    policy: str,
) -> list[Axis]:
    """Return the axes in order, whether they change or not.

    Args:
        lengths: Their lengths.
        scales: New length over old, for each; None where ``sizes`` tells.
        sizes: New lengths, for each.
        regions: Where regions start and end, for each; None for all of each axis.
        policy: How ``sizes`` are meant: ``stretch``, ``not_larger`` or ``not_smaller``.

    Raises:
        ValueError: If runtimes disagree on what is asked for.
    """
    if scales is not None:
        after = [_scaled(*pair) for pair in zip(lengths, scales, strict=True)]
    else:
        scales, after = _stretched(lengths, sizes or [], policy)
    regions = [(0.0, 1.0)] * len(lengths) if regions is None else regions
    rows = zip(lengths, after, scales, regions, strict=True)
    return [
        Axis(place, before, new, scale, *region)
        for place, (before, new, scale, region) in enumerate(rows)
    ]


def _stretched(
    lengths: Sequence[Any], sizes: Sequence[Any], policy: str
) -> tuple[list[Any], list[Any]]:
    """Return new length over old and the new length, for each axis."""
    pairs = list(zip(sizes, lengths, strict=True))
    factors = [choose(size == length, 1.0, real(size) / real(length)) for size, length in pairs]
    if policy == "stretch":
        return factors, list(sizes)
    if any(isinstance(one, tf.Tensor) for one in factors):
        pick = tf.reduce_min if policy == "not_larger" else tf.reduce_max
        factor: Any = pick(tf.stack([tf.cast(one, tf.float64) for one in factors]))
    else:
        factor = min(factors) if policy == "not_larger" else max(factors)
    return [factor] * len(lengths), [_whole(factor * real(one) + 0.5) for one in lengths]


def _whole(number: Any) -> Any:
    """Return a number cut towards zero."""
    return tf.cast(number, tf.int32) if isinstance(number, tf.Tensor) else int(number)


def _scaled(length: Any, scale: Any) -> Any:
    """Return the whole part of a product, which no rounding may decide."""
    if isinstance(length, tf.Tensor) or isinstance(scale, tf.Tensor):
        after = _whole(real(length) * real(scale))
        short = _whole(tf.cast(length, tf.float32) * tf.cast(scale, tf.float32))
        told = "a length that is rounded to another one by some runtimes"
        with tf.control_dependencies([tf.debugging.assert_equal(after, short, message=told)]):
            return tf.identity(after)
    after = int(length * scale)
    if int(np.float32(length) * np.float32(scale)) != after:
        raise ValueError(f"{length} times {scale} is rounded to another length by some runtimes")
    return after


def check(axis: Axis, rule: Rule, scaled: bool) -> None:
    """Refuse what runtimes disagree on.

    Raises:
        ValueError: If they do; while a module runs, TensorFlow's own error.
    """
    if rule.counts_ends and scaled and not isinstance(axis.exact, tf.Tensor) and not axis.exact:
        raise ValueError(f"{rule.places} with scales that give no whole lengths")
    if not scaled or not rule.crops:
        return
    whole = axis.end - axis.start == 1
    told = "scales of a region, whose new length runtimes disagree on"
    if isinstance(whole, tf.Tensor):
        tf.debugging.Assert(whole, [told])
    elif not whole:
        raise ValueError(told)


Source = Callable[[Any, Axis], Any]
"""From places of the new axis to places of the old one."""


def _half_pixel(at: Any, axis: Axis) -> Any:
    return (at + 0.5) / axis.scale - 0.5


def _asymmetric(at: Any, axis: Axis) -> Any:
    return at / axis.scale


def _half_pixel_but_one(at: Any, axis: Axis) -> Any:
    return choose(axis.after > 1, _half_pixel(at, axis), at * 0.0)


def _half_pixel_forward(at: Any, axis: Axis) -> Any:
    return (at + 0.5) / axis.scale


def _half_pixel_centred(at: Any, axis: Axis) -> Any:
    rounded = axis.after / (axis.scale * axis.before)
    return axis.before / 2 * (1 - rounded) + (at + 0.5) / axis.scale - 0.5


def _corners(at: Any, axis: Axis) -> Any:
    steps = choose(axis.after > 1, axis.after - 1, axis.after * 0 + 1)
    return choose(axis.after > 1, at * (axis.before - 1) / steps, at * 0.0)


def _cropped(at: Any, axis: Axis) -> Any:
    last = axis.before - 1
    steps = choose(axis.after > 1, axis.after - 1, axis.after * 0 + 1)
    middle = at * 0.0 + (axis.start + axis.end) * last / 2
    found = axis.start * last + at * (axis.end - axis.start) * last / steps
    return choose(axis.after > 1, found, middle)


SOURCES: dict[str, Source] = {
    "half_pixel": _half_pixel,
    "asymmetric": _asymmetric,
    "pytorch_half_pixel": _half_pixel_but_one,
    "tf_half_pixel_for_nn": _half_pixel_forward,
    "half_pixel_symmetric": _half_pixel_centred,
    "align_corners": _corners,
    "tf_crop_and_resize": _cropped,
}
"""Where each place of the new axis lies on the old one, by coordinate mode."""


def _exact(number: Any, dtype: tf.DType) -> Any:
    """Return a number as floats, of which the graph optimiser takes no reciprocal."""
    return tf.cast(number, dtype) if isinstance(number, tf.Tensor) else unfolded(number, dtype)


def sources(axis: Axis, rule: Rule, dtype: tf.DType = tf.float64) -> Any:
    """Return where each place of the new axis lies on the old one."""
    at = tf.cast(tf.range(axis.after), dtype)
    exact = real if axis.known else _exact
    same = Axis(axis.place, *(exact(one, dtype) for one in axis[1:]))
    return choose(axis.changes, SOURCES[rule.places](at, same), at)
