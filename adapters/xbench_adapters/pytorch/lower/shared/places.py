"""Indices into the axes of tensors, counted from either end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.fx

if TYPE_CHECKING:
    from xbench_adapters.pytorch.builder import Builder


def from_front(indices: torch.Tensor, length: int) -> torch.Tensor:
    """Return indices counted from the front; those outside stay outside, and raise."""
    return torch.where(indices < 0, indices + length, indices)


def from_either_end(indices: torch.Tensor, x: torch.Tensor, axis: int) -> torch.Tensor:
    """Return indices into an axis of ``x``, counted from the front."""
    return from_front(indices.to(torch.int64), x.shape[axis])


def known_axis(to: Builder, axis: int, name: str) -> int:
    """Return an axis of ``name``: from the front, where the rank is known, and in range."""
    rank = to.graph.value(name).rank
    return axis if rank is None else to.axis(axis, rank)


def places_of(to: Builder, name: str, data: str, axis: int) -> torch.fx.Node:
    """Return indices into an axis of ``data``, counted from the front."""
    shape, known = to.graph.value(data).shape, to.constant(name)
    length = shape[axis] if shape else None
    if known is not None:
        places = known.astype("int64")
        if isinstance(length, int):
            places = np.where(places < 0, places + length, places)
        if not places.size or places.min() >= 0:
            return to.fixed(f"{name}_places", places)
    if not isinstance(length, int):
        return to.call(from_either_end, to.value(name), to.value(data), axis)
    indices, dtype = to.value(name), to.graph.value(name).dtype
    if dtype is None or dtype.name != "int64":
        indices = to.call(torch.Tensor.to, indices, torch.int64)
    return to.call(from_front, indices, length)
