"""The TensorFlow importer under test."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.adapters.importers.importer import Importer
from xbench.adapter import Limits
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import TensorFlowAdapter, import_onnx

# TensorFlow's threads are the process's, and are set before it computes anything.
TensorFlowAdapter().prepare(Limits(threads=1))

import tensorflow as tf  # noqa: E402  # what it is prepared with is read as it is imported

from xbench_adapters.tensorflow.tensors import held  # noqa: E402  # imports TensorFlow


def taken(given: Any) -> Any:
    """Return a value as an imported module takes it."""
    if isinstance(given, list):
        return [taken(one) for one in given]
    return None if given is None else tf.constant(held(np.asarray(given)))


def read(found: Any) -> Any:
    """Return what a module gave as arrays, text as text."""
    if isinstance(found, list | tuple):
        return [read(one) for one in found]
    if not isinstance(found, tf.Tensor):
        return found
    array = np.asarray(found.numpy())
    if found.dtype != tf.string:
        return array
    texts = [one.decode() for one in array.astype(object).reshape(-1)]
    return np.array(texts, dtype=object).reshape(array.shape)


def kinds_of(module: Any) -> list[str]:
    """Return the kinds of TensorFlow's operations in a module."""
    return [one.type for one in module.call.get_concrete_function().graph.get_operations()]


ERRORS = (tf.errors.OpError, UnsupportedNodeError, ValueError)
IMPORTER = Importer("tensorflow", import_onnx, taken, read, ERRORS, pace=0.3)
agree, given_by, ran, run, said = (
    IMPORTER.agree,
    IMPORTER.given_by,
    IMPORTER.ran,
    IMPORTER.run,
    IMPORTER.said,
)
