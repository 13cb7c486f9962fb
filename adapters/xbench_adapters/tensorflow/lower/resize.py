"""Resizing along axes: native where TensorFlow has the very same rule, else by weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench.graph.geometry.resizing import Rule
from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.resized import Limits, fits, native, worked_out
from xbench_adapters.tensorflow.lower.sample_tables import NEAREST
from xbench_adapters.tensorflow.lower.sampling import SOURCES, Axis, axes_of, both, check
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.tensors import tf_dtype

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_SMOOTH = frozenset(
    {"float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64"}
    | {"uint8", "uint16", "uint32"}
)
"""Element types that can be blended; others can only be moved."""

_NATIVE = (tf.float32, tf.float16, tf.bfloat16)
"""Types for which TensorFlow's own resize, which blends in 32 bits, is no less exact."""


@lowering("Resize", 11)
def resize(node: Node, to: Builder) -> Any:
    """Return the tensor with some axes longer or shorter, interpolated."""
    read = node.attributes
    rule = Rule(
        mode=read["mode"],
        places=read["coordinate_transformation_mode"],
        nearest=read["nearest_mode"],
        sharpness=read["cubic_coeff_a"],
        excluded=bool(read["exclude_outside"]),
        antialias=bool(read.get("antialias", 0)),
        fill=read["extrapolation_value"],
    )
    if rule.mode == "nearest" and (rule.antialias or rule.excluded):
        to.refuse("nearest with antialias or exclude_outside")
    rank = to.rank(node.inputs[0])
    axes = [to.axis(axis, rank) for axis in read.get("axes") or range(rank)]
    sizes = _numbers(to, node.input(3), len(axes))
    scales = _numbers(to, node.input(2), len(axes)) if sizes is None else None
    if sizes is None and scales is None:
        to.refuse("neither scales nor sizes")
    if scales is not None and isinstance(scales[0], tf.Tensor) and rule.counts_ends:
        to.refuse(f"{rule.places} with scales that only the run tells")
    roi = _numbers(to, node.input(1), 2 * len(axes)) if rule.crops else None
    if rule.crops and roi is None:
        to.refuse("tf_crop_and_resize without a region for each axis")
    regions = list(zip(roi[: len(axes)], roi[len(axes) :], strict=True)) if roi else None
    policy = read.get("keep_aspect_ratio_policy", "stretch")
    return _resized(node, to, rule, axes, scales, sizes, regions, policy)


@lowering("Resize", 10, 10)
@lowering("Upsample", 1)
def upsample(node: Node, to: Builder) -> Any:
    """Return the tensor resized as before version 11: asymmetric, and rounded down.

    Where an axis becomes shorter, `Resize` rounds up, as the only example of its version
    and ONNX Runtime do.
    """
    read = node.attributes
    mode = "linear" if read["mode"] == "bilinear" else read["mode"]
    rule = Rule(mode, "asymmetric", "ceil_if_shorter" if node.operator == "Resize" else "floor")
    rank = to.rank(node.inputs[0])
    scales: Any
    if node.operator == "Upsample" and node.version < 7:
        scales = [1.0, 1.0, float(read["height_scale"]), float(read["width_scale"])]
    elif node.operator == "Upsample" and node.version < 9:
        scales = [float(one) for one in read["scales"]]
    else:
        scales = _numbers(to, node.inputs[1], rank)
    if scales is None or len(scales) != rank:
        to.refuse("scales that do not fit the rank")
    return _resized(node, to, rule, list(range(rank)), scales, None, None, "stretch")


def _numbers(to: Builder, name: str, count: int) -> list[Any] | None:
    """Return numbers, known or scalar tensors; None where there are none."""
    known = to.constant(name) if name else None
    if not name or (known is not None and known.size == 0):
        return None
    if known is not None:
        if known.size != count:
            to.refuse(f"{known.size} numbers for {count}")
        return list(known.reshape(-1).tolist())
    found = tf.reshape(to.raw(name), [-1])
    if found.shape[0] == 0 or to.graph.value(name).static == (0,):
        return None
    kind = tf.float64 if found.dtype.is_floating else tf.int32
    return list(tf.unstack(tf.cast(found, kind), count))


