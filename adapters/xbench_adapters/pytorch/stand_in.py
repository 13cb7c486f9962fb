"""Element types that PyTorch computes with in the shape of another one.

PyTorch holds 16, 32 and 64 bits without a sign and 8 bits of float, but lacks most kernels
for them. While a node is lowered, its inputs of such a type stand in another type, and its
outputs go back: wide enough that nothing is lost, or the same bits where elements are only
moved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from xbench.graph.stand_ins import Way, way

_LOWEST = -(2**63)
"""The sign bit of 64: flipped, numbers without a sign are in the order of those with one."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """How a type is computed with: what it becomes, there and back."""

    dtype: torch.dtype
    into: Callable[[torch.Tensor], torch.Tensor]
    back: Callable[[torch.Tensor], torch.Tensor]


def to_int32(x: torch.Tensor) -> torch.Tensor:
    """Return the numbers of 16 bits in 32."""
    return x.to(torch.int32)


def to_int64(x: torch.Tensor) -> torch.Tensor:
    """Return the numbers of 32 bits in 64."""
    return x.to(torch.int64)


def to_uint16(x: torch.Tensor) -> torch.Tensor:
    """Return numbers modulo 2**16."""
    return x.to(torch.uint16)


def to_uint32(x: torch.Tensor) -> torch.Tensor:
    """Return numbers modulo 2**32."""
    return x.to(torch.uint32)


def bits_of_uint64(x: torch.Tensor) -> torch.Tensor:
    """Return the same 64 bits with a sign: right for all that is modulo 2**64."""
    return x.view(torch.int64)


def bits_to_uint64(x: torch.Tensor) -> torch.Tensor:
    """Return the same 64 bits without a sign."""
    return x.contiguous().view(torch.uint64)


def order_of_uint64(x: torch.Tensor) -> torch.Tensor:
    """Return numbers with a sign in the same order: right for all that compares."""
    return x.view(torch.int64) ^ _LOWEST


def order_to_uint64(x: torch.Tensor) -> torch.Tensor:
    """Return the numbers that `order_of_uint64` was given."""
    return bits_to_uint64(x ^ _LOWEST)


def bytes_of(x: torch.Tensor) -> torch.Tensor:
    """Return the bits of floats of 8 bits."""
    return x.view(torch.uint8)


def to_e4m3fn(x: torch.Tensor) -> torch.Tensor:
    """Return the floats that bits stand for."""
    return x.view(torch.float8_e4m3fn)


def to_e4m3fnuz(x: torch.Tensor) -> torch.Tensor:
    """Return the floats that bits stand for."""
    return x.view(torch.float8_e4m3fnuz)


def to_e5m2(x: torch.Tensor) -> torch.Tensor:
    """Return the floats that bits stand for."""
    return x.view(torch.float8_e5m2)


def to_e5m2fnuz(x: torch.Tensor) -> torch.Tensor:
    """Return the floats that bits stand for."""
    return x.view(torch.float8_e5m2fnuz)


def to_e8m0fnu(x: torch.Tensor) -> torch.Tensor:
    """Return the floats that bits stand for."""
    return x.view(torch.float8_e8m0fnu)


_BITS = {
    "float8_e4m3fn": StandIn(torch.uint8, bytes_of, to_e4m3fn),
    "float8_e4m3fnuz": StandIn(torch.uint8, bytes_of, to_e4m3fnuz),
    "float8_e5m2": StandIn(torch.uint8, bytes_of, to_e5m2),
    "float8_e5m2fnuz": StandIn(torch.uint8, bytes_of, to_e5m2fnuz),
    "float8_e8m0fnu": StandIn(torch.uint8, bytes_of, to_e8m0fnu),
}
_WIDER = {
    "uint16": StandIn(torch.int32, to_int32, to_uint16),
    "uint32": StandIn(torch.int64, to_int64, to_uint32),
}
_MODULAR = StandIn(torch.int64, bits_of_uint64, bits_to_uint64)
_ORDERED = StandIn(torch.int64, order_of_uint64, order_to_uint64)


def stand_in(dtype: str, operator: str) -> StandIn | str | None:
    """Return how ``operator`` computes with a type; None for as it is; text for not at all."""
    found = way(dtype, operator)
    if found is None:
        kind = "text" if dtype == "object" else dtype
        return f"PyTorch has no such arithmetic for {kind}"
    if found is Way.WIDER:
        return _WIDER[dtype]
    if found is Way.BITS:
        return _BITS[dtype]
    return {Way.MODULAR: _MODULAR, Way.ORDERED: _ORDERED}.get(found)
