"""An imported function for XLA: the same operations, compiled as one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow.importer import node_of

if TYPE_CHECKING:
    from xbench_adapters.tensorflow.importer import Imported

# How TensorFlow says which of its operations XLA lacks, and where an error comes from.
NO_KERNEL = r"(\w+) \(No registered '\w+' OpKernel for XLA_CPU_JIT"
PLACE = r"\{\{node ([^}]+)\}\}"


def compiled(module: Imported) -> Any:
    """Return the function of ``module``, which XLA compiles in the first run.

    Raises:
        UnsupportedNodeError: If XLA cannot compile one of its operations, or an input or output
            is no tensor.
    """
    inner, signature = module.traced(), module.call.input_signature
    for name, spec in zip(module.graph.inputs, signature, strict=True):
        if spec.dtype == tf.string:
            raise UnsupportedNodeError(name, "input", 0, "XLA cannot take it: it is text")
    call = tf.function(
        lambda *inputs: inner(*inputs),
        input_signature=signature,
        autograph=False,
        jit_compile=True,
    )
    try:
        call.experimental_get_compiler_ir(*signature)(stage="hlo")
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise refusal(str(error), module) from error
    return call


def refusal(message: str, module: Imported) -> UnsupportedNodeError:
    """Return the typed error behind what TensorFlow said when XLA could not compile."""
    lacks = re.search(NO_KERNEL, message)
    said = " ".join(message.split())[:200]
    detail = f"XLA has no {lacks[1]} for CPUs" if lacks else f"XLA cannot compile it: {said}"
    for place in re.findall(PLACE, message):
        if node := node_of(module.graph, place):
            spelled = f"{node.domain}::{node.operator}" if node.domain else node.operator
            return UnsupportedNodeError(node.name, spelled, node.version, detail)
    return UnsupportedNodeError("?", lacks[1] if lacks else "?", 0, detail)
