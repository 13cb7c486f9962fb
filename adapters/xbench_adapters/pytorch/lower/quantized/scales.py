"""Scales and zero points: how they meet a tensor, and how floats become whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.fx

from xbench_adapters.pytorch.tensors import DTYPES

if TYPE_CHECKING:
    from xbench_adapters.pytorch.builder import Builder

LIMITS: dict[str, tuple[int, int]] = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int4": (-8, 7),
    "uint4": (0, 15),
    "int2": (-2, 1),
    "uint2": (0, 3),
}
"""The least and the largest number of each type that floats are quantised to."""

Target = tuple[int, int, torch.dtype]
"""The least and the largest number that a result may be, and the type that holds it."""

Quantised = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""Whole numbers, their scale, and their zero point as floats."""


def spread(value: torch.Tensor, shape: Sequence[int], axis: int, block: int) -> torch.Tensor:
    """Return a scale or zero point so that it broadcasts against a tensor of ``shape``.

    Args:
        value: One number, one for each place of ``axis``, or one for each block along it.
        shape: The shape of the tensor that it goes with.
        axis: The axis along which it changes.
        block: How many elements in a row share a number; 0 where it is a vector.
    """
    if block and value.numel() != 1:
        return value.repeat_interleave(block, axis).narrow(axis, 0, shape[axis])
    return along(value, axis, len(shape))


def along(value: torch.Tensor, axis: int, rank: int) -> torch.Tensor:
    """Return a number, or a vector laid along one axis of ``rank``."""
    if value.numel() == 1:
        return value.reshape(())
    lengths = [1] * rank
    lengths[axis] = -1
    return value.reshape(lengths)


def quantized(
    x: torch.Tensor, zero: torch.Tensor | None, low: int, high: int, dtype: torch.dtype
) -> torch.Tensor:
    """Return floats as whole numbers: rounded half to even, moved by ``zero``, kept in range.

    What is no number becomes the least one. ``x`` is used up: memory is not asked for anew.
    """
    found = x.round_()
    if zero is not None:
        found = found.add_(zero)
    return found.clamp_(low, high).nan_to_num_(low).to(dtype)


def real(x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor | None) -> torch.Tensor:
    """Return the floats that whole numbers stand for, with one scale for all."""
    found = x.to(torch.float32)
    if zero is not None:
        found = found - zero.reshape(())
    return found * scale.reshape(())


def requantized(
    x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor | None, target: Target
) -> torch.Tensor:
    """Return floats as whole numbers of one scale."""
    single = None if zero is None else zero.reshape(())
    return quantized(x / scale.reshape(()), single, *target)


def offset(to: Builder, name: str) -> torch.fx.Node | None:
    """Return a zero point as floats; None where there is none, or it is known to be zero."""
    if not name:
        return None
    array = to.constant(name)
    if array is None:
        return to.call(torch.Tensor.to, to.value(name), torch.float32)
    wide = np.asarray(array).astype(np.float32)
    return to.fixed(f"{name}_offset", wide) if wide.any() else None


def target_of(to: Builder, name: str) -> Target:
    """Return what numbers of the type of ``name`` may be, and what holds them."""
    dtype = to.graph.value(name).dtype
    if dtype is None:
        to.refuse(f"the element type of {name!r} must be known")
    if dtype.name not in LIMITS:
        to.refuse(f"{dtype.name} is no type to quantise to")
    return (*LIMITS[dtype.name], DTYPES[dtype.name])
