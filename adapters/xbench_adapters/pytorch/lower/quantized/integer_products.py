"""Products of whole numbers, exact: in floats wide enough that no sum is rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.fx

from xbench_adapters.pytorch.lower.convolution import convolved
from xbench_adapters.pytorch.lower.quantized.scales import offset
from xbench_adapters.pytorch.lower.shared.windows import Rule

if TYPE_CHECKING:
    from xbench.graph.plain import Array
    from xbench_adapters.pytorch.builder import Builder

EXACT = 2**24
"""Up to here float32 holds every whole number, and so every sum that stays within it."""

REACH = 255
"""The most that a number of 8 bits and its zero point are apart."""


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
    rule: Rule,
    groups: int,
) -> torch.Tensor:
    """Return the convolution of numbers less their zero points: whole, held as floats.

    Args:
        x: Whole numbers of 8 bits.
        weight: The same; or floats that are less their zero point already, in the type that
            holds every sum with them.
        zeros: The zero points of both, as floats; that of the weight one a channel, or one.
        bias: Whole numbers that are added, one a channel.
        rule: How the kernel slides.
        groups: The number of groups.
    """
    dtype = _wide_enough(x, weight, bias)
    left = centred(x, zeros[0], dtype)
    zero = zeros[1]
    if zero is not None and zero.numel() > 1:
        zero = zero.reshape(-1, *[1] * (weight.dim() - 1))
    added = None if bias is None else bias.to(dtype)
    found = convolved(left, centred(weight, zero, dtype), added, rule, groups)
    # Other devices' fast algorithms are not exact for whole numbers.
    return found if x.device.type == "cpu" else torch.round(found)


def _wide_enough(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.dtype:
    if x.device.type != "cpu":
        return torch.float64
    if weight.is_floating_point():
        return weight.dtype
    return torch.float32 if bias is None and fits(weight[0].numel()) else torch.float64


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
    return in_floats(whole, axes, 0 if added is None else _largest(added))


def in_floats(whole: Array, axes: Sequence[int], added: int = 0) -> Array:
    """Return whole numbers in floats that hold every sum of products with 8 bits exactly.

    Args:
        whole: The numbers.
        axes: The axes that are summed over.
        added: The largest number that is added to a sum, without its sign.
    """
    most = REACH * int(np.abs(whole).sum(axis=tuple(axes)).max(initial=0)) + added
    return whole.astype(np.float32 if most <= EXACT else np.float64)


def _largest(x: Array) -> int:
    return int(np.abs(x.astype(np.int64)).max(initial=0))


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
