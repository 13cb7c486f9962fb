"""Operators that move, join or cut elements and leave their values alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder


@lowering("Reshape", 5)
def reshape(node: Node, to: Builder) -> torch.fx.Node:
    """Return the elements in another shape."""
    name, x = node.inputs[0], to.value(node.inputs[0])
    static = to.graph.value(node.outputs[0]).static
    if static is not None:
        same = to.graph.value(name).static == static
        return x if same else to.call(torch.reshape, x, static)
    aim = to.ints(node.inputs[1], "shape")
    if 0 in aim and node.attributes.get("allowzero", 0):
        to.refuse("a length of 0 beside lengths that are open")
    source = to.graph.value(name).shape
    dims: list[int | torch.fx.Node] = []
    for place, dim in enumerate(aim):
        length = source[place] if source is not None and place < len(source) else None
        copied = length if isinstance(length, int) else to.call(torch.Tensor.size, x, place)
        dims.append(copied if dim == 0 else dim)
    return to.call(torch.reshape, x, dims)


@lowering("Shape", 1)
@lowering("Size", 1)
def shape_of(_: Node, to: Builder) -> NoReturn:
    """Refuse: what is left of these reads lengths that are open."""
    to.refuse("it reads lengths that are open (give input shapes)")


@lowering("Flatten", 1)
def flatten(node: Node, to: Builder) -> torch.fx.Node:
    """Return a matrix: the axes before the one given are its rows."""
    shape = to.graph.value(node.inputs[0]).shape
    rank = to.rank(node.inputs[0])
    axis = node.attributes["axis"] + (rank if node.attributes["axis"] < 0 else 0)
    x = to.value(node.inputs[0])
    if not 0 <= axis <= rank or shape is None:
        to.refuse(f"axis {axis} is out of range for rank {rank}")
    tail = [dim for dim in shape[axis:] if isinstance(dim, int)]
    if len(tail) == rank - axis and 0 not in tail:
        return to.call(torch.reshape, x, (-1, math.prod(tail)))
    whole = to.shape(node.inputs[0])
    return to.call(torch.reshape, x, (math.prod(whole[:axis]), math.prod(whole[axis:])))


@lowering("Transpose", 1)
def transpose(node: Node, to: Builder) -> torch.fx.Node:
    """Return the axes in another order: reversed, where none is given."""
    order = node.attributes.get("perm")
    if order is None:
        order = list(range(to.rank(node.inputs[0])))[::-1]
    return to.call(torch.permute, to.value(node.inputs[0]), tuple(order))


def _axes(node: Node, to: Builder, version: int) -> list[int] | None:
    if node.version < version:
        return node.attributes.get("axes")
    return to.ints(node.inputs[1], "axes") if node.input(1) else None


@lowering("Squeeze", 1)
def squeeze(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor without axes of length 1."""
    axes = _axes(node, to, 13)
    if axes is None:
        axes = [place for place, dim in enumerate(to.shape(node.inputs[0])) if dim == 1]
    rank = to.rank(node.inputs[0])
    places = tuple(to.axis(axis, rank) for axis in axes)
    return to.call(torch.squeeze, to.value(node.inputs[0]), places)