def _limits(node: Node, to: Builder, rule: Rule) -> Limits:
    """Return the least and the largest whole number that blends may give, where it is told."""
    dtype = to.graph.value(node.inputs[0]).dtype
    if rule.mode == "nearest" and not rule.crops:
        return None
    if dtype is None or dtype.name not in _SMOOTH:
        to.refuse(f"mode {rule.mode!r} for {dtype} elements")
    if dtype.kind not in "iu":
        return None
    least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if rule.crops and not least <= rule.fill <= most:
        to.refuse(f"extrapolation_value {rule.fill} for {dtype} elements")
    return None if dtype.itemsize == 8 else (least, most)


def _resized(
    node: Node,
    to: Builder,
    rule: Rule,
    places: list[int],
    scales: Any,
    sizes: Any,
    regions: Any,
    policy: str,
) -> Any:
    if rule.mode not in ("nearest", "linear", "cubic"):
        to.refuse(f"mode {rule.mode!r}")
    if rule.places not in SOURCES or rule.nearest not in NEAREST:
        to.refuse(f"{rule.places!r} with {rule.nearest!r}")
    limits, lengths = _limits(node, to, rule), _lengths(to, node.inputs[0])
    try:
        axes = axes_of([lengths[place] for place in places], scales, sizes, regions, policy)
        axes = [
            axis._replace(place=place)
            for place, axis in zip(places, axes, strict=True)
            if axis.changes is not False
        ]
        for axis in axes:
            check(axis, rule, scales is not None)
        return _lowered(node, to, rule, axes, lengths, limits)
    except ValueError as error:
        to.refuse(str(error))


def _lengths(to: Builder, name: str) -> list[Any]:
    """Return all lengths of a value, known or scalar tensors."""
    shape, rank = to.graph.value(name).shape, to.rank(name)
    if to.has_last(name):
        x = to.last(name)
        order = [0, rank - 1, *range(1, rank - 1)]
    else:
        x = to.raw(name)
        order = list(range(rank))
    found: list[Any] = []
    for place, at in enumerate(order):
        told = shape[place] if shape is not None else None
        known = told if isinstance(told, int) else x.shape[at]
        found.append(tf.shape(x)[at] if known is None else known)
    return found


def _lowered(
    node: Node, to: Builder, rule: Rule, axes: list[Axis], lengths: list[Any], limits: Limits
) -> Any:
    """Return the result in the layout that suits it."""
    name, rank = node.inputs[0], to.rank(node.inputs[0])
    plain = to.dtype(name) == tf_dtype(to.graph.value(name).dtype)
    spatial = [axis for axis in axes if axis.place >= 2]
    same = False
    if plain and rank == 4 and to.dtype(name) in _NATIVE and axes:
        same = fits(spatial, rule)
        for axis in axes:
            same = both(same, axis.after == axis.before) if axis.place < 2 else same
    if same is False:
        in_last = plain and rank > 2 and to.has_last(name)
        x = to.last(name) if in_last else to.value(name)
        moved = [axis._replace(place=_moved(axis.place, rank)) for axis in axes]
        found = worked_out(x, moved if in_last else axes, rule, limits)
        return Last(found) if in_last else found
    x = to.last(name)
    ends: list[Any] = list(lengths[2:])
    for axis in spatial:
        ends[axis.place - 2] = axis.after
    if same is True:
        return Last(native(x, ends, rule))
    moved = [axis._replace(place=_moved(axis.place, rank)) for axis in axes]
    found = tf.cond(same, lambda: native(x, ends, rule), lambda: worked_out(x, moved, rule, limits))
    found.set_shape(_told(to, node.outputs[0], found.shape))
    return Last(found)


def _moved(place: int, rank: int) -> int:
    """Return where an axis stands with the channels last."""
    return 0 if place == 0 else (rank - 1 if place == 1 else place - 1)


def _told(to: Builder, name: str, otherwise: Any) -> list[int | None]:
    """Return the lengths that are known of an image, channels last."""
    shape = to.graph.value(name).shape
    known = [one if isinstance(one, int) else None for one in shape or ()]
    return [known[0], *known[2:], known[1]] if len(known) == 4 else list(otherwise)
