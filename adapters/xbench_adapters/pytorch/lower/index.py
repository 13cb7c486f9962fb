"""Operators that pick, place or order elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def from_front(indices: torch.Tensor, length: int) -> torch.Tensor:
    """Return indices counted from the front; those outside stay outside, and raise."""
    return torch.where(indices < 0, indices + length, indices)


def take(x: torch.Tensor, places: torch.Tensor, axis: int) -> torch.Tensor:
    """Return slices of ``x`` along an axis, in the shape of ``places``."""
    picked = torch.index_select(x, axis, places.reshape(-1))
    return picked.reshape(x.shape[:axis] + places.shape + x.shape[axis + 1 :])


def take_nd(x: torch.Tensor, indices: torch.Tensor, batch_dims: int) -> torch.Tensor:
    """Return slices of ``x`` at the tuples along the last axis of ``indices``."""
    rank = indices.ndim - 1
    batch = tuple(
        torch.arange(x.shape[axis]).reshape((-1,) + (1,) * (rank - axis - 1))
        for axis in range(batch_dims)
    )
    return x[batch + tuple(indices.unbind(-1))]


def place_nd(
    x: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor, accumulate: bool
) -> torch.Tensor:
    """Return ``x`` with slices replaced, or added to, at the tuples of ``indices``."""
    return x.index_put(tuple(indices.unbind(-1)), updates, accumulate)


def first_largest(
    x: torch.Tensor, count: int, axis: int, largest: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first elements in order and their places; of equals the lower place first."""
    values, places = torch.sort(x, stable=True, dim=axis, descending=largest)
    return values.narrow(axis, 0, count), places.narrow(axis, 0, count)


def running_sum(x: torch.Tensor, axis: int, exclusive: bool, reverse: bool) -> torch.Tensor:
    """Return sums of the elements up to each, or before each, from either end."""
    turned = x.flip(axis) if reverse else x
    summed = torch.cumsum(turned, axis, dtype=x.dtype)
    if exclusive:
        first = torch.zeros_like(summed.narrow(axis, 0, 1))
        summed = torch.cat([first, summed.narrow(axis, 0, x.shape[axis] - 1)], axis)
    return summed.flip(axis) if reverse else summed


def _places(to: Builder, name: str, data: str, axis: int) -> torch.fx.Node:
    """Return indices into an axis of ``data``, counted from the front."""
    length = to.graph.value(data).shape or ()
    known, extent = to.constant(name), length[axis] if length else None
    if known is not None and known.size and known.min() >= 0:
        return to.fixed(f"{name}_places", known.astype("int64"))
    if not isinstance(extent, int):
        to.refuse("the length of its axis must be known (give input shapes)")
    indices = to.value(name)
    if to.dtype(name) != torch.int64:
        indices = to.call(torch.Tensor.to, indices, torch.int64)
    return to.call(from_front, indices, extent)


@lowering("Gather", 1)
def gather(node: Node, to: Builder) -> torch.fx.Node:
    """Return slices along an axis; rows of a known matrix as an embedding."""
    data, indices = node.inputs
    axis = to.axis(node.attributes["axis"], to.rank(data))
    known = to.constant(indices)
    if known is not None and known.ndim == 0:
        return to.call(torch.select, to.value(data), axis, int(known))
    places = _places(to, indices, data, axis)
    weight = to.constant(data)
    if weight is not None and weight.ndim == 2 and axis == 0 and to.floating(data):
        return to.call(functional.embedding, places, to.value(data))
    if to.rank(indices) == 1:
        return to.call(torch.index_select, to.value(data), axis, places)
    return to.call(take, to.value(data), places, axis)


@lowering("GatherElements", 11)
def gather_elements(node: Node, to: Builder) -> torch.fx.Node:
    """Return one element for each index, along an axis."""
    data, indices = node.inputs
    axis = to.axis(node.attributes["axis"], to.rank(data))
    return to.call(torch.gather, to.value(data), axis, _places(to, indices, data, axis))


