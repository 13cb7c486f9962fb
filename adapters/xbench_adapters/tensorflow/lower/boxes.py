"""Pooling over regions of interest, and the choice among boxes that overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.unfolded import unfolded

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_NARROW = (tf.float16, tf.bfloat16)

Corners = tuple[Any, Any]


def _corners(starts: Any, steps: Any, bins: int, samples: Any, length: Any) -> Corners:
    """Return the two elements of an axis around each sample of each bin, and their weights.

    Both are of the shape regions, bins, samples, 2. Regions with fewer samples than others
    have their last one again, with no weight.

    Args:
        starts: Where each region starts.
        steps: The length of its bins.
        bins: How many it has.
        samples: How many samples each of its bins has, as floats.
        length: The length of the axis.
    """
    dtype = starts.dtype
    whole = tf.cast(length, dtype)
    most = tf.cast(tf.reduce_max(tf.concat([samples, [0]], 0)), tf.int32)
    numbers = tf.cast(tf.range(most), dtype)[None, None, :]
    counts = samples[:, None, None]
    chosen = tf.minimum(numbers, tf.maximum(counts - 1, 0))
    bin_starts = tf.cast(tf.range(bins), dtype)[None, :, None] * steps[:, None, None]
    within = (chosen + 0.5) * steps[:, None, None] / tf.maximum(counts, 1)
    at = starts[:, None, None] + bin_starts + within
    inside = (at >= -1) & (at <= whole)
    low = tf.minimum(tf.floor(tf.maximum(at, 0)), whole - 1)
    high = tf.minimum(low + 1, whole - 1)
    share = tf.where(low >= whole - 1, tf.zeros_like(at), tf.maximum(at, 0) - low)
    weights = tf.stack([1 - share, share], -1) * tf.cast(inside, dtype)[..., None]
    return tf.cast(tf.stack([low, high], -1), tf.int32), weights


def _counted(samples: Any) -> Any:
    """Return one for each sample of a bin, and zero for those that fill the row."""
    most = tf.cast(tf.reduce_max(tf.concat([samples, [0]], 0)), tf.int32)
    numbers = tf.cast(tf.range(most), samples.dtype)
    return tf.cast(numbers[None, None, :, None] < samples[:, None, None, None], samples.dtype)


def _crossed(down: Any, across: Any) -> Any:
    """Return both with axes region, bin down, bin across, and the corners of each, to broadcast."""
    shape, other = tf.shape(down), tf.shape(across)
    tall = tf.reshape(down, tf.stack([shape[0], shape[1], 1, shape[2] * 2, 1]))
    wide = tf.reshape(across, tf.stack([other[0], 1, other[1], 1, other[2] * 2]))
    return tall, wide


def _bins(ends: Any, size: tuple[int, int], shifted: bool) -> tuple[Corners, Corners]:
    """Return where each region starts, left and top, and the height and width of its bins."""
    extents = ends[:, 2:] - ends[:, :2]
    if not shifted:
        extents = tf.maximum(extents, 1)
    starts = ends[:, :2] - (0.5 if shifted else 0.0)
    bins = [unfolded(one, ends.dtype) for one in size]
    steps = extents[:, 1] / bins[0], extents[:, 0] / bins[1]
    return (starts[:, 0], starts[:, 1]), steps


def region_aligned(
    x: Any,
    rois: Any,
    batches: Any,
    size: tuple[int, int],
    samples: int,
    scale: float,
    largest: bool,
    shifted: bool,
) -> Any:
    """Return each region pooled to a size, over samples between the elements, channels last.

    Args:
        x: Batch, height, width, channels.
        rois: Left, top, right and bottom of each region.
        batches: The image of each region.
        size: Height and width of the result.
        samples: How many a bin has along either axis; 0 for as many as it has elements.
        scale: Elements over units of ``rois``.
        largest: Whether the largest corner of the samples counts, else their mean.
        shifted: Whether elements lie half a unit further, and regions may be of any size.
    """
    wide = tf.float32 if x.dtype in _NARROW else x.dtype
    shape = tf.shape(x)
    rows = tf.reshape(tf.cast(x, wide), tf.stack([-1, shape[3]]))
    (left, top), steps = _bins(tf.cast(rois, wide) * scale, size, shifted)
    counts = [
        tf.ones_like(one) * samples if samples > 0 else tf.maximum(tf.math.ceil(one), 0)
        for one in steps
    ]
    y, of_y = _corners(top, steps[0], size[0], counts[0], shape[1])
    x_at, of_x = _corners(left, steps[1], size[1], counts[1], shape[2])
    if not largest:
        of_y, of_x = of_y * _counted(counts[0]), of_x * _counted(counts[1])
    tall, across = _crossed(y, x_at)
    images = tf.reshape(tf.cast(batches, tf.int32) * (shape[1] * shape[2]), [-1, 1, 1, 1, 1])
    bins = tf.shape(rois)[0] * size[0] * size[1]
    places = tf.reshape(images + tall * shape[2] + across, tf.stack([bins, -1]))
    of_tall, of_across = _crossed(of_y, of_x)
    weights = tf.reshape(of_tall * of_across, tf.stack([bins, -1]))
    if largest:
        found = _best(rows, places, weights)
    else:
        each = tf.repeat(tf.maximum(counts[0] * counts[1], 1), size[0] * size[1])
        found = _summed(rows, places, weights) / each[:, None]
    empty = tf.repeat((counts[0] <= 0) | (counts[1] <= 0), size[0] * size[1])
    found = tf.where(empty[:, None], tf.zeros_like(found), found)
    return tf.cast(tf.reshape(found, tf.stack([-1, *size, shape[3]])), x.dtype)


def _summed(rows: Any, places: Any, weights: Any) -> Any:
    """Return sums of rows, weighed: a product with a matrix that is nearly all zero."""
    shape = tf.shape(places, tf.int64)
    at = tf.broadcast_to(tf.range(shape[0])[:, None], shape)
    indices = tf.stack([tf.reshape(at, [-1]), tf.reshape(tf.cast(places, tf.int64), [-1])], 1)
    matrix = tf.SparseTensor(
        indices, tf.reshape(weights, [-1]), tf.stack([shape[0], tf.shape(rows, tf.int64)[0]])
    )
    return tf.sparse.sparse_dense_matmul(matrix, rows)


def _best(rows: Any, places: Any, weights: Any) -> Any:
    """Return the largest of rows, weighed, one after the other: they need not fit in memory."""
    lowest = tf.fill(tf.stack([tf.shape(places)[0], tf.shape(rows)[1]]), rows.dtype.min)

    def better(number: Any, best: Any) -> tuple[Any, Any]:
        one = tf.gather(rows, places[:, number]) * weights[:, number, None]
        return number + 1, tf.maximum(best, one)

    count = tf.shape(places)[1]
    return tf.while_loop(lambda number, _: number < count, better, (0, lowest))[1]


@lowering("RoiAlign", 10)
def roi_align(node: Node, to: Builder) -> Any:
    """Return each region of interest pooled to a size, over samples between the elements."""
    read = node.attributes
    places = read.get("coordinate_transformation_mode", "output_half_pixel")
    if read["mode"] not in ("avg", "max") or places not in ("half_pixel", "output_half_pixel"):
        to.refuse(f"mode {read['mode']!r} with {places!r}")
    size = read["output_height"], read["output_width"]
    modes = read["sampling_ratio"], read["spatial_scale"], read["mode"] == "max"
    x, rois, batches = to.last(node.inputs[0]), to.value(node.inputs[1]), to.value(node.inputs[2])
    found = region_aligned(x, rois, batches, size, *modes, places == "half_pixel")
    return Last(found)


def _reach(starts: Any, ends: Any, bins: int, length: Any) -> Any:
    """Return which elements of an axis each bin of each region holds."""
    steps = (tf.maximum(ends - starts + 1, 1) / unfolded(bins, ends.dtype))[:, None]
    numbers = tf.cast(tf.range(bins), starts.dtype)
    whole, zero = tf.cast(length, starts.dtype), tf.zeros([], starts.dtype)
    first = tf.clip_by_value(tf.floor(numbers * steps) + starts[:, None], zero, whole)
    last = tf.clip_by_value(tf.math.ceil((numbers + 1) * steps) + starts[:, None], zero, whole)
    places = tf.cast(tf.range(length), starts.dtype)
    return (places >= first[..., None]) & (places < last[..., None])


def region_largest(x: Any, rois: Any, size: tuple[int, int], scale: float) -> Any:
    """Return the largest element of each bin of each region; 0 for bins that hold none.

    Args:
        x: Batch, channels, height, width.
        rois: The image, then left, top, right and bottom of each region, all included.
        size: Height and width of the result.
        scale: Elements over units of ``rois``.
    """
    wide = tf.float32 if rois.dtype in _NARROW else rois.dtype
    exact = tf.cast(rois[:, 1:], wide) * scale
    ends = tf.sign(exact) * tf.floor(tf.abs(exact) + 0.5)  # halves go away from zero
    down = _reach(ends[:, 1], ends[:, 3], size[0], tf.shape(x)[2])
    along = _reach(ends[:, 0], ends[:, 2], size[1], tf.shape(x)[3])
    images = tf.gather(x, tf.cast(rois[:, 0], tf.int64))
    lowest = tf.constant(-float("inf"), x.dtype)
    columns = [
        tf.reduce_max(tf.where(along[:, None, None, number], images, lowest), -1)
        for number in range(size[1])
    ]
    stacked = tf.stack(columns, -1)
    found = [
        tf.reduce_max(tf.where(down[:, None, number, :, None], stacked, lowest), -2)
        for number in range(size[0])
    ]
    some = tf.reduce_any(down, -1)[:, None, :, None] & tf.reduce_any(along, -1)[:, None, None, :]
    whole = tf.stack(found, -2)
    return tf.where(some, whole, tf.zeros_like(whole))


@lowering("MaxRoiPool", 1)
def max_roi_pool(node: Node, to: Builder) -> Any:
    """Return the largest element of each bin of each region of interest."""
    height, width = node.attributes["pooled_shape"]
    x, rois = map(to.value, node.inputs)
    return region_largest(x, rois, (height, width), node.attributes["spatial_scale"])
