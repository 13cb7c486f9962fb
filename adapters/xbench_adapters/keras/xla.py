"""A model's function for XLA: the same operations, compiled as one."""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf

from xbench.errors import UnsupportedNodeError

# How TensorFlow says which of its operations XLA lacks, and where an error comes from.
NO_KERNEL = r"(\w+) \(No registered '\w+' OpKernel for XLA"
PLACE = r"\{\{node ([^}]+)\}\}"


def compiled(traced: Any) -> Any:
    """Return a concrete function, which takes tensors of fixed shapes, compiled by XLA.

    Raises:
        UnsupportedNodeError: If XLA cannot compile one of its operations.
    """
    signature = [tf.TensorSpec(one.shape, one.dtype) for one in _arguments(traced)]
    call = tf.function(
        lambda *inputs: traced(*inputs),
        input_signature=signature,
        autograph=False,
        jit_compile=True,
    )
    try:
        call.experimental_get_compiler_ir(*signature)(stage="hlo")
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise _refusal(str(error)) from error
    return call


def _arguments(traced: Any) -> list[Any]:
    """Return the tensors that a caller gives; the variables come after them."""
    count = len(traced.inputs) - len(traced.captured_inputs)
    return list(traced.inputs[:count])


def _refusal(message: str) -> UnsupportedNodeError:
    lacks = re.search(NO_KERNEL, message)
    place = re.search(PLACE, message)
    said = " ".join(message.split())[:200]
    detail = f"XLA has no {lacks[1]} for CPUs" if lacks else f"XLA cannot compile it: {said}"
    node, operator = place[1] if place else "?", lacks[1] if lacks else "?"
    return UnsupportedNodeError(node, operator, 0, detail)
