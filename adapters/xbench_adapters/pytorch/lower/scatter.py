"""Operators that place elements into a tensor."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch
import torch.fx

from xbench.graph.stand_ins import PACKED
from xbench_adapters.pytorch.lower.shared.moved import is_text, moves_both
from xbench_adapters.pytorch.lower.shared.places import from_either_end, known_axis, places_of
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_KINDS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
_OF_BOOLS = {"sum": "amax", "prod": "amin"}
_SIGN = -(2**63)


@moves_both
def placed(
    x: torch.Tensor, updates: torch.Tensor, indices: torch.Tensor, axis: int
) -> torch.Tensor:
    """Return ``x`` with elements replaced along an axis."""
    return torch.scatter(x, axis, from_either_end(indices, x, axis), updates)


def combined(
    x: torch.Tensor, updates: torch.Tensor, places: torch.Tensor, axis: int, kind: str
) -> torch.Tensor:
    """Return ``x`` with elements added to, multiplied or compared, along an axis.

    Sums and products of booleans are whether any and whether all hold.
    """
    if x.dtype == torch.bool:
        bits = x.to(torch.uint8), updates.to(torch.uint8)
        return combined(*bits, places, axis, _OF_BOOLS.get(kind, kind)).to(torch.bool)
    if kind == "sum" and x.is_complex():
        return torch.scatter_add(x, axis, places, updates)
    return torch.scatter_reduce(x, axis, places, updates, kind)


@moves_both
def place_nd(
    x: torch.Tensor, updates: torch.Tensor, indices: torch.Tensor, accumulate: bool
) -> torch.Tensor:
    """Return ``x`` with slices replaced, or added to, at the tuples of ``indices``."""
    return x.index_put(tuple(indices.unbind(-1)), updates, accumulate)


def combined_nd(
    x: torch.Tensor, updates: torch.Tensor, indices: torch.Tensor, kind: str
) -> torch.Tensor:
    """Return ``x`` with slices added to, multiplied or compared at the tuples of ``indices``."""
    depth = indices.shape[-1]
    lengths, size = x.shape[:depth], prod(x.shape[depth:])
    # Picking the number of each slice counts from either end, and raises outside.
    numbers = torch.arange(prod(lengths), device=x.device).reshape(lengths)
    places = numbers[tuple(indices.unbind(-1))].reshape(-1, 1)
    new = updates.reshape(places.shape[0], size)
    rows = x.reshape(prod(lengths), size)
    return combined(rows, new, places.expand(-1, size), 0, kind).reshape(x.shape)


@moves_both
def written(
    cache: torch.Tensor, new: torch.Tensor, starts: torch.Tensor | None, axis: int, circular: bool
) -> torch.Tensor:
    """Return a cache with a run of elements replaced, from its own start for each batch.

    Args:
        cache: The batch is its first axis.
        new: As the cache, but for the length of ``axis``.
        starts: Where to write first, for each batch; at the front without.
        axis: The axis that is written along, from either end.
        circular: Whether what would lie behind the end goes to the front.
    """
    front = axis % cache.ndim
    places = torch.arange(new.shape[front], device=cache.device).reshape(1, -1)
    if starts is not None:
        places = starts.reshape(-1, 1) + places
    if circular:
        places = places % cache.shape[front]
    ones = (1,) * (front - 1), (1,) * (cache.ndim - front - 1)
    index = places.reshape((places.shape[0], *ones[0], places.shape[1], *ones[1]))
    return torch.scatter(cache, front, index.expand(new.shape), new)


def _kind(node: Node, to: Builder) -> str | None:
    """Return PyTorch's name of the reduction; None where elements are replaced."""
    kind = node.attributes.get("reduction", "none")
    if kind == "none":
        return None
    dtype = to.graph.value(node.inputs[0]).dtype
    if kind not in _KINDS:
        to.refuse(f"reduction {kind!r}")
    if dtype is None or dtype.name in PACKED or dtype.name.startswith("float8"):
        to.refuse(f"reduction {kind!r} of {dtype}")
    if dtype.name == "object" or (dtype.kind == "c" and kind != "add"):
        to.refuse(f"reduction {kind!r} of {dtype}")
    return _KINDS[kind]


def _in_order(node: Node, to: Builder, kind: str, x: torch.fx.Node) -> torch.fx.Node:
    """Return 64 bits without a sign, held with one, in their order; and what was so, back."""
    dtype = to.graph.value(node.inputs[0]).dtype
    ordered = dtype is not None and dtype.name == "uint64" and kind in ("amax", "amin")
    return to.call(torch.bitwise_xor, x, _SIGN) if ordered else x


@lowering("Scatter", 9)
@lowering("ScatterElements", 11)
def scatter_elements(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor with elements replaced, or combined, along an axis."""
    data, indices, updates = node.inputs
    axis = known_axis(to, node.attributes["axis"], data)
    kind = _kind(node, to)
    if is_text(to, data):
        return to.call(placed, to.value(data), to.value(updates), to.value(indices), axis)
    places = places_of(to, indices, data, axis)
    if kind is None:
        return to.call(torch.scatter, to.value(data), axis, places, to.value(updates))
    x, new = (_in_order(node, to, kind, to.value(name)) for name in (data, updates))
    if to.dtype(data) == torch.bool or to.dtype(data).is_complex:
        return to.call(combined, x, new, places, axis, kind)
    found = to.call(torch.scatter_reduce, x, axis, places, new, kind)
    return _in_order(node, to, kind, found)


@lowering("ScatterND", 11)
def scatter_nd(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor with slices replaced, or combined, at tuples of indices."""
    data, indices, updates = node.inputs
    kind = _kind(node, to)
    x, new, at = to.value(data), to.value(updates), to.value(indices)
    if kind is None or (kind == "sum" and to.dtype(data) != torch.bool):
        return to.call(place_nd, x, new, at, kind == "sum")
    x, new = _in_order(node, to, kind, x), _in_order(node, to, kind, new)
    return _in_order(node, to, kind, to.call(combined_nd, x, new, at, kind))


@lowering("TensorScatter", 24)
def tensor_scatter(node: Node, to: Builder) -> torch.fx.Node:
    """Return a cache with new elements written along an axis."""
    cache, new = node.inputs[:2]
    mode = node.attributes["mode"]
    if mode not in ("linear", "circular"):
        to.refuse(f"mode {mode!r}")
    axis = known_axis(to, node.attributes["axis"], cache)
    if axis == 0:
        to.refuse("it writes along the batch")
    starts = to.optional(node.input(2))
    return to.call(written, to.value(cache), to.value(new), starts, axis, mode == "circular")
