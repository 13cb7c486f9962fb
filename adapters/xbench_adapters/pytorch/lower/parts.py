"""Operators that join, repeat, split and cut tensors along their axes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared.moved import is_text, joined, moves
from xbench_adapters.pytorch.lower.shared.places import known_axis
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder, Numbers


_ENDLESS = (2**31 - 1, 2**63 - 1)
"""Ends that mean the last place to some runtimes, and what comes before the first to others."""


@moves
def tiled(x: torch.Tensor, repeats: Sequence[int]) -> torch.Tensor:
    """Return the tensor repeated along each axis."""
    if len(repeats) != x.ndim:
        raise ValueError(f"Tile by {list(repeats)} of a tensor of rank {x.ndim}")
    return torch.tile(x, tuple(repeats))


@moves
def tiled_along(x: torch.Tensor, count: int, axis: int) -> torch.Tensor:
    """Return the tensor repeated along one axis."""
    repeats = [1] * x.ndim
    repeats[axis] = count
    return torch.tile(x, repeats)


@lowering("Tile", 6, raw=True)
def tile(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor repeated along each axis."""
    name, repeats = node.inputs[0], to.numbers(node.inputs[1])
    if isinstance(repeats, torch.fx.Node) or is_text(to, name):
        return to.call(tiled, to.value(name), repeats)
    return to.call(torch.tile, to.value(name), repeats)


@lowering("Tile", 1, 5, raw=True)
def tile_along(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor repeated along one axis."""
    counts = [to.number(name) for name in node.inputs[1:3]]
    return to.call(tiled_along, to.value(node.inputs[0]), *counts)


@lowering("Concat", raw=True)
def concat(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensors joined along an axis."""
    axis = node.attributes.get("axis", 1)
    place = known_axis(to, axis, node.inputs[0])
    parts = [to.value(name) for name in node.inputs]
    return to.call(joined if is_text(to, node.inputs[0]) else torch.cat, parts, place)


@moves
def parted(
    x: torch.Tensor, lengths: Sequence[int], axis: int, count: int
) -> tuple[torch.Tensor, ...]:
    """Return ``count`` parts of the lengths given."""
    if len(lengths) != count:
        raise ValueError(f"Split into {count} parts of lengths {list(lengths)}")
    return tuple(torch.split(x, list(lengths), axis))


@moves
def parted_evenly(
    x: torch.Tensor, count: int, axis: int, smaller: bool
) -> tuple[torch.Tensor, ...]:
    """Return parts of one length, of which the last may be smaller if that is allowed."""
    whole = x.shape[axis]
    each = -(-whole // count)
    last = whole - each * (count - 1)
    if last < 0 or (last != each and not smaller):
        raise ValueError(f"Split of {whole} elements into {count} parts")
    return tuple(torch.split(x, [each] * (count - 1) + [last], axis))


def _part_lengths(node: Node, to: Builder) -> Numbers | None:
    known: list[int] | None = node.attributes.get("split")
    # Version 1 has the lengths as an attribute or as an input.
    takes = node.version == 1 or node.version >= 13
    return to.numbers(node.inputs[1]) if takes and node.input(1) else known


@lowering("Split", raw=True)
def split(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return parts along an axis: of the lengths given, or even but for the last."""
    name, outputs = node.inputs[0], len(node.outputs)
    axis, shape = node.attributes.get("axis", 0), to.graph.value(name).shape
    place = axis if shape is None else to.axis(axis, len(shape))
    lengths = _part_lengths(node, to)
    count = node.attributes.get("num_outputs", outputs) if lengths is None else outputs
    x, text = to.value(name), is_text(to, name)
    if lengths is None:
        whole = None if shape is None else shape[place]
        if not isinstance(whole, int) or text:
            smaller = node.version >= 18
            return to.items(to.call(parted_evenly, x, count, place, smaller), outputs)
        each = -(-whole // count)
        lengths = [each] * (count - 1) + [whole - each * (count - 1)]
    if isinstance(lengths, torch.fx.Node) or text:
        return to.items(to.call(parted, x, lengths, place, outputs), outputs)
    if min(lengths, default=0) < 0 or len(lengths) != count:
        to.refuse(f"{count} parts of lengths {lengths}")
    return to.items(to.call(torch.split, x, lengths, place), outputs)


def places_backwards(
    length: int, start: int, end: int, step: int, device: torch.device | None = None
) -> torch.Tensor:
    """Return the places of a slice backwards; unlike Python's, it starts within the axis."""
    if end in _ENDLESS:
        raise ValueError("a slice backwards to the largest number, on which runtimes differ")
    first = min(max(start + length if start < 0 else start, 0), length - 1)
    last = min(max(end + length if end < 0 else end, -1), length - 1)
    return torch.arange(first, min(first, last), step, device=device)


@moves
def sliced(
    x: torch.Tensor,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None,
    steps: Sequence[int] | None,
) -> torch.Tensor:
    """Return a part of the tensor; steps may be negative."""
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step > 0:
            index[axis] = slice(start, end, step)
        else:
            places = places_backwards(x.shape[axis], start, end, step, x.device)
            x = x.index_select(axis, places)
    return x[tuple(index)]


@lowering("Slice", 10, raw=True)
def slice_by_inputs(node: Node, to: Builder) -> torch.fx.Node:
    """Return a part of the tensor; steps may be negative."""
    starts, ends = (to.numbers(name) for name in node.inputs[1:3])
    axes = to.numbers(node.inputs[3]) if node.input(3) else None
    steps = to.numbers(node.inputs[4]) if node.input(4) else None
    return _sliced(node, to, starts, ends, axes, steps)


@lowering("Slice", 1, 9, raw=True)
def slice_by_attributes(node: Node, to: Builder) -> torch.fx.Node:
    """Return a part of the tensor, its bounds given as attributes."""
    bounds = node.attributes["starts"], node.attributes["ends"]
    return _sliced(node, to, *bounds, node.attributes.get("axes") or None, None)


def _sliced(
    node: Node,
    to: Builder,
    starts: Numbers,
    ends: Numbers,
    axes: Numbers | None,
    steps: Numbers | None,
) -> torch.fx.Node:
    name = node.inputs[0]
    given = starts, ends, axes, steps
    known = not any(isinstance(one, torch.fx.Node) for one in given)
    if known and not is_text(to, name) and to.graph.value(name).rank is not None:
        found = _cut(node, to, *(one if isinstance(one, list) else None for one in given))
        if found is not None:
            return found
    return to.call(sliced, to.value(name), *given)


def _cut(node: Node, to: Builder, *bounds: list[int] | None) -> torch.fx.Node | None:
    """Return a slice whose bounds are known; None if it goes backwards along an open axis."""
    shape = to.graph.value(node.inputs[0]).shape or ()
    starts, ends, axes, steps = bounds
    assert starts is not None
    assert ends is not None
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        to.refuse(f"starts {starts}, ends {ends}, axes {axes}, steps {steps}")
    x, index = to.value(node.inputs[0]), [slice(None)] * len(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = to.axis(axis, len(shape))
        if step > 0:
            index[place] = slice(start, end, step)
            continue
        length = shape[place]
        if end in _ENDLESS:
            to.refuse("a slice backwards to the largest number, on which runtimes differ")
        if not isinstance(length, int):
            return None
        # PyTorch's own slices only go forward: take the places by number.
        places: Array = places_backwards(length, start, end, step).numpy()
        x = to.call(torch.index_select, x, place, to.fixed(f"{node.name}_places", places))
    if all(one == slice(None) for one in index):
        return x
    return to.call(operator.getitem, x, tuple(index))
