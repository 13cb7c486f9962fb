"""Powers: bases and exponents of different types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared.broadcasting import pair, tensors
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_EXACT = 2048
"""Whole numbers up to which every float type holds each."""


@lowering("Pow", raw=True)
def power(node: Node, to: Builder) -> torch.fx.Node:
    """Return powers, in the type of the base."""
    base, exponent = node.inputs
    if to.dtype(base) == to.dtype(exponent):
        if to.floating(base):
            return to.call(torch.pow, *pair(node, to))
        return to.call(torch.pow, *tensors(node, to))
    number = _number(node, to)
    if number is not None:
        return to.call(torch.pow, to.value(base), number)
    return to.call(mixed_power, *tensors(node, to))


def _number(node: Node, to: Builder) -> int | None:
    """Return a single known whole exponent of a float base, which PyTorch takes as it is."""
    base, exponent = node.inputs
    array, rank = to.constant(exponent), to.graph.value(base).rank
    if array is None or array.size != 1 or rank is None or array.ndim > rank:
        return None
    if not to.floating(base) or array.dtype.kind not in "iu":
        return None
    number = int(array.reshape(-1)[0])
    return number if abs(number) <= _EXACT else None


def mixed_power(base: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """Return powers whose exponents have another type than their bases."""
    if not base.is_floating_point() and not exponent.is_floating_point():
        return torch.pow(base.to(torch.int64), whole_exponent(exponent)).to(base.dtype)
    if base.is_floating_point() and exponent.is_floating_point():
        wide = torch.promote_types(base.dtype, exponent.dtype)
    else:
        wide = torch.float64  # it holds whole numbers of 32 bits, and of 64 best
    return torch.pow(base.to(wide), exponent.to(wide)).to(base.dtype)


def whole_exponent(exponent: torch.Tensor) -> torch.Tensor:
    """Return exponents in 64 bits with a sign, such that powers modulo 2**64 are the same.

    Powers of an odd number repeat after 2**62 at most, and those of an even one are zero from
    64 on: of a larger exponent only the remainder by 2**62 counts, and that it is large.
    """
    if exponent.dtype != torch.uint64:
        return exponent.to(torch.int64)
    same = exponent.view(torch.int64)
    return torch.where(same < 0, (same & (2**62 - 1)) | 2**62, same)
