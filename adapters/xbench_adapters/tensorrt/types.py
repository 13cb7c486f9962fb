"""TensorRT's element types, and NumPy's for them."""

from __future__ import annotations

from typing import Any

from xbench.errors import UsageError

NUMPY = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
    "UINT8": "uint8",
    "FP8": "float8_e4m3fn",
}
"""NumPy's name for each type that an input or output can have. The names are those of 10 and 11."""

FLOATS = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "FP8": "fp8"}


def numpy_dtype(element: Any, name: str) -> Any:
    """Return NumPy's type for an input's or output's.

    Raises:
        UsageError: If NumPy has none.
    """
    import ml_dtypes
    import numpy as np

    spelled = NUMPY.get(element.name)
    if spelled is None:
        reason = f"{name!r} has TensorRT's type {element.name}, which no array can have"
        raise UsageError(reason, "Export the model with inputs and outputs of other types")
    return np.dtype(getattr(ml_dtypes, spelled, spelled))
