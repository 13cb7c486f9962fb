"""An imported function for XLA: the same operations, compiled as one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow.draft import rewritten
from xbench_adapters.tensorflow.importer import Imported, node_of
from xbench_adapters.tensorflow.padded import max_pool

# How TensorFlow says which of its operations XLA lacks, and where an error comes from.
NO_KERNEL = r"(\w+) \(No registered '\w+' OpKernel for XLA_([CG]PU)_JIT"
REWRITES = {"MaxPool": max_pool}  # XLA has no padding but that of ``SAME`` there
PLACE = r"\{\{node ([^}]+)\}\}"


def compile_module(module: Imported) -> Any:
    """Return the function of ``module``, which XLA compiles in the first run.

    Raises:
        UnsupportedNodeError: If XLA cannot compile one of its operations, or an input or output
            is no tensor.
    """
    if any(node.operator in REWRITES for node in module.graph.nodes):
        module = Imported(rewritten(module.graph, REWRITES))
    inner, signature = module.traced(), module.call.input_signature
    for name, spec in zip(module.graph.inputs, signature, strict=True):
        if spec.dtype == tf.string:
            raise UnsupportedNodeError(name, "input", 0, "XLA cannot take it: it is text")
    return compiled(inner, signature, lambda message: refusal(message, module))


def compiled(
    inner: Any, signature: Sequence[Any], refuse: Callable[[str], UnsupportedNodeError]
) -> Any:
    """Return a function that XLA compiles in the first run.

    Args:
        inner: A concrete function.
        signature: Of its inputs.
        refuse: Returns the error behind what TensorFlow says when XLA cannot compile it.
    """
    call = tf.function(
        lambda *inputs: inner(*inputs),
        input_signature=signature,
        autograph=False,
        jit_compile=True,
    )
    try:
        call.experimental_get_compiler_ir(*signature)(stage="hlo")
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise refuse(str(error)) from error
    return call


def explained(message: str) -> tuple[str, str]:
    """Return the operation that XLA lacks, ``?`` if it is another fault, and the fault in words."""
    lacks = re.search(NO_KERNEL, message)
    said = " ".join(message.split())[:200]
    detail = f"XLA has no {lacks[1]} for {lacks[2]}s" if lacks else f"XLA cannot compile it: {said}"
    return lacks[1] if lacks else "?", detail


def refusal(message: str, module: Imported) -> UnsupportedNodeError:
    """Return the typed error behind what TensorFlow said when XLA could not compile."""
    operator, detail = explained(message)
    for place in re.findall(PLACE, message):
        if node := node_of(module.graph, place):
            spelled = f"{node.domain}::{node.operator}" if node.domain else node.operator
            return UnsupportedNodeError(node.name, spelled, node.version, detail)
    return UnsupportedNodeError("?", operator, 0, detail)
