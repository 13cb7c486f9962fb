"""ONNX's backend tests through the TensorFlow importer: passed, refused with a reason, or wrong."""

from __future__ import annotations

import traceback
import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from tests.adapters.onnx_suite import Case, Value, difference
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx
from xbench_adapters.tensorflow.tensors import held, tf_dtype


def outcome(case: Case, *, verbose: bool = False) -> str:
    """Return ``passed``, ``refused: `` and why, or ``wrong: `` and how."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # casts of NaN, on purpose
        try:
            module = import_onnx(case.model)
        except UnsupportedNodeError as error:
            return f"refused: {error.operator}: {error.detail}"
        except Exception as error:  # whatever else it raises is a fault
            if verbose:
                traceback.print_exc()
            return f"wrong: import raised {type(error).__name__}: {error}"
        try:
            return _run(case, module)
        except Exception as error:  # so is what the module raises
            if verbose:
                traceback.print_exc()
            return f"wrong: run raised {type(error).__name__}: {error}"


def _run(case: Case, module: Any) -> str:
    for inputs, outputs in case.data:
        found = module(*map(to_tensorflow, inputs))
        for have, want in zip(found, outputs, strict=True):
            said = difference(_in_type(have, want), want, case)
            if said:
                return f"wrong: {said}"
    return "passed"


def to_tensorflow(given: Value) -> Any:
    """Return a value as an imported module takes it."""
    if isinstance(given, list):
        return [to_tensorflow(one) for one in given]
    return given if given is None else tf.constant(held(given))


def _in_type(found: Any, wanted: Value) -> Value:
    """Return what a module gave as arrays, in the type wanted where it is held by value."""
    if isinstance(found, list | tuple) and isinstance(wanted, list):
        return [_in_type(*pair) for pair in zip(found, wanted, strict=False)]
    if not isinstance(found, tf.Tensor) or not isinstance(wanted, np.ndarray):
        return found
    if found.dtype != tf_dtype(wanted.dtype):
        return np.empty(tuple(found.shape), dtype=object)  # told as another type
    array = found.numpy()
    if wanted.dtype.kind == "O":
        texts = [one.decode() for one in np.asarray(array, dtype=object).reshape(-1)]
        return np.array(texts, dtype=object).reshape(np.shape(array))
    return np.asarray(array).astype(wanted.dtype)
