"""Sampling on grids, grids from affine maps, and images from columns."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NoReturn

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_MODES = {
    "linear": "bilinear", "bilinear": "bilinear",
    "cubic": "bicubic", "bicubic": "bicubic",
    "nearest": "nearest",
}  # fmt: skip
_NARROW = (tf.float16, tf.bfloat16)

Taps = list[tuple[Any, Any, Any]]
"""Of one axis: the element that counts at each place, how much, and whether it is inside."""


def sampled(x: Any, grid: Any, mode: str, padding: str, aligned: bool) -> Any:
    """Return ``x`` at the places that a grid tells, from -1 to 1 over each spatial axis.

    Args:
        x: Batch, any number of spatial axes, then channels.
        grid: Batch, the new spatial axes, then coordinates: that of the last axis first.
        mode: ``nearest``, ``bilinear`` or ``bicubic``, whatever the number of axes.
        padding: What lies outside: ``zeros``, ``border`` or ``reflection``.
        aligned: Whether -1 and 1 are the middles of the outermost elements, else their edges.
    """
    wide = tf.float32 if x.dtype in _NARROW else x.dtype
    places = tf.cast(grid, wide if x.dtype.is_floating else tf.float64)
    rank, shape = x.shape.rank, tf.shape(x)
    taps = [
        _taps(places[..., rank - 3 - axis], shape[1 + axis], mode, padding, aligned)
        for axis in range(rank - 2)
    ]
    rows = tf.reshape(tf.cast(x, wide), tf.stack([shape[0], -1, shape[rank - 1]]))
    found: Any = None
    for chosen in product(*taps):
        at, weight, inside = chosen[0]
        for axis, (more, factor, within) in enumerate(chosen[1:], start=2):
            at, weight = at * shape[axis] + more, weight * factor
            inside = inside & within
        part = tf.gather(rows, tf.reshape(at, tf.stack([shape[0], -1])), batch_dims=1)
        if mode != "nearest":
            weight = weight * tf.cast(inside, weight.dtype)
            part = part * tf.reshape(tf.cast(weight, wide), tf.stack([shape[0], -1, 1]))
        elif padding == "zeros":
            kept = tf.reshape(inside, tf.stack([shape[0], -1, 1]))
            part = tf.where(kept, part, tf.zeros_like(part))
        found = part if found is None else found + part
    found = tf.reshape(found, tf.concat([tf.shape(grid)[:-1], shape[rank - 1 :]], 0))
    found = tf.ensure_shape(found, [*grid.shape[:-1], x.shape[-1]])
    return tf.cast(found, x.dtype)


def _taps(grid: Any, size: Any, mode: str, padding: str, aligned: bool) -> Taps:
    """Return the elements of one axis that count at each place, and how much."""
    length = tf.cast(size, grid.dtype)
    if aligned:
        low, high, at = length * 0, length - 1, (grid + 1) / 2 * (length - 1)
    else:
        low, high, at = length * 0 - 0.5, length - 0.5, ((grid + 1) * length - 1) / 2
    if mode == "nearest":
        at = tf.round(at)
    beyond = (at < low) | (at > high)
    if padding == "border" and mode != "bicubic":
        at = tf.where(beyond, tf.clip_by_value(at, length * 0, length - 1), at)
    elif padding == "reflection":
        at = tf.where(beyond, _reflected(at, low, high), at)
    first = tf.floor(at)
    found: Taps = []
    for step, weight in _weights(at - first, mode):
        place = first + step
        inside = (place >= 0) & (place <= length - 1)
        if padding == "reflection":
            place = tf.where(inside, place, _reflected(place, low, high))
        held = tf.cast(tf.clip_by_value(place, length * 0, length - 1), tf.int32)
        found.append((held, weight, inside if padding == "zeros" else tf.ones_like(inside)))
    return found


def _reflected(at: Any, low: Any, high: Any) -> Any:
    span = high - low
    some = tf.where(span == 0, tf.ones_like(span), span)
    turn = tf.math.floormod(at - low, 2 * some)
    return tf.where(span == 0, tf.zeros_like(at) + low, low + tf.minimum(turn, 2 * some - turn))


def _weights(share: Any, mode: str) -> list[tuple[int, Any]]:
    """Return steps from the element before each place, and the weight of each."""
    if mode == "nearest":
        return [(0, tf.ones_like(share))]
    if mode == "bilinear":
        return [(0, 1 - share), (1, share)]
    a, rest = -0.75, 1 - share
    near = [((a + 2) * t - (a + 3)) * t * t + 1 for t in (share, rest)]
    far = [((a * t - 5 * a) * t + 8 * a) * t - 4 * a for t in (share + 1, rest + 1)]
    return [(-1, far[0]), (0, near[0]), (1, near[1]), (2, far[1])]


@lowering("GridSample", 16)
def grid_sample(node: Node, to: Builder) -> Any:
    """Return the tensor at the places that a grid tells."""
    data, grid = node.inputs
    mode, padding = _MODES.get(node.attributes["mode"]), node.attributes["padding_mode"]
    if mode is None or padding not in ("zeros", "border", "reflection"):
        to.refuse(f"mode {node.attributes['mode']!r} with padding_mode {padding!r}")
    if not to.dtype(data).is_floating and mode != "nearest":
        to.refuse("a blend of elements that are no floats")
    if to.rank(data) < 3:
        to.refuse("an image without axes of space")
    aligned = bool(node.attributes["align_corners"])
    if to.graph.value(data).dtype != to.graph.value(node.outputs[0]).dtype:
        to.refuse("a result of another type")
    if to.value(data).dtype != to.raw(data).dtype:
        to.refuse(f"elements of {to.graph.value(data).dtype}")
    return Last(sampled(to.last(data), to.value(grid), mode, padding, aligned))


@lowering("AffineGrid", 20)
def affine_grid(node: Node, to: Builder) -> Any:
    """Return the grid of an affine map, two or three axes."""
    theta, size = to.value(node.inputs[0]), to.numbers(node.inputs[1])
    aligned = bool(node.attributes["align_corners"])
    count = len(size) if isinstance(size, list) else size.shape[0]
    if count not in (4, 5):
        to.refuse("a size that is not known to be of 4 or 5 lengths")
    told = "align_corners with an axis of length 1, on which runtimes disagree"
    if isinstance(size, list):
        if aligned and 1 in size[2:]:
            to.refuse(told)
        lengths: list[Any] = size
    else:
        lengths = tf.unstack(tf.cast(size, tf.int32), count)
        if aligned:
            tf.debugging.assert_none_equal(tf.stack(lengths[2:]), 1, message=told)
    wide = tf.float32 if theta.dtype in _NARROW else theta.dtype
    places = [_places(length, aligned, wide) for length in lengths[2:]]
    meshes = tf.meshgrid(*places, indexing="ij")
    whole = tf.stack([*reversed(meshes), tf.ones_like(meshes[0])], -1)  # that of the last first
    flat = tf.reshape(whole, [-1, count - 1])
    found = tf.matmul(flat, tf.cast(theta, wide), transpose_b=True)
    shape = tf.stack([lengths[0], *lengths[2:], count - 2])
    return tf.cast(tf.reshape(found, shape), theta.dtype)


def _places(length: Any, aligned: bool, dtype: tf.DType) -> Any:
    """Return the middle of each element of an axis, from -1 to 1 between ends or edges."""
    whole = tf.cast(length, dtype)
    at = tf.cast(tf.range(length), dtype)
    if aligned:
        return at * 2 / (whole - 1) - 1
    return (at * 2 + 1) / whole - 1


def _combined(tables: Sequence[Any], whole: Sequence[Any]) -> Any:
    """Return flat places of images for each element of each block, both flat.

    Args:
        tables: By axis, the place along it of each element of a block, by block.
        whole: The lengths of the images.
    """
    rank = len(tables)
    found: Any = None
    for axis, table in enumerate(tables):
        shape = [1] * (2 * rank)
        lengths = tf.shape(table)
        laid: list[Any] = list(shape)
        laid[axis], laid[rank + axis] = lengths[0], lengths[1]
        along = tf.reshape(table, tf.stack(laid))
        found = along if found is None else found * whole[axis] + along
    return tf.reshape(found, [-1])


def folded(
    x: Any,
    image: Sequence[Any],
    block: Sequence[Any],
    steps: Sequence[int],
    pads: Sequence[int],
    strides: Sequence[int],
) -> Any:
    """Return images: blocks that lie in columns are added where they come from.

    Args:
        x: Batch, channels times elements of a block, blocks.
        image: Lengths of the images.
        block: Lengths of a block.
        steps: Steps between the elements of a block.
        pads: Elements before, then after each axis, which are cut off.
        strides: Steps between blocks.
    """
    rank = len(image)
    whole = [pads[at] + image[at] + pads[rank + at] for at in range(rank)]
    tables = []
    for at in range(rank):
        count = (whole[at] - steps[at] * (block[at] - 1) - 1) // strides[at] + 1
        elements = tf.range(block[at]) * steps[at]
        tables.append(elements[:, None] + tf.range(count) * strides[at])
    places = _combined(tables, whole)
    size = tf.reduce_prod(tf.stack([tf.cast(one, tf.int32) for one in block]))
    batch = tf.shape(x)[0]
    parts = tf.reshape(x, tf.stack([batch, tf.shape(x)[1] // size, -1]))
    rows = tf.transpose(parts, [2, 0, 1])  # elements and blocks, batch, channels
    total = tf.reduce_prod(tf.stack([tf.cast(one, tf.int32) for one in whole]))
    sums = tf.math.unsorted_segment_sum(rows, places, total)
    found = tf.transpose(sums, [1, 2, 0])
    found = tf.reshape(found, tf.concat([tf.shape(found)[:2], tf.stack(whole)], 0))
    inner = tuple(slice(pads[at], pads[at] + image[at]) for at in range(rank))
    return found[(slice(None), slice(None), *inner)]


@lowering("Col2Im", 18)
def col2im(node: Node, to: Builder) -> Any:
    """Return images whose blocks lie in columns."""
    image, block = (_known_or_not(to, name) for name in node.inputs[1:3])
    rank = len(image)
    given = node.attributes
    steps, strides = (list(given.get(name) or [1] * rank) for name in ("dilations", "strides"))
    pads = list(given.get("pads") or [0] * (2 * rank))
    x = to.value(node.inputs[0])
    if not (x.dtype.is_floating or x.dtype.is_integer or x.dtype.is_complex):
        to.refuse("a sum of elements that are no numbers")
    return folded(x, image, block, steps, pads, strides)


def _known_or_not(to: Builder, name: str) -> list[Any]:
    """Return lengths, each known or a scalar tensor, of which the number must be known."""
    found = to.numbers(name)
    if isinstance(found, list):
        return found
    if found.shape[0] is None:
        to.refuse(f"the length of {name!r} must be known (give input shapes)")
    return list(tf.unstack(tf.cast(found, tf.int32), found.shape[0]))


@lowering("ImageDecoder", 20)
def image_decoder(_: Node, to: Builder) -> NoReturn:
    """Refuse: decoders differ in the pixels that they give."""
    to.refuse("it decodes images, to other pixels in each runtime: give the model decoded ones")
