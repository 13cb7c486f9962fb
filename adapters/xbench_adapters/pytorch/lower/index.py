"""Operators that pick elements by their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.shared.moved import is_text, moves
from xbench_adapters.pytorch.lower.shared.places import from_either_end, known_axis, places_of
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


@moves
def take(x: torch.Tensor, places: torch.Tensor, axis: int) -> torch.Tensor:
    """Return slices of ``x`` along an axis, in the shape of ``places``."""
    picked = torch.index_select(x, axis, places.reshape(-1))
    return picked.reshape(x.shape[:axis] + places.shape + x.shape[axis + 1 :])


@moves
def gathered(x: torch.Tensor, indices: torch.Tensor, axis: int) -> torch.Tensor:
    """Return slices of ``x`` along an axis; both are counted from either end."""
    front = axis % x.ndim
    return take(x, from_either_end(indices, x, front), front)


@moves
def gathered_elements(x: torch.Tensor, indices: torch.Tensor, axis: int) -> torch.Tensor:
    """Return the element of ``x`` for each index along an axis."""
    return torch.gather(x, axis, from_either_end(indices, x, axis))


@moves
def take_nd(x: torch.Tensor, indices: torch.Tensor, batch_dims: int) -> torch.Tensor:
    """Return slices of ``x`` at the tuples along the last axis of ``indices``."""
    rank = indices.ndim - 1
    batch = tuple(
        torch.arange(x.shape[axis], device=x.device).reshape((-1,) + (1,) * (rank - axis - 1))
        for axis in range(batch_dims)
    )
    return x[batch + tuple(indices.unbind(-1))]


@moves
def hot(
    pair: torch.Tensor, indices: torch.Tensor, depth: int, axis: int, wraps: bool
) -> torch.Tensor:
    """Return the second of a pair where a new axis counts to the index, else the first.

    Args:
        pair: What shows elsewhere, and what shows the index.
        indices: Places on the new axis, cut towards zero where they are fractions.
        depth: The length of the new axis.
        axis: Its place in the result, from either end.
        wraps: Whether indices below zero count from the end.
    """
    places = indices.to(torch.int64)
    if wraps:
        places = torch.where(places < 0, places + depth, places)
    place = axis % (indices.ndim + 1)
    counted = torch.arange(depth, device=indices.device)
    along = counted.reshape((-1,) + (1,) * (indices.ndim - place))
    return torch.where(places.unsqueeze(place) == along, pair[1], pair[0])


@moves
def compressed(x: torch.Tensor, condition: torch.Tensor, axis: int | None) -> torch.Tensor:
    """Return the slices where a condition holds; of all elements in a row, without an axis."""
    places = torch.nonzero(condition).reshape(-1)
    if axis is None:
        return torch.index_select(x.reshape(-1), 0, places)
    return torch.index_select(x, axis, places)


@moves
def turned(x: torch.Tensor, lengths: torch.Tensor, batch_axis: int, time_axis: int) -> torch.Tensor:
    """Return each sequence with its first elements, up to its length, in reverse."""
    time = torch.arange(x.shape[time_axis], device=x.device)
    ends = lengths.unsqueeze(1)
    places = torch.where(time < ends, ends - 1 - time, time)
    batch = torch.arange(x.shape[batch_axis], device=x.device).unsqueeze(1)
    return x[batch, places] if batch_axis == 0 else x[places.t(), batch.t()]


@lowering("Gather", 1)
def gather(node: Node, to: Builder) -> torch.fx.Node:
    """Return slices along an axis; rows of a known matrix as an embedding."""
    data, indices = node.inputs
    axis = known_axis(to, node.attributes["axis"], data)
    if to.graph.value(data).rank is None or is_text(to, data):
        return to.call(gathered, to.value(data), to.value(indices), axis)
    known = to.constant(indices)
    if known is not None and known.ndim == 0:
        return to.call(torch.select, to.value(data), axis, int(known))
    places = places_of(to, indices, data, axis)
    weight = to.constant(data)
    if weight is not None and weight.ndim == 2 and axis == 0 and to.floating(data):
        return to.call(functional.embedding, places, to.value(data))
    if to.graph.value(indices).rank == 1:
        return to.call(torch.index_select, to.value(data), axis, places)
    return to.call(take, to.value(data), places, axis)


@lowering("GatherElements", 11)
def gather_elements(node: Node, to: Builder) -> torch.fx.Node:
    """Return one element for each index, along an axis."""
    data, indices = node.inputs
    axis = known_axis(to, node.attributes["axis"], data)
    if is_text(to, data):
        return to.call(gathered_elements, to.value(data), to.value(indices), axis)
    return to.call(torch.gather, to.value(data), axis, places_of(to, indices, data, axis))


@lowering("GatherND", 11)
def gather_nd(node: Node, to: Builder) -> torch.fx.Node:
    """Return slices at tuples of indices."""
    data, indices = node.inputs
    return to.call(take_nd, to.value(data), to.value(indices), node.attributes.get("batch_dims", 0))


@lowering("OneHot", 9)
def one_hot(node: Node, to: Builder) -> torch.fx.Node:
    """Return a new axis that shows each index; one that is out of range shows nowhere."""
    indices, depth, pair = node.inputs
    axis, rank = node.attributes["axis"], to.graph.value(indices).rank
    if rank is not None:
        axis = to.axis(axis, rank + 1)
    dtype = to.graph.value(indices).dtype
    wraps = node.version >= 11 and (dtype is None or dtype.kind != "u")
    return to.call(hot, to.value(pair), to.value(indices), to.number(depth), axis, wraps)


@lowering("NonZero", 9)
def non_zero(node: Node, to: Builder) -> torch.fx.Node:
    """Return the places of the elements that are not zero, one row an axis."""
    return to.call(torch.t, to.call(torch.nonzero, to.value(node.inputs[0])))


@lowering("Trilu", 14)
def trilu(node: Node, to: Builder) -> torch.fx.Node:
    """Return a triangle of each matrix, zeros elsewhere."""
    if to.graph.value(node.inputs[0]).dtype == object:
        to.refuse("text has no zero")
    shift = to.number(node.inputs[1]) if node.input(1) else 0
    keep = torch.triu if node.attributes["upper"] else torch.tril
    return to.call(keep, to.value(node.inputs[0]), shift)


@lowering("Compress", 9)
def compress(node: Node, to: Builder) -> torch.fx.Node:
    """Return the slices along an axis where a condition holds."""
    data, condition = node.inputs
    axis: Any = node.attributes.get("axis")
    if axis is not None:
        axis = known_axis(to, axis, data)
    known = to.constant(condition)
    if known is not None and axis is not None and not is_text(to, data):
        places = to.fixed(f"{node.name}_places", np.flatnonzero(known))
        return to.call(torch.index_select, to.value(data), axis, places)
    return to.call(compressed, to.value(data), to.value(condition), axis)


@lowering("ReverseSequence", 10)
def reverse_sequence(node: Node, to: Builder) -> torch.fx.Node:
    """Return each sequence of a batch in reverse, up to its length."""
    axes = node.attributes["batch_axis"], node.attributes["time_axis"]
    if sorted(axes) != [0, 1]:
        to.refuse(f"batch_axis {axes[0]} and time_axis {axes[1]}")
    return to.call(turned, *map(to.value, node.inputs), *axes)
