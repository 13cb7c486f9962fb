"""Arrays and element types of ONNX as PyTorch's."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from xbench.graph.plain import Array

_NUMPY_HAS = {
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "uint16": torch.uint16,
    "uint32": torch.uint32,
    "uint64": torch.uint64,
    "bool": torch.bool,
    "complex64": torch.complex64,
    "complex128": torch.complex128,
}
_BITS = {
    "bfloat16": torch.bfloat16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e4m3fnuz": torch.float8_e4m3fnuz,
    "float8_e5m2": torch.float8_e5m2,
    "float8_e5m2fnuz": torch.float8_e5m2fnuz,
    "float8_e8m0fnu": torch.float8_e8m0fnu,
}
"""Types that NumPy lacks and PyTorch has: arrays become tensors by their bits."""

_HELD = {
    "int2": torch.int8,
    "int4": torch.int8,
    "uint2": torch.uint8,
    "uint4": torch.uint8,
    "float4_e2m1fn": torch.float32,
}
"""Types that PyTorch lacks: each element is held as its value, in a type that has it."""

DTYPES: dict[str, torch.dtype] = {**_NUMPY_HAS, **_BITS, **_HELD}
"""The type that holds elements of each ONNX type; text has none and stays a NumPy array."""

FLOATS = {1: torch.float32, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16}
"""The types that nodes may ask to be computed in, by ONNX's numbers for them."""


def torch_dtype(dtype: np.dtype[Any] | None) -> torch.dtype | None:
    """Return the type that holds elements of ``dtype``, or None where there is none."""
    return None if dtype is None else DTYPES.get(dtype.name)


def tensor_of(array: Array) -> torch.Tensor:
    """Return a tensor with a copy of ``array``, contiguous and aligned as PyTorch allocates.

    A copy, since the array may be a mapped file or share a message's bytes.
    """
    name = array.dtype.name
    if name in _BITS:
        bits = np.ascontiguousarray(array).view(np.int16 if name == "bfloat16" else np.uint8)
        return torch.tensor(bits).view(_BITS[name]).reshape(array.shape)  # no axis became one
    tensor = torch.empty(array.shape, dtype=DTYPES[name])
    if name in _NUMPY_HAS and min(array.strides, default=0) >= 0:
        # Five times as fast as NumPy where the array is a transposed one.
        return tensor.copy_(_shared(array))
    tensor.numpy()[...] = array
    return tensor


def _shared(array: Array) -> torch.Tensor:
    """Return a tensor over the array's own memory, to be read only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of memory that must not be written to
        return torch.from_numpy(array)


def writable(array: Array) -> Array:
    """Return the array itself, or a copy where PyTorch could not share its memory."""
    if array.flags.writeable and array.flags.c_contiguous:
        return array
    return np.array(array, order="C")


def tensor_over(array: Array) -> torch.Tensor:
    """Return a tensor over the memory of an array, or of a copy where that cannot be shared."""
    array = writable(array)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def array_over(tensor: torch.Tensor) -> Array:
    """Return an array over the memory of a tensor on the CPU."""
    if tensor.dtype is not torch.bfloat16:
        return tensor.numpy()
    import ml_dtypes  # NumPy has no such type of its own

    return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)


def as_text(one: object) -> str:
    """Return an element of a text array, which ONNX keeps as UTF-8."""
    return one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)


def text_array(values: tuple[str, ...], shape: tuple[int, ...]) -> Array:
    """Return an array of text: PyTorch has no tensor for it."""
    return np.array(values, dtype=object).reshape(shape)
