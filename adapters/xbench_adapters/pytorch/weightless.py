"""Lowering a graph only to see whether it can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from xbench_adapters.pytorch.builder import Builder
from xbench_adapters.pytorch.tensors import torch_dtype

if TYPE_CHECKING:
    from xbench.graph.plain import Array

_SMALL = 1024
"""Elements of a weight that is copied all the same: a lowering may look at it."""


class Weightless(Builder):
    """A builder whose module cannot run: its large weights have shape and type, and no memory.

    What it refuses, `Builder` refuses, and the other way round.
    """

    def parameter(self, array: Array) -> nn.Parameter:
        """Return a parameter of the array's shape and type, without a copy of what is large."""
        dtype = torch_dtype(array.dtype)
        if array.size <= _SMALL or dtype is None:
            return super().parameter(array)
        empty = torch.empty(array.shape, dtype=dtype, device="meta")
        return nn.Parameter(empty, requires_grad=False)
