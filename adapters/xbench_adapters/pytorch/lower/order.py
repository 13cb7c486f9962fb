"""Operators that order elements, or go through them in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared.places import known_axis
from xbench_adapters.pytorch.registry import lowering
from xbench_adapters.pytorch.stand_in import stand_in

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder

Distinct = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def first_largest(
    x: torch.Tensor, count: int, axis: int, largest: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first elements in order and their places; of equals the lower place first."""
    values, places = torch.sort(x, stable=True, dim=axis, descending=largest)
    return values.narrow(axis, 0, count), places.narrow(axis, 0, count)


def running_sum(x: torch.Tensor, axis: int, exclusive: bool, reverse: bool) -> torch.Tensor:
    """Return sums of the elements up to each, or before each, from either end."""
    return _running(torch.cumsum, 0, x, axis, exclusive, reverse)


def running_product(x: torch.Tensor, axis: int, exclusive: bool, reverse: bool) -> torch.Tensor:
    """Return products of the elements up to each, or before each, from either end."""
    return _running(torch.cumprod, 1, x, axis, exclusive, reverse)


def _running(
    function: Callable[..., torch.Tensor],
    start: int,
    x: torch.Tensor,
    axis: int,
    exclusive: bool,
    reverse: bool,
) -> torch.Tensor:
    turned = x.flip(axis) if reverse else x
    found = function(turned, axis, dtype=x.dtype)
    if exclusive:
        lengths = list(x.shape)
        lengths[axis] = 1
        first = torch.full(lengths, start, dtype=x.dtype, device=x.device)
        found = torch.cat([first, found], axis).narrow(axis, 0, x.shape[axis])
    return found.flip(axis) if reverse else found


def distinct(x: torch.Tensor, axis: int | None, ordered: bool) -> Distinct:
    """Return each slice once, where it is first, which one each place has, and how often.

    Args:
        x: The elements.
        axis: The axis of the slices; None for single elements, all in a row.
        ordered: Whether slices come in ascending order, else as they first appear.
    """
    items, along = (x.reshape(-1), 0) if axis is None else (x, axis)
    values, which, counts = torch.unique(
        items, sorted=True, return_inverse=True, return_counts=True, dim=along
    )
    places = torch.arange(items.shape[along], device=x.device)
    first = torch.full_like(counts, items.shape[along]).scatter_reduce(0, which, places, "amin")
    if not ordered:
        order = torch.argsort(first)
        rank = torch.empty_like(order).scatter(0, order, places[: order.shape[0]])
        values, which = values.index_select(along, order), rank[which]
        first, counts = first[order], counts[order]
    return values, first, which, counts


def distinct_text(
    x: Array, axis: int | None, ordered: bool
) -> tuple[Array, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what `distinct` does, of text: in the order of its characters' numbers."""
    words, codes = np.unique(x.reshape(-1), return_inverse=True)
    values, *rest = distinct(torch.from_numpy(codes.reshape(x.shape)), axis, ordered)
    return np.asarray(words[values.numpy()], dtype=object), rest[0], rest[1], rest[2]


@lowering("TopK", 1)
def top_k(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the largest or smallest elements along an axis, in order, and their places."""
    data = node.inputs[0]
    axis = known_axis(to, node.attributes["axis"], data)
    count = node.attributes["k"] if node.version < 10 else to.number(node.inputs[1])
    shape = to.graph.value(data).shape
    length = shape[axis] if shape else None
    if isinstance(count, int) and isinstance(length, int) and count > length:
        to.refuse(f"{count} elements of {length}")
    largest = bool(node.attributes.get("largest", 1))
    return to.items(to.call(first_largest, to.value(data), count, axis, largest), 2)


@lowering("CumSum", 11)
@lowering("CumProd", 26)
def cumulative(node: Node, to: Builder) -> torch.fx.Node:
    """Return running sums or products along an axis."""
    axis = to.number(node.inputs[1])
    if isinstance(axis, int):
        axis = known_axis(to, axis, node.inputs[0])
    modes = bool(node.attributes["exclusive"]), bool(node.attributes["reverse"])
    function = running_sum if node.operator == "CumSum" else running_product
    return to.call(function, to.value(node.inputs[0]), axis, *modes)


@lowering("Unique", 11, raw=True)
def unique(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the distinct elements or slices, their first places, inverse places and counts."""
    data = node.inputs[0]
    axis: Any = node.attributes.get("axis")
    if axis is not None:
        axis = known_axis(to, axis, data)
    ordered = bool(node.attributes["sorted"])
    if to.graph.value(data).dtype == object:
        return to.items(to.call(distinct_text, to.value(data), axis, ordered), 4)
    dtype = to.graph.value(data).dtype
    if dtype is not None and dtype.kind == "c":
        to.refuse("complex numbers have no order")
    standing = None if dtype is None else stand_in(dtype.name, node.operator)
    if isinstance(standing, str):
        to.refuse(standing)
    x = to.value(data) if standing is None else to.call(standing.into, to.value(data))
    values, *rest = to.items(to.call(distinct, x, axis, ordered), 4)
    return (values if standing is None else to.call(standing.back, values), *rest)
