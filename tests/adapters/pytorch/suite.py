"""ONNX's backend tests through the PyTorch importer: passed, refused with a reason, or wrong."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from tests.adapters.onnx_suite import Case, Value, difference
from xbench.errors import UnsupportedNodeError
from xbench_adapters.pytorch import import_onnx
from xbench_adapters.pytorch.tensors import tensor_of


def outcome(case: Case) -> str:
    """Return ``passed``, ``refused: `` and why, or ``wrong: `` and how."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # casts of NaN, on purpose
        try:
            module = import_onnx(case.model)
        except UnsupportedNodeError as error:
            return f"refused: {error.operator}: {error.detail}"
        except Exception as error:  # whatever else it raises is a fault
            return f"wrong: import raised {type(error).__name__}: {error}"
        try:
            return _run(case, module)
        except Exception as error:  # so is what the module raises
            return f"wrong: run raised {type(error).__name__}: {error}"


def _run(case: Case, module: torch.fx.GraphModule) -> str:
    for inputs, outputs in case.data:
        with torch.inference_mode():
            found = module(*map(to_torch, inputs))
        for have, want in zip(found, outputs, strict=True):
            said = difference(_in_type(have, want), want, case)
            if said:
                return f"wrong: {said}"
    return "passed"


def to_torch(given: Value) -> Any:
    """Return a value as an imported module takes it."""
    if isinstance(given, list):
        return [to_torch(one) for one in given]
    if given is None or given.dtype.kind == "O":
        return given
    return tensor_of(given)


def _in_type(found: Any, wanted: Value) -> Value:
    """Return what a module gave as arrays.

    Types that PyTorch lacks come back as their values, and are put in the type that is
    wanted; so are those that NumPy lacks.
    """
    if isinstance(found, list | tuple) and isinstance(wanted, list):
        return [_in_type(*pair) for pair in zip(found, wanted, strict=False)]
    if not isinstance(found, torch.Tensor) or not isinstance(wanted, np.ndarray):
        return found
    expected = tensor_of(wanted[:0] if wanted.ndim else wanted).dtype
    if found.dtype != expected:
        return np.empty(tuple(found.shape), dtype=object)  # told as another type
    if wanted.dtype.name == "bfloat16":
        return found.contiguous().view(torch.int16).numpy().view(wanted.dtype)
    if wanted.dtype.name.startswith("float8"):
        return found.contiguous().view(torch.uint8).numpy().view(wanted.dtype)
    return found.numpy().astype(wanted.dtype)
