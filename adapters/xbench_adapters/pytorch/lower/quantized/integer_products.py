"""Products of whole numbers, exact: in floats wide enough that no sum is rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.scales import offset

if TYPE_CHECKING:
    from xbench.graph.plain import Array
    from xbench_adapters.pytorch.builder import Builder

EXACT = 2**24
"""Up to here float32 holds every whole number, and so every sum that stays within it."""

REACH = 255
"""The most that a number of 8 bits and its zero point are apart."""

Window = tuple[list[int], list[int], list[int], int, str]
"""Strides, padding, dilations (each may be empty), groups, and automatic padding."""

_CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)


def fits(terms: int) -> bool:
    """Return whether float32 is exact for sums of this many products."""
    return terms * REACH * REACH <= EXACT


def centred(x: torch.Tensor, zero: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    """Return what numbers differ from their zero point by, as floats."""
    found = x.to(dtype)
    return found if zero is None else found - zero.to(dtype)


def by_row(value: torch.Tensor) -> torch.Tensor:
    """Return a number, or a vector with one for each row, so that it meets a matrix."""
    if value.numel() == 1:
        return value.reshape(())
    return value.unsqueeze(-1) if value.dim() == 1 else value


def by_column(value: torch.Tensor) -> torch.Tensor:
    """Return a number, or one for each column, so that it meets a matrix."""
    return value.reshape(()) if value.numel() == 1 else value


def product(
    a: torch.Tensor, b: torch.Tensor, a_zero: torch.Tensor | None, b_zero: torch.Tensor | None
) -> torch.Tensor:
    """Return the product of matrices less their zero points: whole numbers, held as floats.

    Args:
        a: Whole numbers of 8 bits.
        b: The same; or floats that are less their zero point already, in the type that holds
            every sum with them.
        a_zero: As floats: one, or one for each row.
        b_zero: As floats: one, or one for each column.
    """
    small = torch.float32 if fits(a.shape[-1]) else torch.float64
    dtype = b.dtype if b.is_floating_point() else small
    left = centred(a, None if a_zero is None else by_row(a_zero), dtype)
    right = centred(b, None if b_zero is None else by_column(b_zero), dtype)
    return torch.matmul(left, right)


def to_int32(x: torch.Tensor, terms: int) -> torch.Tensor:
    """Return whole floats as int32, modulo 2**32 where sums of ``terms`` products need it."""
    if terms * REACH * REACH < 2**31:
        return x.to(torch.int32)
    return x.to(torch.int64).to(torch.int32)


def convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    zeros: tuple[torch.Tensor | None, torch.Tensor | None],
    bias: torch.Tensor | None,
    window: Window,
) -> torch.Tensor:
    """Return the convolution of numbers less their zero points: whole, held as floats.

    Args:
        x: Whole numbers of 8 bits.
        weight: The same; or floats that are less their zero point already, in the type that
            holds every sum with them.
        zeros: The zero points of both, as floats; that of the weight one a channel, or one.
        bias: Whole numbers that are added, one a channel.
        window: How the kernel slides.
    """
    strides, _, dilations, groups, _ = window
    dtype = _wide_enough(x, weight, bias)
    left = centred(x, zeros[0], dtype)
    zero = zeros[1]
    if zero is not None and zero.numel() > 1:
        zero = zero.reshape(-1, *[1] * (weight.dim() - 1))
    before, after = _padding(x, weight, window)
    if before != after:
        ends = [end for pair in zip(reversed(before), reversed(after), strict=True) for end in pair]
        left, before = functional.pad(left, ends), [0] * len(before)
    found = _CONVOLUTIONS[weight.dim() - 3](
        left,
        centred(weight, zero, dtype),
        None if bias is None else bias.to(dtype),
        strides or 1,
        before,
        dilations or 1,
        groups,
    )
    # Other devices' fast algorithms are not exact for whole numbers.
    return found if x.device.type == "cpu" else torch.round(found)


def _wide_enough(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.dtype:
    if x.device.type != "cpu":
        return torch.float64
    if weight.is_floating_point():
        return weight.dtype
    return torch.float32 if bias is None and fits(weight[0].numel()) else torch.float64


def _padding(x: torch.Tensor, weight: torch.Tensor, window: Window) -> tuple[list[int], list[int]]:
    """Return how much each axis is padded before and after."""
    strides, pads, dilations, _, kind = window
    axes = weight.dim() - 2
    if kind not in ("SAME_UPPER", "SAME_LOWER"):
        given = pads if pads and kind != "VALID" else [0] * (2 * axes)
        return list(given[:axes]), list(given[axes:])
    before, after = [], []
    for place in range(axes):
        extent = (weight.shape[2 + place] - 1) * (dilations[place] if dilations else 1) + 1
        total = same_padding(x.shape[2 + place], strides[place] if strides else 1, extent)
        first = total // 2 if kind == "SAME_UPPER" else total - total // 2
        before.append(first)
        after.append(total - first)
    return before, after


def same_padding(length: int, stride: int, extent: int) -> int:
    """Return the padding with which an axis has as many windows as strides."""
    return max((-(-length // stride) - 1) * stride + extent - length, 0)


def known_factor(
    to: Builder, name: str, zero: str, axes: Sequence[int], added: Array | None = None
) -> Array | None:
    """Return a known factor less its zero point, in floats that hold every sum with it exactly.

    Args:
        to: The builder.
        name: The factor: whole numbers of 8 bits.
        zero: Its zero point, ``""`` for none; along the axis that ``axes`` leaves out.
        axes: The axes that are summed over.
        added: Known whole numbers that are added to the sums.
    """
    array, offsets = to.constant(name), to.constant(zero) if zero else None
    if array is None or (zero and offsets is None):
        return None
    whole = array.astype(np.int64)
    if offsets is not None:
        whole = whole - _laid(offsets.astype(np.int64), whole.ndim, axes)
    most = REACH * int(np.abs(whole).sum(axis=tuple(axes)).max(initial=0))
    if added is not None:
        most += int(np.abs(added.astype(np.int64)).max(initial=0))
    return whole.astype(np.float32 if most <= EXACT else np.float64)


def _laid(offsets: Array, rank: int, axes: Sequence[int]) -> Array:
    if offsets.size == 1:
        return offsets.reshape(())
    if offsets.ndim != 1:
        return offsets
    kept = [place for place in range(rank) if place not in {axis % rank for axis in axes}]
    shape = [1] * rank
    shape[kept[-1] if rank - 1 in kept else kept[0]] = -1
    return offsets.reshape(shape)


def factor(to: Builder, name: str, zero: str) -> tuple[torch.fx.Node, torch.fx.Node | None]:
    """Return the right factor of a product, and its zero point where it still has one."""
    known = known_factor(to, name, zero, (-2,)) if _is_matrix(to, name) else None
    if known is not None:
        return to.fixed(f"{name}_centred", known), None
    return to.value(name), offset(to, zero)


def _is_matrix(to: Builder, name: str) -> bool:
    array = to.constant(name)
    return array is not None and array.ndim >= 2
