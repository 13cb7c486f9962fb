"""Operators that give the same elements in another shape, and those that tell the shape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared.moved import is_text, moves
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder, Numbers


@moves
def reshaped(x: torch.Tensor, aim: Sequence[int], literal: bool) -> torch.Tensor:
    """Return the elements in another shape, whose 0 copies a length unless it is literal."""
    dims = list(aim)
    if not literal:
        dims = [x.shape[place] if dim == 0 else dim for place, dim in enumerate(dims)]
    return x.reshape(dims)


@lowering("Reshape", raw=True)
def reshape(node: Node, to: Builder) -> torch.fx.Node:
    """Return the elements in another shape."""
    name, x = node.inputs[0], to.value(node.inputs[0])
    static = to.graph.value(node.outputs[0]).static
    text = is_text(to, name)
    if static is not None and not text:
        same = to.graph.value(name).static == static
        return x if same else to.call(torch.reshape, x, static)
    aim: Numbers = node.attributes["shape"] if node.version < 5 else to.numbers(node.inputs[1])
    literal = bool(node.attributes.get("allowzero", 0))
    if isinstance(aim, torch.fx.Node) or text:
        return to.call(reshaped, x, aim, literal)
    if literal or 0 not in aim:
        return to.call(torch.reshape, x, aim)
    source = to.graph.value(name).shape
    dims: list[int | torch.fx.Node] = []
    for place, dim in enumerate(aim):
        length = source[place] if source is not None and place < len(source) else None
        copied = length if isinstance(length, int) else to.call(torch.Tensor.size, x, place)
        dims.append(copied if dim == 0 else dim)
    return to.call(torch.reshape, x, dims)


def lengths_of(x: torch.Tensor, start: int, end: int | None) -> torch.Tensor:
    """Return the lengths of the axes from ``start`` to before ``end``, as a tensor."""
    lengths = list(x.shape)[start:end]
    device = x.device if isinstance(x, torch.Tensor) else None  # text has none
    if any(isinstance(one, torch.SymInt) for one in lengths):
        singles = [torch.scalar_tensor(one, dtype=torch.int64, device=device) for one in lengths]
        return torch.stack(singles)
    return torch.tensor(lengths, dtype=torch.int64, device=device)


def count_of(x: torch.Tensor) -> torch.Tensor:
    """Return the number of elements, as a tensor."""
    device = x.device if isinstance(x, torch.Tensor) else None
    return torch.scalar_tensor(prod(x.shape), dtype=torch.int64, device=device)


@lowering("Shape", raw=True)
def shape(node: Node, to: Builder) -> torch.fx.Node:
    """Return the lengths of the axes, or of some of them."""
    window = node.attributes.get("start", 0), node.attributes.get("end")
    return to.call(lengths_of, to.value(node.inputs[0]), *window)


@lowering("Size", raw=True)
def size(node: Node, to: Builder) -> torch.fx.Node:
    """Return the number of elements."""
    return to.call(count_of, to.value(node.inputs[0]))


@moves
def flattened(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Return a matrix: the axes before ``axis`` are its rows."""
    place = axis + x.ndim if axis < 0 else axis
    if not 0 <= place <= x.ndim:
        raise ValueError(f"Flatten at axis {axis} of rank {x.ndim}")
    return x.reshape(prod(x.shape[:place]), prod(x.shape[place:]))


@lowering("Flatten", raw=True)
def flatten(node: Node, to: Builder) -> torch.fx.Node:
    """Return a matrix: the axes before the one given are its rows."""
    lengths = to.graph.value(node.inputs[0]).shape
    axis, x = node.attributes["axis"], to.value(node.inputs[0])
    if lengths is None or is_text(to, node.inputs[0]):
        return to.call(flattened, x, axis)
    rank = len(lengths)
    axis = axis + rank if axis < 0 else axis
    if not 0 <= axis <= rank:
        to.refuse(f"axis {axis} is out of range for rank {rank}")
    tail = [dim for dim in lengths[axis:] if isinstance(dim, int)]
    if len(tail) == rank - axis and 0 not in tail:
        return to.call(torch.reshape, x, (-1, prod(tail)))
    return to.call(flattened, x, axis)


@moves
def reordered(x: torch.Tensor, order: Sequence[int] | None) -> torch.Tensor:
    """Return the axes in another order: reversed, where none is given."""
    return x.permute(tuple(order or range(x.ndim - 1, -1, -1)))


