"""Whole numbers without a sign where a wider type, or their bits with a sign, do not do.

PyTorch holds 16, 32 and 64 bits without a sign and has hardly any arithmetic for them. Of 64
bits there is no wider type: quotients and the like come from numbers with a sign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from xbench_adapters.pytorch.builder import Builder

LARGEST = 2**63 - 1
LOWEST = -(2**63)

_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64}
_NAMES = frozenset({"uint16", "uint32", "uint64"})


def type_name(to: Builder, name: str) -> str:
    """Return the name of a value's element type, or ``""`` where it is not known."""
    dtype = to.graph.value(name).dtype
    return "" if dtype is None else dtype.name


def lacks_arithmetic(to: Builder, name: str) -> bool:
    """Return whether a value has no sign and more than 8 bits."""
    return type_name(to, name) in _NAMES


def bits(x: torch.Tensor) -> torch.Tensor:
    """Return the same bits with a sign."""
    return x.view(_SIGNED[x.dtype])


def below(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return where bits of 64 stand for a lower number without a sign than others do."""
    return (left ^ LOWEST) < (right ^ LOWEST)


def parts(left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return quotient and remainder of numbers without a sign, all as bits of 64.

    Half of the dividend has a sign bit of zero, so that it is divided as it is; the last bit
    then adds one to the quotient or not. A divisor of 2**63 or more goes in once or never.
    """
    large = right < 0
    divisor = torch.where(large, 1, right)
    quotient = torch.div((left >> 1) & LARGEST, divisor, rounding_mode="trunc") << 1
    rest = left - quotient * divisor
    once_more = ~below(rest, divisor)
    quotient = quotient + once_more
    rest = torch.where(once_more, rest - divisor, rest)
    once = ~below(left, right)
    quotient = torch.where(large, once.to(torch.int64), quotient)
    return quotient, torch.where(large, torch.where(once, left - right, left), rest)


def quotient(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return quotients of numbers without a sign, in their type."""
    wider = _WIDER.get(left.dtype)
    if wider is None:
        return parts(bits(left), bits(right))[0].view(left.dtype)
    return torch.div(left.to(wider), right.to(wider), rounding_mode="trunc").to(left.dtype)


def remainder(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return remainders of numbers without a sign, in their type."""
    wider = _WIDER.get(left.dtype)
    if wider is None:
        return parts(bits(left), bits(right))[1].view(left.dtype)
    return torch.remainder(left.to(wider), right.to(wider)).to(left.dtype)


def same(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return where numbers without a sign are equal."""
    return bits(left) == bits(right)


def sign(x: torch.Tensor) -> torch.Tensor:
    """Return one where numbers without a sign are not zero, in their type."""
    return (bits(x) != 0).to(x.dtype)


def shifted_left(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Return numbers without a sign whose bits moved up; zero where none is left."""
    number, count = bits(x), bits(by)
    inside = (count >= 0) & (count < 8 * x.element_size())
    moved = torch.bitwise_left_shift(number, torch.where(inside, count, 0))
    return torch.where(inside, moved, 0).view(x.dtype)


def shifted_right(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Return numbers without a sign whose bits moved down; zero where none is left."""
    number, count = bits(x), bits(by)
    inside = (count >= 1) & (count < 8 * x.element_size())
    # After one step the highest bit is zero, and a shift with a sign is one without.
    clear = torch.bitwise_and(torch.bitwise_right_shift(number, 1), torch.iinfo(number.dtype).max)
    moved = torch.bitwise_right_shift(clear, torch.where(inside, count - 1, 0))
    return torch.where(inside, moved, torch.where(count == 0, number, 0)).view(x.dtype)


def mean_of_bits(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """Return means, cut to whole numbers, of numbers without a sign, as bits of 64."""
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    total = torch.sum(x, axes, keepdim)
    return parts(total, torch.full_like(total, count))[0]


def root_of_bits(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """Return roots of sums of squares of numbers without a sign, as bits of 64."""
    squares = torch.sum(torch.square(x), axes, keepdim)
    wide = squares.double()
    return torch.sqrt(torch.where(wide < 0, wide + 2.0**64, wide)).to(torch.int64)
