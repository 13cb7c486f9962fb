"""What graphs that run in turns have in common: their values, row by row, put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from xbench_adapters.pytorch.lower.shared.moved import stacked
from xbench_adapters.pytorch.tensors import torch_dtype

if TYPE_CHECKING:
    from xbench.graph.plain import Graph


@dataclass(frozen=True, slots=True)
class Rows:
    """A value that each turn gives, stacked.

    Attributes:
        dtype: Its element type; None for text.
        shape: Its shape in one turn, zero where a length is not known; None where not even
            the rank is.
        axis: The axis along which turns are stacked.
        backwards: Whether the last turn comes first.
    """

    dtype: torch.dtype | None
    shape: tuple[int, ...] | None
    axis: int = 0
    backwards: bool = False

    def put(self, rows: Sequence[Any], device: torch.device | None) -> Any:
        """Return the rows stacked; where there are none, an empty array of the right rank."""
        if rows:
            return stacked(rows[::-1] if self.backwards else rows, self.axis)
        if self.shape is None:
            raise ValueError("no turn was taken, and the shape of what one gives is not known")
        place = self.axis % (len(self.shape) + 1)
        shape = (*self.shape[:place], 0, *self.shape[place:])
        if self.dtype is None:
            return np.empty(shape, dtype=object)
        return torch.empty(shape, dtype=self.dtype, device=device)


def rows_of(
    body: Graph, names: Sequence[str], axes: Sequence[int], backwards: Sequence[bool]
) -> tuple[Rows, ...]:
    """Return how results of a body are stacked."""
    found = []
    for name, axis, back in zip(names, axes, backwards, strict=True):
        value = body.value(name)
        shape = None
        if value.shape is not None:
            shape = tuple(dim if isinstance(dim, int) else 0 for dim in value.shape)
        found.append(Rows(torch_dtype(value.dtype), shape, axis, back))
    return tuple(found)


def device_of(module: nn.Module, *values: Any) -> torch.device | None:
    """Return the device of the first tensor among values, or else of a module's weights."""
    for one in _tensors(values):
        return one.device
    for held in [*module.parameters(), *module.buffers()]:
        return held.device
    return None


def _tensors(values: Iterable[Any]) -> Iterable[torch.Tensor]:
    for one in values:
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, list | tuple):
            yield from _tensors(one)
