"""Resizing along axes: native where PyTorch has the very same rule, else by known weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis that changes: its place, both lengths, and new length over old as asked."""

    place: int
    before: int
    after: int
    scale: float


_SOURCES: dict[str, Callable[[Array, _Axis], Array]] = {
    "half_pixel": lambda at, axis: (at + 0.5) / axis.scale - 0.5,
    "asymmetric": lambda at, axis: at / axis.scale,
    "pytorch_half_pixel": lambda at, axis: (
        (at + 0.5) / axis.scale - 0.5 if axis.after > 1 else at * 0.0
    ),
    "align_corners": lambda at, axis: (
        at * ((axis.before - 1) / (axis.after - 1)) if axis.after > 1 else at * 0.0
    ),
    "half_pixel_symmetric": lambda at, axis: (
        axis.before / 2 * (1 - axis.after / (axis.scale * axis.before))
        + (at + 0.5) / axis.scale
        - 0.5
    ),
}
"""Where each place of the new axis lies on the old one, by coordinate mode."""

_NEAREST: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda at: np.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: np.floor(at + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@lowering("Resize", 11)
def resize(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor with some axes longer or shorter, interpolated."""
    name = node.inputs[0]
    if not to.floating(name):
        to.refuse("elements that are no floats")
    if node.attributes.get("antialias", 0):
        to.refuse("antialias")
    axes = _changed(node, to)
    mode, places = node.attributes["mode"], node.attributes["coordinate_transformation_mode"]
    if places not in _SOURCES:
        to.refuse(f"coordinate_transformation_mode {places!r}")
    if places == "align_corners" and not _exact(axes):
        to.refuse("align_corners with scales that give no whole lengths")
    if mode == "nearest":
        rule = node.attributes["nearest_mode"]
        if _plain_nearest(to, name, axes, places, rule):
            return _interpolated(to, name, axes, "nearest", None)
        return _picked(node, to, axes, _SOURCES[places], _NEAREST[rule])
    if mode == "linear":
        if _plain_linear(to, name, axes, places):
            kinds = {3: "linear", 4: "bilinear", 5: "trilinear"}
            corners = places == "align_corners"
            return _interpolated(to, name, axes, kinds[to.rank(name)], corners)
        return _blended(node, to, axes, _SOURCES[places])
    return to.refuse(f"mode {mode!r}")


@lowering("Resize", 10, 10)
@lowering("Upsample", 9)
@lowering("Upsample", 7, 8)
def upsample(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor resized as before version 11: asymmetric, floor."""
    if node.version < 9:
        scales = [float(one) for one in node.attributes["scales"]]
    else:
        scales = [float(one) for one in to.need(node.inputs[1], "scales").reshape(-1)]
    axes = _by_scale(to.shape(node.inputs[0]), list(range(len(scales))), scales)
    if node.attributes["mode"] == "nearest":
        if _plain_nearest(to, node.inputs[0], axes, "asymmetric", "floor"):
            return _interpolated(to, node.inputs[0], axes, "nearest", None)
        return _picked(node, to, axes, _SOURCES["asymmetric"], np.floor)
    return _blended(node, to, axes, _SOURCES["asymmetric"])


def _by_scale(shape: tuple[int, ...], places: list[int], scales: list[float]) -> list[_Axis]:
    axes = []
    for place, scale in zip(places, scales, strict=True):
        # ONNX computes lengths in float32: a rounded scale must not gain or lose one.
        after = int(np.floor(np.float32(shape[place]) * np.float32(scale)))
        axes.append(_Axis(place, shape[place], after, scale))
    return [axis for axis in axes if axis.before != axis.after or axis.scale != 1]


def _changed(node: Node, to: Builder) -> list[_Axis]:
    """Return the axes that change, from scales or from lengths."""
    shape = to.shape(node.inputs[0])
    places = [to.axis(axis, len(shape)) for axis in node.attributes.get("axes") or []]
    places = places or list(range(len(shape)))
    sizes = to.constant(node.input(3)) if node.input(3) else None
    if sizes is None or not sizes.size:
        scales = to.need(node.input(2), "scales").reshape(-1)
        return _by_scale(shape, places, [float(one) for one in scales])
    if node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        to.refuse("keep_aspect_ratio_policy")
    pairs = zip(places, sizes.reshape(-1), strict=True)
    axes = [_Axis(place, shape[place], int(n), int(n) / shape[place]) for place, n in pairs]
    return [axis for axis in axes if axis.before != axis.after]


def _spatial(to: Builder, name: str, axes: list[_Axis]) -> bool:
    return 3 <= to.rank(name) <= 5 and all(axis.place >= 2 for axis in axes) and bool(axes)


def _exact(axes: list[_Axis]) -> bool:
    """Return whether lengths tell the scales, as PyTorch computes them, exactly."""
    return all(axis.scale * axis.before == axis.after for axis in axes)


def _plain_nearest(to: Builder, name: str, axes: list[_Axis], places: str, rule: str) -> bool:
    """Return whether PyTorch's nearest is the same: whole factors, however coordinates go.

    With a whole factor, half-pixel coordinates rounded either way and asymmetric ones
    rounded down all pick the element that is repeated.
    """
    whole = all(axis.after % axis.before == 0 for axis in axes) and _exact(axes)
    same = (places == "asymmetric" and rule == "floor") or (
        places in ("half_pixel", "pytorch_half_pixel") and rule.startswith("round")
    )
    if places == "pytorch_half_pixel" and any(axis.after == 1 for axis in axes):
        return False
    return whole and same and _spatial(to, name, axes)


def _plain_linear(to: Builder, name: str, axes: list[_Axis], places: str) -> bool:
    """Return whether PyTorch's linear interpolation follows the same coordinates."""
    same = places in ("half_pixel", "align_corners") or (
        places == "pytorch_half_pixel" and all(axis.after > 1 for axis in axes)
    )
    if places == "align_corners" and len(axes) != to.rank(name) - 2:
        same = same and all(n > 1 for n in to.shape(name)[2:])
    return same and _exact(axes) and _spatial(to, name, axes)


def _interpolated(
    to: Builder, name: str, axes: list[_Axis], mode: str, corners: bool | None
) -> torch.fx.Node:
    lengths = list(to.shape(name)[2:])
    for axis in axes:
        lengths[axis.place - 2] = axis.after
    options = {} if corners is None else {"align_corners": corners}
    return to.call(functional.interpolate, to.value(name), lengths, mode=mode, **options)


def _picked(
    node: Node,
    to: Builder,
    axes: list[_Axis],
    source: Callable[[Array, _Axis], Array],
    rule: Callable[[Array], Array],
) -> torch.fx.Node:
    """Return the tensor with elements picked along each axis."""
    x = to.value(node.inputs[0])
    for axis in axes:
        at = rule(source(np.arange(axis.after, dtype=np.float64), axis))
        places = np.clip(at, 0, axis.before - 1).astype(np.int64)
        x = to.call(torch.index_select, x, axis.place, to.fixed(f"{node.name}_places", places))
    return x


def _blended(
    node: Node, to: Builder, axes: list[_Axis], source: Callable[[Array, _Axis], Array]
) -> torch.fx.Node:
    """Return the tensor with neighbours blended along each axis, by weights worked out now."""
    x = to.value(node.inputs[0])
    rank = to.rank(node.inputs[0])
    dtype = to.graph.value(node.inputs[0]).dtype
    for axis in axes:
        at = np.clip(source(np.arange(axis.after, dtype=np.float64), axis), 0, axis.before - 1)
        low = np.floor(at).astype(np.int64)
        high = np.minimum(low + 1, axis.before - 1)
        share = (at - low).astype(dtype).reshape((-1,) + (1,) * (rank - axis.place - 1))
        ends = [
            to.call(torch.index_select, x, axis.place, to.fixed(f"{node.name}_places", places))
            for places in (low, high)
        ]
        x = to.call(torch.lerp, *ends, to.fixed(f"{node.name}_shares", share))
    return x
