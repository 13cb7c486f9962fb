"""In which precision TensorFlow really multiplies.

The operations of a function tell the types that they are given. XLA changes these, and tells so in
what it compiles. Of float32 there is no way to ask: oneDNN and cuDNN may compute it in fewer bits,
and tell nothing; so numbers are multiplied, and looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from xbench.authoring import joined
from xbench_adapters.tensorflow.unfolded import gpu_is_on

SIDE, GPU_SIDE = 256, 1024
"""Rows of the matrices that are tried; on a GPU more, as cuBLAS may spare small ones."""

FINE, COARSE = 1 + 2.0**-12, 1 + 2.0**-9
"""Float32 has 23 bits after the point and keeps both; TF32 has 10, bfloat16 7."""

KINDS = {1: "fp32", 2: "fp64", 14: "bf16", 19: "fp16"}
"""Precisions by TensorFlow's numbers for the types."""
HLO_KINDS = {"f32": "fp32", "f64": "fp64", "bf16": "bf16", "f16": "fp16", "s8": "int8"}

MULTIPLY = re.compile(r"(_Fused)?(BatchMatMul|MatMul|Conv[23]D|DepthwiseConv2d|Einsum)|Conv$")
"""How the names of operations that sum products begin, such as ``Conv2DBackpropInput``."""
WHOLE = re.compile(r"Quantized|UniformQuantized")
CALLS = re.compile(r"(Stateful)?PartitionedCall|(Stateless)?(If|While|Case)|XlaLaunch")
MOVES = frozenset({
    "Cast", "Const", "Placeholder", "Identity", "IdentityN", "Reshape", "Transpose", "NoOp",
    "ReadVariableOp", "GatherV2", "Pad", "PadV2", "StridedSlice", "ConcatV2", "Shape", "Size",
})  # fmt: skip
"""Operations that compute nothing of their elements."""

IN_HLO = re.compile(r"\s*(?:ROOT )?(%?[\w.-]+) = \(?(\w+)\[.*? ([\w-]+)\(([^)]*)\)(.*)")
LIBRARY = re.compile(r'custom_call_target="[^"]*(gemm|matmul|conv|dot|fmha)', re.IGNORECASE)


def effective(traced: Any, compiled: Any = None) -> str | None:
    """Return the precision of a function's products, ``fp16+fp32`` if several; None if not known.

    Where nothing is multiplied it is that of the rest of the arithmetic.

    Args:
        traced: A concrete function.
        compiled: What XLA compiles of it, with a signature; None if it does not.
    """
    kinds = operated_in(traced)
    if compiled is not None and kinds - {"fp32"}:
        ir = compiled.experimental_get_compiler_ir(*compiled.input_signature)
        kinds = hlo_operated_in(ir(stage="optimized_hlo"))
        if not kinds:  # it computes by something that this does not know
            return None
    if not kinds or "fp32" in kinds:
        kinds = (kinds - {"fp32"}) | {multiplied_in(compiled=compiled is not None)}
    return joined(kinds)


def operated_in(traced: Any) -> set[str]:
    """Return the precisions that a concrete function's products are in, or else its other sums."""
    products: set[str] = set()
    others: set[str] = set()
    for operation, kind in _operations(traced):
        if WHOLE.match(operation):
            products.add("int8")
        elif MULTIPLY.match(operation):
            products |= {KINDS[kind]} if kind in KINDS else set()
        elif operation not in MOVES and kind in KINDS:
            others.add(KINDS[kind])
    return products or others


def hlo_operated_in(text: str) -> set[str]:
    """Return the precisions that products are in, or else other sums, in what XLA has compiled.

    Args:
        text: Of its own language, HLO.
    """
    kinds: dict[str, str] = {}
    products: set[str] = set()
    others: set[str] = set()
    for line in text.splitlines():
        if not (found := IN_HLO.match(line)):
            continue
        name, kind, operation, operands, rest = found.groups()
        kinds[name] = kind
        if operation in ("dot", "convolution") or (
            operation == "custom-call" and LIBRARY.search(rest)
        ):
            first = next(iter(re.findall(r"%[\w.-]+", operands)), name)
            products |= {HLO_KINDS[one] for one in (kinds.get(first, kind),) if one in HLO_KINDS}
        elif operation in ("add", "multiply", "subtract", "divide", "maximum", "exponential"):
            others |= {HLO_KINDS[kind]} if kind in HLO_KINDS else set()
    return products or others


def _operations(traced: Any) -> Iterator[tuple[str, int]]:
    """Yield each operation's name and the number of the type that it computes in, 0 if none."""
    called = False
    for one in traced.graph.get_operations():
        called = called or CALLS.fullmatch(one.type) is not None
        yield one.type, next((_number(one, name) for name in ("T", "Ta") if _has(one, name)), 0)
    if called:
        for function in traced.graph.as_graph_def().library.function:
            for node in function.node_def:
                attributes = (node.attr[name].type for name in ("T", "Ta") if name in node.attr)
                yield node.op, next(attributes, 0)


def _has(operation: Any, name: str) -> bool:
    return any(one.name == name for one in operation.op_def.attr)


def _number(operation: Any, name: str) -> int:
    found = operation.get_attr(name)
    return int(found.as_datatype_enum) if isinstance(found, tf.DType) else 0


def multiplied_in(*, compiled: bool) -> str:
    """Return ``fp32`` if products keep what float32 can hold, else ``tf32`` or ``bf16``.

    Numbers that a narrower type rounds are multiplied by one, in a matrix product and in a
    convolution.

    Args:
        compiled: Whether XLA computes them.
    """
    multiply = tf.function(_products, jit_compile=compiled, autograph=False)
    side = GPU_SIDE if gpu_is_on() else SIDE
    found = [_kept(multiply, number, side) for number in (FINE, COARSE)]
    return "fp32" if found[0] else "tf32" if found[1] else "bf16"


def _kept(multiply: Any, number: float, side: int) -> bool:
    x = np.full((side, side), number, np.float32)
    products = multiply(tf.constant(x), tf.eye(side))
    return all(np.array_equal(one.numpy().reshape(x.shape), x) for one in products)


def _products(x: Any, one: Any) -> tuple[Any, Any]:
    image = tf.reshape(x, [1, 16, -1, *x.shape[1:]])
    kernel = tf.reshape(one, [1, 1, *one.shape])
    return tf.linalg.matmul(x, one), tf.nn.conv2d(image, kernel, 1, "VALID")
