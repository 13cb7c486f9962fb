"""Operators that make tensors longer, or shorter, at the ends of their axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.shared.moved import is_text, text_at
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder, Numbers

Fill = float | torch.Tensor | None

_MODES = frozenset({"constant", "reflect", "edge", "wrap"})

_EXACT = 2**53
"""Up to here a float, as which PyTorch takes what it pads with, is every whole number."""


def ends_of(rank: int, pads: Sequence[int], axes: Sequence[int] | None) -> list[tuple[int, int]]:
    """Return the lengths before and after each axis of a tensor."""
    axes = range(rank) if axes is None else axes
    before, after = pads[: len(axes)], pads[len(axes) :]
    found = [(0, 0)] * rank
    for axis, *ends in zip(axes, before, after, strict=True):
        found[axis] = ends[0], ends[1]
    return found


def places_copied(
    length: int, before: int, after: int, mode: str, device: torch.device | None = None
) -> torch.Tensor:
    """Return which places a padded axis shows: of what a negative length leaves of it."""
    first = max(-before, 0)
    left = length - first - max(-after, 0)
    places = torch.arange(-max(before, 0), left + max(after, 0), device=device)
    if left <= 0 and (before > 0 or after > 0):
        raise ValueError(f"Pad of an axis without elements in mode {mode!r}")
    if mode == "edge":
        places = places.clamp(0, max(left - 1, 0))
    elif mode == "wrap":
        places = places % max(left, 1)
    else:
        period = max(2 * left - 2, 1)
        places = places % period
        places = torch.where(places >= left, period - places, places)
    return places + first


def padded(
    x: torch.Tensor, pads: Sequence[int], axes: Sequence[int] | None, mode: str, value: Fill
) -> torch.Tensor:
    """Return the tensor made longer, or shorter where a length is negative, at its ends."""
    if isinstance(x, np.ndarray):
        return _padded_text(x, pads, axes, mode, value)
    ends = ends_of(x.ndim, pads, axes)
    if mode == "constant":
        return filled(x, [length for pair in reversed(ends) for length in pair], value)
    for axis, (before, after) in enumerate(ends):
        if before or after:
            places = places_copied(x.shape[axis], before, after, mode, x.device)
            x = x.index_select(axis, places)
    return x


def filled(x: torch.Tensor, flat: list[int], value: Fill) -> torch.Tensor:
    """Return the tensor padded with a number, or with the one element of a tensor."""
    if not isinstance(value, torch.Tensor):
        fill = bool(value) if x.dtype == torch.bool else value
        return functional.pad(x, flat, "constant", fill)
    inside = functional.pad(torch.ones(x.shape, dtype=torch.bool, device=x.device), flat)
    return torch.where(inside, functional.pad(x, flat), value.reshape(()).to(x.dtype))


def _padded_text(
    x: Array, pads: Sequence[int], axes: Sequence[int] | None, mode: str, value: Any
) -> Any:
    """Return padded text; the text around it stands last, at the place -1."""
    places = padded(torch.arange(x.size).reshape(x.shape), pads, axes, mode, -1)
    around = "" if value is None else np.asarray(value).reshape(-1)[0]
    return text_at(np.append(x.reshape(-1), np.array([around], dtype=object)), places)


def _fill(to: Builder, name: str) -> float | torch.fx.Node | None:
    """Return what to pad with: a number, if it is known and is one to PyTorch as to NumPy."""
    array = to.constant(name) if name else None
    if not name or array is None:
        return to.optional(name)
    plain = array.dtype.kind in "fiub" and array.dtype.name != "uint64"
    number = array.reshape(-1)[0]
    if array.dtype.kind == "i" and abs(int(number)) > _EXACT:
        return to.value(name)
    if plain or array.dtype.name == "bfloat16":
        return float(number) if array.dtype.kind not in "iub" else int(number)
    return to.value(name)


@lowering("Pad", 11)
def pad_by_inputs(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor made longer, or shorter where a length is negative, at its ends."""
    axes = to.numbers(node.inputs[3]) if node.input(3) else None
    return _padded(node, to, to.numbers(node.inputs[1]), axes, _fill(to, node.input(2)))


