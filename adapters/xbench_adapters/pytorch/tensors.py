"""Arrays and element types of ONNX as PyTorch's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from xbench.graph.plain import Array

DTYPES: dict[str, torch.dtype] = {
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
"""Element types whose arithmetic PyTorch has in full; wider unsigned ones lack kernels."""


def torch_dtype(dtype: np.dtype[Any] | None) -> torch.dtype | None:
    """Return PyTorch's element type, or None where it has none that is complete."""
    return None if dtype is None else DTYPES.get(dtype.name)


def tensor_of(array: Array) -> torch.Tensor:
    """Return a tensor with a copy of ``array``, contiguous and aligned as PyTorch allocates.

    A copy, since the array may be a mapped file or share a message's bytes.
    """
    if array.dtype.name == "bfloat16":
        whole = torch.tensor(np.ascontiguousarray(array).view(np.int16))
        return whole.view(torch.bfloat16)
    tensor = torch.empty(array.shape, dtype=DTYPES[array.dtype.name])
    tensor.numpy()[...] = array
    return tensor
