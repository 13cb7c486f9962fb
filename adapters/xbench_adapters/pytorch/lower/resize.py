"""Resizing along axes: native where PyTorch has the very same rule, else by places or weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from torch.nn import functional

from xbench.graph.geometry.resizing import Rule
from xbench_adapters.pytorch.lower.shared.moved import is_text, moves
from xbench_adapters.pytorch.lower.shared.sampling import (
    NEAREST,
    SOURCES,
    Axis,
    axes_of,
    neighbours,
    outside,
    picks,
    weights,
)
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_NARROW = (torch.float16, torch.bfloat16)
_SMOOTH = frozenset(
    {"float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64"}
    | {"uint8", "uint16", "uint32"}
)
"""Element types that can be blended; others can only be moved."""


def floats(x: torch.Tensor) -> list[float]:
    """Return the elements of a tensor as numbers."""
    return [float(one) for one in x.reshape(-1).tolist()]


def widened(x: torch.Tensor) -> torch.Tensor:
    """Return the elements in a type that is wide enough to blend them."""
    if x.dtype in _NARROW:
        return x.to(torch.float32)
    return x if x.is_floating_point() else x.to(torch.float64)


def narrowed(x: torch.Tensor, dtype: torch.dtype, limits: tuple[int, int] | None) -> torch.Tensor:
    """Return blended elements in their own type; whole ones to the nearest, within limits."""
    if x.dtype == dtype:
        return x
    if not dtype.is_floating_point:
        x = torch.round(x)
    if limits is not None:
        x = x.clamp(*limits)
    return x.to(dtype)


def mixed(
    x: torch.Tensor, axis: int, low: torch.Tensor, high: torch.Tensor, share: torch.Tensor
) -> torch.Tensor:
    """Return a blend of two elements for each place of a new axis."""
    along = share.to(x.dtype).reshape((-1,) + (1,) * (x.ndim - axis - 1))
    return torch.lerp(x.index_select(axis, low), x.index_select(axis, high), along)


def weighed(x: torch.Tensor, axis: int, matrix: torch.Tensor) -> torch.Tensor:
    """Return sums over an axis, weighed by each row of a matrix, as a new axis."""
    found = functional.linear(x.movedim(axis, -1), matrix.to(x.dtype))
    return found.movedim(-1, axis)


def filled(x: torch.Tensor, axis: int, empty: torch.Tensor, value: float) -> torch.Tensor:
    """Return ``x`` with a value at some places of an axis; whole elements take the nearest."""
    value = value if x.is_floating_point() else round(value)
    along = empty.reshape((-1,) + (1,) * (x.ndim - axis - 1))
    return torch.where(along, torch.full((), value, dtype=x.dtype, device=x.device), x)


def native(shape: Sequence[int], axes: Sequence[Axis], rule: Rule) -> dict[str, Any] | None:
    """Return the options with which PyTorch's own resize is the same; None where none are.

    With a whole factor, half-pixel coordinates rounded either way and asymmetric ones
    rounded down all pick the element that is repeated.
    """
    rank = len(shape)
    spatial = 3 <= rank <= 5 and all(axis.place >= 2 for axis in axes) and bool(axes)
    if not spatial or not all(axis.exact for axis in axes) or rule.crops or rule.antialias:
        return None
    if rule.mode == "nearest":
        return {"mode": "nearest"} if _repeats(axes, rule) else None
    same = rule.places in ("half_pixel", "align_corners") or (
        rule.places == "pytorch_half_pixel" and all(axis.after > 1 for axis in axes)
    )
    if rule.places == "align_corners" and len(axes) != rank - 2:
        same = same and all(length > 1 for length in shape[2:])
    cubic = rank == 4 and rule.sharpness == -0.75 and not rule.excluded
    if not same or (rule.mode == "cubic" and not cubic):
        return None
    kinds = {3: "linear", 4: "bilinear", 5: "trilinear"}
    kind = "bicubic" if rule.mode == "cubic" else kinds[rank]
    return {"mode": kind, "align_corners": rule.places == "align_corners"}


def _repeats(axes: Sequence[Axis], rule: Rule) -> bool:
    if rule.places == "pytorch_half_pixel" and any(axis.after == 1 for axis in axes):
        return False
    same = (rule.places == "asymmetric" and rule.nearest in ("floor", "ceil_if_shorter")) or (
        rule.places in ("half_pixel", "pytorch_half_pixel") and rule.nearest.startswith("round")
    )
    return same and all(axis.after % axis.before == 0 for axis in axes)


def _lengths(shape: Sequence[int], axes: Sequence[Axis]) -> list[int]:
    """Return the new lengths of all axes but the first two."""
    lengths = list(shape)
    for axis in axes:
        lengths[axis.place] = axis.after
    return lengths[2:]


@moves
def resized(
    x: torch.Tensor,
    places: list[int] | None,
    scales: list[float] | None,
    sizes: list[int] | None,
    roi: list[float] | None,
    policy: str,
    rule: Rule,
    limits: tuple[int, int] | None,
) -> torch.Tensor:
    """Return ``x`` with some axes longer or shorter, all told by the run: see `axes_of`."""
    axes = axes_of(x.shape, places, scales, sizes, roi, policy, rule)
    options = native(x.shape, axes, rule) if x.is_floating_point() else None
    if options is not None:
        return functional.interpolate(x, _lengths(x.shape, axes), **options)
    found = x if rule.mode == "nearest" else widened(x)
    for axis in axes:
        if rule.mode == "nearest":
            found = found.index_select(axis.place, picks(axis, rule, x.device))
        elif rule.mode == "linear" and not rule.antialias:
            found = mixed(found, axis.place, *neighbours(axis, rule, x.device))
        else:
            found = weighed(found, axis.place, weights(axis, rule, x.device))
        if rule.crops:
            found = filled(found, axis.place, outside(axis, rule, x.device), rule.fill)
    return narrowed(found, x.dtype, limits)


@lowering("Resize", 11)
def resize(node: Node, to: Builder) -> torch.fx.Node:
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
    sizes = to.numbers(node.inputs[3]) if _given(to, node.input(3)) else None
    scales = _floats(to, node.input(2)) if sizes is None else None
    if sizes is None and scales is None:
        to.refuse("neither scales nor sizes")
    if isinstance(scales, torch.fx.Node) and rule.counts_ends:
        to.refuse(f"{rule.places} with scales that only the run tells")
    roi = _floats(to, node.input(1)) if rule.crops else None
    policy = read.get("keep_aspect_ratio_policy", "stretch")
    return _resized(node, to, rule, read.get("axes") or None, scales, sizes, roi, policy)


@lowering("Resize", 10, 10)
@lowering("Upsample", 1)
def upsample(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor resized as before version 11: asymmetric, and rounded down.

    Where an axis becomes shorter, `Resize` rounds up, as the only example of its version
    and ONNX Runtime do.
    """
    read = node.attributes
    mode = "linear" if read["mode"] == "bilinear" else read["mode"]
    rule = Rule(mode, "asymmetric", "ceil_if_shorter" if node.operator == "Resize" else "floor")
    scales: Any
    if node.version < 7:
        scales = [1.0, 1.0, float(read["height_scale"]), float(read["width_scale"])]
    elif node.version < 9:
        scales = [float(one) for one in read["scales"]]
    else:
        scales = _floats(to, node.inputs[1])
    return _resized(node, to, rule, None, scales, None, None, "stretch")