@lowering("GatherND", 11)
def gather_nd(node: Node, to: Builder) -> torch.fx.Node:
    """Return slices at tuples of indices."""
    data, indices = node.inputs
    return to.call(take_nd, to.value(data), to.value(indices), node.attributes.get("batch_dims", 0))


@lowering("ScatterElements", 11)
def scatter_elements(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor with elements replaced, or combined, along an axis."""
    data, indices, updates = node.inputs
    axis = to.axis(node.attributes["axis"], to.rank(data))
    places = _places(to, indices, data, axis)
    kind = node.attributes.get("reduction", "none")
    if kind == "none":
        return to.call(torch.scatter, to.value(data), axis, places, to.value(updates))
    kinds = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
    if kind not in kinds or to.dtype(data) == torch.bool:
        to.refuse(f"reduction {kind!r} of {to.dtype(data)}")
    x, new = to.value(data), to.value(updates)
    return to.call(torch.scatter_reduce, x, axis, places, new, kinds[kind])


@lowering("ScatterND", 11)
def scatter_nd(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor with slices replaced, or added to, at tuples of indices."""
    kind = node.attributes.get("reduction", "none")
    if kind not in ("none", "add"):
        to.refuse(f"reduction {kind!r}")
    values = [to.value(name) for name in node.inputs]
    return to.call(place_nd, *values, kind == "add")


def hot(indices: torch.Tensor, depth: int, pair: torch.Tensor, axis: int) -> torch.Tensor:
    """Return the second of a pair where a new axis counts to the index, else the first."""
    wrapped = torch.where(indices < 0, indices + depth, indices).unsqueeze(axis)
    counted = torch.arange(depth).reshape((-1,) + (1,) * (wrapped.ndim - axis - 1))
    return torch.where(wrapped == counted, pair[1], pair[0])


@lowering("OneHot", 9)
def one_hot(node: Node, to: Builder) -> torch.fx.Node:
    """Return a new axis that shows each index; one that is out of range shows nowhere."""
    indices, depth, pair = node.inputs
    axis = to.axis(node.attributes["axis"], to.rank(indices) + 1)
    length = int(to.need(depth, "depth").reshape(-1)[0])
    return to.call(hot, to.value(indices), length, to.value(pair), axis)


@lowering("TopK", 10)
def top_k(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the largest or smallest elements along an axis, in order, and their places."""
    axis = to.axis(node.attributes["axis"], to.rank(node.inputs[0]))
    count = int(to.need(node.inputs[1], "count").reshape(-1)[0])
    if count > to.shape(node.inputs[0])[axis]:
        to.refuse(f"{count} elements of {to.shape(node.inputs[0])[axis]}")
    largest = bool(node.attributes.get("largest", 1))
    return to.items(to.call(first_largest, to.value(node.inputs[0]), count, axis, largest), 2)


@lowering("NonZero", 9)
def non_zero(node: Node, to: Builder) -> torch.fx.Node:
    """Return the places of the elements that are not zero, one row an axis."""
    if not to.rank(node.inputs[0]):
        to.refuse("a single element")
    return to.call(torch.t, to.call(torch.nonzero, to.value(node.inputs[0])))


@lowering("Trilu", 14)
def trilu(node: Node, to: Builder) -> torch.fx.Node:
    """Return a triangle of each matrix, zeros elsewhere."""
    shift = int(to.need(node.inputs[1], "diagonal").reshape(-1)[0]) if node.input(1) else 0
    keep = torch.triu if node.attributes["upper"] else torch.tril
    return to.call(keep, to.value(node.inputs[0]), shift)


@lowering("CumSum", 11)
def cum_sum(node: Node, to: Builder) -> torch.fx.Node:
    """Return running sums along an axis."""
    axis = int(to.need(node.inputs[1], "axis").reshape(-1)[0])
    place = to.axis(axis, to.rank(node.inputs[0]))
    modes = bool(node.attributes["exclusive"]), bool(node.attributes["reverse"])
    return to.call(running_sum, to.value(node.inputs[0]), place, *modes)
