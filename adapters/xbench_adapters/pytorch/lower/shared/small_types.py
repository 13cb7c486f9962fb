"""Element types that PyTorch has in part, or not at all: what a cast makes of numbers.

Floats of 8 bits are PyTorch's own. Those of 4 bits are held in 32, and integers of 4 or 2
bits in 8, each element as its value. Text is a NumPy array of objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from xbench_adapters.pytorch.tensors import DTYPES, as_text

if TYPE_CHECKING:
    from xbench.graph.plain import Array

FLOAT8 = {
    "float8_e4m3fn": 448.0,
    "float8_e4m3fnuz": 240.0,
    "float8_e5m2": 57344.0,
    "float8_e5m2fnuz": 57344.0,
}
"""Floats of 8 bits with a fraction, and the largest number of each."""

WIDTHS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4_e2m1fn": 4}
"""Bits of the types of less than a byte."""

EIGHTS = frozenset({*(DTYPES[name] for name in FLOAT8), torch.float8_e8m0fnu})

_FOURS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""What the bits of a float of 4 stand for, without the sign."""


def converted(x: torch.Tensor, name: str, saturate: bool, round_mode: str) -> torch.Tensor:
    """Return elements in the type of a name, as ONNX's casts make them.

    Args:
        x: A tensor, or an array of text.
        name: NumPy's name of the type.
        saturate: Whether floats of 8 bits stop at their largest number.
        round_mode: How a float that is only an exponent is rounded.
    """
    if isinstance(x, np.ndarray):
        if name == "object":
            return x
        x = _read(x, name)
    if name == "object":
        return spelled(x)  # type: ignore[return-value]  # text is an array
    if x.dtype in EIGHTS:
        x = x.to(torch.float32)
    if name in FLOAT8:
        # To 32 bits first, as in ONNX's reference, though a double is then rounded twice.
        return to_float8(x.to(torch.float32), name, saturate)
    if name == "float8_e8m0fnu":
        return to_exponent(x, saturate, round_mode)
    if name == "float4_e2m1fn":
        return to_float4(x)
    if name in WIDTHS:
        return to_few_bits(x, WIDTHS[name], name.startswith("u"))
    if name == "float16" and x.dtype == torch.float64:
        x = to_odd(x)
    return x.to(DTYPES[name])


def to_odd(x: torch.Tensor) -> torch.Tensor:
    """Return 64 bits of float in 32 so that rounding the result again rounds only once.

    What is not exact is cut towards zero and its last bit set: it is never halfway.
    """
    near = x.to(torch.float32)
    back = near.to(torch.float64)
    bits = near.contiguous().view(torch.int32)
    cut = (bits - (back.abs() > x.abs()).to(torch.int32)) | 1
    return torch.where((back == x) | x.isnan(), bits, cut).view(torch.float32)


def to_float8(x: torch.Tensor, name: str, saturate: bool) -> torch.Tensor:
    """Return floats of 8 bits; beyond the largest it or, without ``saturate``, NaN or infinity."""
    if name == "float8_e4m3fn" and not saturate:
        # Some versions of PyTorch stop at the largest number by themselves.
        x = x.masked_fill(x.abs() > 464.0, torch.nan)  # halfway to the next there would be
    return (x.clamp(-FLOAT8[name], FLOAT8[name]) if saturate else x).to(DTYPES[name])


def to_exponent(x: torch.Tensor, saturate: bool, round_mode: str) -> torch.Tensor:
    """Return the exponents of numbers, which are floats without sign and fraction."""
    bits = x.to(torch.float32).contiguous().view(torch.int32)
    exponent = (bits >> 23) & 0xFF
    if round_mode == "up":
        more = (bits & 0x7FFFFF) != 0
    elif round_mode == "nearest":
        half, rest = (bits & 0x400000) != 0, (bits & 0x3FFFFF) != 0
        more = half & (rest | (exponent > 0))
    else:
        more = torch.zeros_like(bits, dtype=torch.bool)
    more = more & (exponent != 0xFF)
    if saturate:
        more = more & (exponent != 0xFE)
    return (exponent + more).to(torch.uint8).view(torch.float8_e8m0fnu)


def to_float4(x: torch.Tensor) -> torch.Tensor:
    """Return the nearest floats of 4 bits, of which the largest is 6; NaN becomes 0."""
    x = x.to(torch.float32)
    return torch.where(x.isnan(), torch.copysign(torch.zeros_like(x), -x), nearest_float4(x))


def nearest_float4(x: torch.Tensor) -> torch.Tensor:
    """Return the nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives, half to even."""
    size = x.abs()
    step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    return torch.copysign(torch.clamp(torch.round(size / step) * step, max=6.0), x)


def to_few_bits(x: torch.Tensor, width: int, unsigned: bool) -> torch.Tensor:
    """Return the low bits of whole numbers; floats are cut towards zero."""
    low = x.to(torch.int64) & ((1 << width) - 1)
    if unsigned:
        return low.to(torch.uint8)
    sign = 1 << (width - 1)
    return ((low ^ sign) - sign).to(torch.int8)


def spelled(x: torch.Tensor) -> Array:
    """Return numbers as text, as NumPy spells them; what it cannot spell as a float of 32 bits."""
    small = x.dtype == torch.bfloat16 or x.dtype in EIGHTS
    plain: Array = (x.to(torch.float32) if small else x).cpu().numpy()
    texts: Array = plain.astype(np.str_).astype(object)
    return texts


def _read(x: Array, name: str) -> torch.Tensor:
    """Return the numbers that text spells: whole ones in 64 bits, others as float64."""
    texts = [as_text(one) for one in x.reshape(-1)]
    if name == "bool":
        raise ValueError("ONNX does not say which text is true")
    if name.startswith(("int", "uint")):
        kind = np.uint64 if name == "uint64" else np.int64
        return torch.tensor(np.array([_whole(one) for one in texts], kind)).reshape(x.shape)
    return torch.tensor([float(one) for one in texts], dtype=torch.float64).reshape(x.shape)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return int(float(text))


def same_bits(x: torch.Tensor, source: str, name: str) -> torch.Tensor:
    """Return the elements whose bits are those of the elements of ``x``.

    Args:
        x: The tensor.
        source: NumPy's name of its type.
        name: NumPy's name of the type wanted, of as many bits.
    """
    if source not in WIDTHS:
        if name == "bool":
            return x.view(torch.uint8) != 0  # PyTorch has no other truth than 1
        return x.view(DTYPES[name])
    width = WIDTHS[source]
    if source == "float4_e2m1fn":
        steps = torch.tensor(_FOURS, device=x.device)
        bits = torch.searchsorted(steps, x.abs().contiguous()) + 8 * x.signbit()
    else:
        bits = x.to(torch.int64) & ((1 << width) - 1)
    if name != "float4_e2m1fn":
        return to_few_bits(bits, width, name.startswith("u"))
    values = torch.tensor((*_FOURS, *(-one for one in _FOURS)), device=x.device)
    return values[bits]
