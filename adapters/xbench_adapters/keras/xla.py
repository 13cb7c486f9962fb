"""A model's function for XLA: the same operations, compiled as one."""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf

from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import xla


def compiled(traced: Any) -> Any:
    """Return a concrete function, which takes tensors of fixed shapes, compiled by XLA.

    Raises:
        UnsupportedNodeError: If XLA cannot compile one of its operations.
    """
    given = len(traced.inputs) - len(traced.captured_inputs)  # the variables come after
    signature = [tf.TensorSpec(one.shape, one.dtype) for one in traced.inputs[:given]]
    return xla.compiled(traced, signature, _refusal)


def _refusal(message: str) -> UnsupportedNodeError:
    operator, detail = xla.explained(message)
    place = re.search(xla.PLACE, message)
    return UnsupportedNodeError(place[1] if place else "?", operator, 0, detail)