@lowering("Transpose", raw=True)
def transpose(node: Node, to: Builder) -> torch.fx.Node:
    """Return the axes in another order: reversed, where none is given."""
    name, order = node.inputs[0], node.attributes.get("perm")
    rank = to.graph.value(name).rank
    if is_text(to, name) or (rank is None and not order):
        return to.call(reordered, to.value(name), order)
    order = order or range(rank or 0)[::-1]
    return to.call(torch.permute, to.value(name), tuple(order))


def _axes(node: Node, to: Builder) -> Numbers | None:
    if node.version < 13:
        return node.attributes.get("axes")
    return to.numbers(node.inputs[1]) if node.input(1) else None


@moves
def squeezed(x: torch.Tensor, axes: Sequence[int] | None) -> torch.Tensor:
    """Return the tensor without the axes given, or without every one of length 1."""
    if axes is None:
        return x.squeeze()
    if not len(axes):
        raise ValueError("Squeeze of an empty list of axes, on which runtimes differ")
    if any(x.shape[axis] != 1 for axis in axes):  # PyTorch would keep them
        raise ValueError(f"Squeeze of the axes {list(axes)} of shape {tuple(x.shape)}")
    return x.squeeze(tuple(axes))


@lowering("Squeeze", raw=True)
def squeeze(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor without axes of length 1."""
    name, axes = node.inputs[0], _axes(node, to)
    lengths, x = to.graph.value(name).shape, to.value(name)
    if isinstance(axes, list) and not axes:
        to.refuse("an empty list of axes, on which runtimes differ")
    if lengths is None or isinstance(axes, torch.fx.Node) or is_text(to, name):
        return to.call(squeezed, x, axes)
    if axes is None and to.graph.value(name).static is None:
        return to.call(torch.squeeze, x)
    rank = len(lengths)
    if axes is None:
        axes = [place for place, dim in enumerate(lengths) if dim == 1]
    places = tuple(to.axis(axis, rank) for axis in axes)
    if any(lengths[place] != 1 for place in places):
        return to.call(squeezed, x, list(places))
    return to.call(torch.squeeze, x, places)


@moves
def unsqueezed(x: torch.Tensor, axes: Sequence[int]) -> torch.Tensor:
    """Return the tensor with new axes of length 1, whose places count in the result."""
    rank = x.ndim + len(axes)
    places = sorted(axis + rank if axis < 0 else axis for axis in axes)
    if len(set(places)) < len(places):
        raise ValueError(f"Unsqueeze to the axes {list(axes)}, of which some are the same")
    for place in places:
        x = x.unsqueeze(place)
    return x


@lowering("Unsqueeze", raw=True)
def unsqueeze(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor with new axes of length 1."""
    name, axes = node.inputs[0], _axes(node, to)
    known, x = to.graph.value(name).rank, to.value(name)
    if known is None or isinstance(axes, torch.fx.Node) or is_text(to, name):
        return to.call(unsqueezed, x, axes if axes is not None else [])
    axes = axes or []
    rank = known + len(axes)
    for axis in sorted(to.axis(axis, rank) for axis in axes):
        x = to.call(torch.unsqueeze, x, axis)
    return x


@moves
def expanded(x: torch.Tensor, aim: Sequence[int]) -> torch.Tensor:
    """Return the tensor broadcast with a shape, either way."""
    broadcast: Any = torch.broadcast_shapes  # it ships no types
    return x.expand(broadcast(x.shape, tuple(aim)))


@lowering("Expand", 8, raw=True)
def expand(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor broadcast with a shape, either way."""
    name, aim = node.inputs[0], to.numbers(node.inputs[1])
    x, rank = to.value(name), to.graph.value(name).rank
    static = to.graph.value(node.outputs[0]).static
    text = is_text(to, name)
    if static is not None and not text:
        return to.call(torch.Tensor.expand, x, static)
    if isinstance(aim, torch.fx.Node) or rank is None or text:
        return to.call(expanded, x, aim)
    if min(aim, default=0) < 0:
        to.refuse(f"lengths {aim}, of which some are negative")
    # A length of 1 keeps the tensor's own, which PyTorch spells -1 where there is one.
    missing = len(aim) - rank
    lengths = [1] * -missing + aim
    kept = [
        -1 if length == 1 and place >= missing else length for place, length in enumerate(lengths)
    ]
    return to.call(torch.Tensor.expand, x, kept)