@lowering("Unsqueeze", 1)
def unsqueeze(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor with new axes of length 1."""
    axes = _axes(node, to, 13) or []
    rank = to.rank(node.inputs[0]) + len(axes)
    x = to.value(node.inputs[0])
    for axis in sorted(to.axis(axis, rank) for axis in axes):
        x = to.call(torch.unsqueeze, x, axis)
    return x


@lowering("Expand", 8)
def expand(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor broadcast with a shape, either way."""
    aim = to.ints(node.inputs[1], "shape")
    rank = to.rank(node.inputs[0])
    static = to.graph.value(node.outputs[0]).static
    if static is not None:
        return to.call(torch.Tensor.expand, to.value(node.inputs[0]), static)
    # A length of 1 keeps the tensor's own, which PyTorch spells -1 where there is one.
    missing = len(aim) - rank
    lengths = [1] * -missing + aim
    kept = [
        -1 if length == 1 and place >= missing else length for place, length in enumerate(lengths)
    ]
    return to.call(torch.Tensor.expand, to.value(node.inputs[0]), kept)


@lowering("Tile", 6)
def tile(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor repeated along each axis."""
    repeats = to.ints(node.inputs[1], "repeats")
    return to.call(torch.tile, to.value(node.inputs[0]), repeats)


@lowering("Concat", 4)
def concat(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensors joined along an axis."""
    axis = to.axis(node.attributes["axis"], to.rank(node.inputs[0]))
    return to.call(torch.cat, [to.value(name) for name in node.inputs], axis)


@lowering("Split", 2)
def split(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return parts along an axis: of the lengths given, or even but for the last."""
    axis = to.axis(node.attributes["axis"], to.rank(node.inputs[0]))
    count = len(node.outputs)
    lengths = node.attributes.get("split") if node.version < 13 else None
    if node.version >= 13 and node.input(1):
        lengths = to.ints(node.inputs[1], "lengths")
    if lengths is None:
        whole = to.shape(node.inputs[0])[axis]
        each = -(-whole // node.attributes.get("num_outputs", count))
        lengths = [min(each, whole - each * place) for place in range(count)]
    if min(lengths, default=0) < 0 or len(lengths) != count:
        to.refuse(f"{count} parts of lengths {lengths}")
    return to.items(to.call(torch.split, to.value(node.inputs[0]), lengths, axis), count)


@lowering("Slice", 10)
def slice_by_inputs(node: Node, to: Builder) -> torch.fx.Node:
    """Return a part of the tensor; steps may be negative."""
    starts, ends = (to.ints(name, "bounds") for name in node.inputs[1:3])
    axes = to.ints(node.inputs[3], "axes") if node.input(3) else list(range(len(starts)))
    steps = to.ints(node.inputs[4], "steps") if node.input(4) else [1] * len(starts)
    return _sliced(node, to, list(zip(axes, starts, ends, steps, strict=True)))


@lowering("Slice", 1, 9)
def slice_by_attributes(node: Node, to: Builder) -> torch.fx.Node:
    """Return a part of the tensor, its bounds given as attributes."""
    starts, ends = node.attributes["starts"], node.attributes["ends"]
    axes = node.attributes.get("axes") or list(range(len(starts)))
    return _sliced(node, to, [(*one, 1) for one in zip(axes, starts, ends, strict=True)])


def _sliced(node: Node, to: Builder, cuts: list[tuple[int, int, int, int]]) -> torch.fx.Node:
    rank = to.rank(node.inputs[0])
    x = to.value(node.inputs[0])
    index = [slice(None)] * rank
    for axis, start, end, step in cuts:
        place = to.axis(axis, rank)
        if step > 0:
            index[place] = slice(start, end, step)
            continue
        if end in (2**31 - 1, 2**63 - 1):
            to.refuse("a slice backwards to the largest number, on which runtimes differ")
        # PyTorch's own slices only go forward: take the places by number.
        places = _backwards(to.shape(node.inputs[0])[place], start, end, step)
        taken = to.fixed(f"{node.name}_places", places)
        x = to.call(torch.index_select, x, place, taken)
    if all(one == slice(None) for one in index):
        return x
    import operator

    return to.call(operator.getitem, x, tuple(index))


def _backwards(length: int, start: int, end: int, step: int) -> Array:
    """Return the places of a slice backwards; unlike Python's, it starts within the axis."""
    first = min(max(start + length if start < 0 else start, 0), length - 1)
    last = min(max(end + length if end < 0 else end, -1), length - 1)
    return np.arange(first, last, step) if length else np.arange(0)


_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@lowering("Pad", 11)
def pad_by_inputs(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor made longer, or shorter where a length is negative, at its ends."""
    pads = to.ints(node.inputs[1], "lengths")
    rank = to.rank(node.inputs[0])
    axes = to.ints(node.inputs[3], "axes") if node.input(3) else list(range(rank))
    value = 0.0
    if node.input(2):
        value = to.need(node.inputs[2], "value").reshape(-1)[0].item()
    return _padded(node, to, axes, pads, value)


@lowering("Pad", 1, 10)
def pad_by_attributes(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor made longer or shorter, its lengths given as attributes."""
    pads = node.attributes.get("pads", node.attributes.get("paddings"))
    axes = list(range(to.rank(node.inputs[0])))
    return _padded(node, to, axes, pads, node.attributes["value"])


def _padded(
    node: Node, to: Builder, axes: list[int], pads: list[int], value: float
) -> torch.fx.Node:
    rank, mode = to.rank(node.inputs[0]), node.attributes["mode"]
    x = to.value(node.inputs[0])
    ends = {
        to.axis(axis, rank): (before, after)
        for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True)
    }
    if mode == "constant":
        flat = [length for place in reversed(range(rank)) for length in ends.get(place, (0, 0))]
        fill = bool(value) if to.dtype(node.inputs[0]) == torch.bool else value
        return to.call(functional.pad, x, flat, "constant", fill)
    if mode not in _MODES:
        to.refuse(f"mode {mode!r}")
    # The other modes only copy elements: take them by number, whatever the rank.
    for place, (before, after) in ends.items():
        if before or after:
            length = to.shape(node.inputs[0])[place]
            places = _copied(np.arange(length), before, after, mode)
            taken = to.fixed(f"{node.name}_places", places)
            x = to.call(torch.index_select, x, place, taken)
    return x


def _copied(places: Array, before: int, after: int, mode: str) -> Array:
    cut = places[max(-before, 0) : len(places) - max(-after, 0)]
    grown = (max(before, 0), max(after, 0))
    padded: Array = np.pad(cut, grown, mode=cast("Any", mode))  # ONNX's names are NumPy's
    return padded


@lowering("DepthToSpace", 1)
def depth_to_space(node: Node, to: Builder) -> torch.fx.Node:
    """Return channels laid out as blocks in space."""
    batch, channels, height, width = to.shape(node.inputs[0])
    size = node.attributes["blocksize"]
    if node.attributes.get("mode", "DCR") == "CRD":
        return to.call(functional.pixel_shuffle, to.value(node.inputs[0]), size)
    left = channels // size**2
    split_up = (batch, size, size, left, height, width)
    apart = to.call(torch.reshape, to.value(node.inputs[0]), split_up)
    moved = to.call(torch.permute, apart, (0, 3, 4, 1, 5, 2))
    return to.call(torch.reshape, moved, (batch, left, height * size, width * size))


@lowering("SpaceToDepth", 1)
def space_to_depth(node: Node, to: Builder) -> torch.fx.Node:
    """Return blocks in space laid out as channels."""
    batch, channels, height, width = to.shape(node.inputs[0])
    size = node.attributes["blocksize"]
    split_up = (batch, channels, height // size, size, width // size, size)
    apart = to.call(torch.reshape, to.value(node.inputs[0]), split_up)
    by_depth = node.attributes.get("mode", "DCR") == "CRD"
    moved = to.call(torch.permute, apart, (0, 1, 3, 5, 2, 4) if by_depth else (0, 3, 5, 1, 2, 4))
    aim = (batch, channels * size**2, height // size, width // size)
    return to.call(torch.reshape, moved, aim)