def _given(to: Builder, name: str) -> bool:
    """Return whether an input is there and may hold anything."""
    if not name:
        return False
    known = to.constant(name)
    return known.size > 0 if known is not None else to.graph.value(name).static != (0,)


def _floats(to: Builder, name: str) -> Any:
    """Return numbers: of a constant, or a node that gives their list; None if there are none."""
    if not _given(to, name):
        return None
    known = to.constant(name)
    if known is not None:
        return [float(one) for one in known.reshape(-1)]
    return to.call(floats, to.raw(name))


def _limits(node: Node, to: Builder, rule: Rule) -> tuple[int, int] | None:
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
    places: list[int] | None,
    scales: Any,
    sizes: Any,
    roi: Any,
    policy: str,
) -> torch.fx.Node:
    if rule.mode not in ("nearest", "linear", "cubic"):
        to.refuse(f"mode {rule.mode!r}")
    if rule.places not in SOURCES or rule.nearest not in NEAREST:
        to.refuse(f"{rule.places!r} with {rule.nearest!r}")
    limits = _limits(node, to, rule)
    name, shape = node.inputs[0], to.graph.value(node.inputs[0]).static
    later = shape is None or any(isinstance(one, torch.fx.Node) for one in (scales, sizes, roi))
    if later or is_text(to, name):
        return to.call(resized, to.value(name), places, scales, sizes, roi, policy, rule, limits)
    assert shape is not None
    try:
        axes = axes_of(shape, places, scales, sizes, roi, policy, rule)
        options = native(shape, axes, rule) if to.floating(name) else None
        if options is not None:
            return to.call(functional.interpolate, to.value(name), _lengths(shape, axes), **options)
        return _worked_out(node, to, rule, axes, limits)
    except ValueError as error:
        to.refuse(str(error))


def _worked_out(
    node: Node, to: Builder, rule: Rule, axes: list[Axis], limits: tuple[int, int] | None
) -> torch.fx.Node:
    """Return the tensor resized by places and weights that are known now."""
    x = to.value(node.inputs[0])
    dtype = to.dtype(node.inputs[0])
    wide = rule.mode == "nearest" or dtype in (torch.float32, torch.float64) or not axes
    found = x if wide else to.call(widened, x)

    def held(table: torch.Tensor, kind: str) -> torch.fx.Node:
        floating = table.is_floating_point() and dtype != torch.float64 and dtype.is_floating_point
        return to.fixed(f"{node.name}_{kind}", (table.float() if floating else table).numpy())

    for axis in axes:
        if rule.mode == "nearest":
            places = held(picks(axis, rule), "places")
            found = to.call(torch.index_select, found, axis.place, places)
        elif rule.mode == "linear" and not rule.antialias:
            low, high, share = neighbours(axis, rule)
            ends = [
                to.call(torch.index_select, found, axis.place, held(one, "places"))
                for one in (low, high)
            ]
            along = share.reshape((-1,) + (1,) * (to.rank(node.inputs[0]) - axis.place - 1))
            found = to.call(torch.lerp, *ends, held(along, "shares"))
        else:
            found = to.call(weighed, found, axis.place, held(weights(axis, rule), "weights"))
        if rule.crops:
            empty = held(outside(axis, rule), "outside")
            found = to.call(filled, found, axis.place, empty, rule.fill)
    return found if wide else to.call(narrowed, found, dtype, limits)