@lowering("Pad", 1, 10)
def pad_by_attributes(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor made longer or shorter, its lengths given as attributes."""
    pads = node.attributes.get("pads", node.attributes.get("paddings"))
    return _padded(node, to, list(pads or []), None, node.attributes["value"])


def _padded(
    node: Node,
    to: Builder,
    pads: Numbers,
    axes: Numbers | None,
    value: float | torch.fx.Node | None,
) -> torch.fx.Node:
    name, mode = node.inputs[0], node.attributes["mode"]
    if mode not in _MODES:
        to.refuse(f"mode {mode!r}")
    x, shape = to.value(name), to.graph.value(name).shape
    known = isinstance(pads, list) and not isinstance(axes, torch.fx.Node)
    if not known or shape is None or is_text(to, name):
        return to.call(padded, x, pads, axes, mode, value)
    assert isinstance(pads, list)
    places = list(range(len(shape))) if axes is None else axes
    assert isinstance(places, list)
    if len(pads) != 2 * len(places):
        to.refuse(f"{len(pads)} lengths for {len(places)} axes")
    ends = ends_of(len(shape), pads, [to.axis(axis, len(shape)) for axis in places])
    if mode == "constant":
        flat = [length for pair in reversed(ends) for length in pair]
        return _filled(to, name, x, flat, value)
    if any(
        pair != (0, 0) and not isinstance(dim, int) for pair, dim in zip(ends, shape, strict=True)
    ):
        return to.call(padded, x, pads, axes, mode, value)
    # The other modes only copy elements: take them by number, whatever the rank.
    for place, (before, after) in enumerate(ends):
        length = shape[place]
        if (before or after) and isinstance(length, int):
            numbers = places_copied(length, before, after, mode).numpy()
            x = to.call(torch.index_select, x, place, to.fixed(f"{node.name}_places", numbers))
    return x


def _filled(
    to: Builder, name: str, x: torch.fx.Node, flat: list[int], value: float | torch.fx.Node | None
) -> torch.fx.Node:
    if isinstance(value, torch.fx.Node):
        return to.call(filled, x, flat, value)
    number = 0.0 if value is None else value
    fill = bool(number) if to.dtype(name) == torch.bool else number
    return to.call(functional.pad, x, flat, "constant", fill)


def centered(x: torch.Tensor, aim: Sequence[int], axes: Sequence[int] | None) -> torch.Tensor:
    """Return the middle of the tensor, or the tensor amid zeros, in the lengths given."""
    places = list(range(len(x.shape)) if axes is None else axes)
    ends = [_around(x.shape[axis], length) for axis, length in zip(places, aim, strict=True)]
    before, after = [first for first, _ in ends], [last for _, last in ends]
    return padded(x, before + after, places, "constant", None)


def _around(length: int, aim: int) -> tuple[int, int]:
    """Return what to add before and after; what is cut or added unevenly is so at the end."""
    more = aim - length
    before = more // 2 if more >= 0 else -(-more // 2)
    return before, more - before


@lowering("CenterCropPad", 18)
def center_crop_pad(node: Node, to: Builder) -> torch.fx.Node:
    """Return the middle of the tensor, or the tensor amid zeros, in the lengths given."""
    name, aim, axes = node.inputs[0], to.numbers(node.inputs[1]), node.attributes.get("axes")
    shape = to.graph.value(name).static
    if shape is None or isinstance(aim, torch.fx.Node) or is_text(to, name):
        return to.call(centered, to.value(name), aim, axes)
    places = [to.axis(axis, len(shape)) for axis in (range(len(shape)) if axes is None else axes)]
    if len(aim) != len(places):
        to.refuse(f"{len(aim)} lengths for {len(places)} axes")
    around = [_around(shape[place], length) for place, length in zip(places, aim, strict=True)]
    pads = [first for first, _ in around] + [last for _, last in around]
    ends = ends_of(len(shape), pads, places)
    flat = [length for pair in reversed(ends) for length in pair]
    return _filled(to, name, to.value(name), flat, None)
