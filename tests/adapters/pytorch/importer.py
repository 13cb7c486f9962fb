"""The PyTorch importer under test."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch

from tests.adapters.importers.importer import Importer
from xbench_adapters.pytorch import import_onnx
from xbench_adapters.pytorch.tensors import tensor_of


def taken(given: Any) -> Any:
    """Return a value as an imported module takes it: text stays an array."""
    if isinstance(given, list):
        return [taken(one) for one in given]
    if given is None:
        return None
    array = np.asarray(given)
    return array if array.dtype.kind == "O" else tensor_of(array)


def read(found: Any) -> Any:
    """Return what a module gave as arrays, of types that NumPy lacks too."""
    if isinstance(found, list | tuple):
        return [read(one) for one in found]
    if not isinstance(found, torch.Tensor):
        return found
    name = str(found.dtype).removeprefix("torch.")
    if found.dtype == torch.bfloat16:
        return found.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    if name.startswith("float8"):
        return found.contiguous().view(torch.uint8).numpy().view(getattr(ml_dtypes, name))
    return found.numpy()


ERRORS = (ValueError, IndexError, RuntimeError)
IMPORTER = Importer(
    "pytorch", import_onnx, taken, read, ERRORS, pace=1.0, mode=torch.inference_mode
)
agree, given_by, ran, run, said = (
    IMPORTER.agree,
    IMPORTER.given_by,
    IMPORTER.ran,
    IMPORTER.run,
    IMPORTER.said,
)
few = IMPORTER.examples(25)
