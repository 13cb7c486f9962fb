"""What ONNX Runtime's optimiser fuses: activations, and convolutions and products with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder, Last
from xbench_adapters.tensorflow.lower import activation
from xbench_adapters.tensorflow.lower.linear import linear_layer, product
from xbench_adapters.tensorflow.lower.standard import as_standard
from xbench_adapters.tensorflow.lower.widths import in_float32
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.tensors import held

MICROSOFT = "com.microsoft"


def _clipped(x: Any, low: float, high: float) -> Any:
    return tf.clip_by_value(x, tf.constant(low, x.dtype), tf.constant(high, x.dtype))


def _scaled_tanh(x: Any, alpha: float, beta: float) -> Any:
    return tf.math.tanh(x * beta) * alpha


def _silu(x: Any) -> Any:
    return activation.swish(x, 1)


_ACTIVATIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "Clip": (_clipped, 2),
    "Elu": (activation.elu, 1),
    "HardSigmoid": (activation.hard_sigmoid, 2),
    "LeakyRelu": (activation.leaky_relu, 1),
    "Relu": (tf.nn.relu, 0),
    "ScaledTanh": (_scaled_tanh, 2),
    "Selu": (activation.selu, 2),
    "Sigmoid": (tf.math.sigmoid, 0),
    "Silu": (_silu, 0),
    "Softplus": (tf.math.softplus, 0),
    "Softsign": (tf.nn.softsign, 0),
    "Tanh": (tf.math.tanh, 0),
    "ThresholdedRelu": (activation.thresholded_relu, 1),
}
"""By name: the function, and how many numbers it takes."""


def _activated(node: Node, to: Builder, x: Any, numbers: Sequence[float]) -> Any:
    """Return ``x`` through the activation that the node names, if it names one."""
    kind = node.attributes.get("activation", "")
    if not kind:
        return x
    if kind not in _ACTIVATIONS:
        to.refuse(f"the activation {kind!r}")
    function, count = _ACTIVATIONS[kind]
    if len(numbers) < count:
        to.refuse(f"the activation {kind!r} without its {count} numbers")
    return in_float32(function)(x, *numbers[:count])


def _numbers(node: Node) -> list[float]:
    """Return the numbers of an activation that are attributes one by one."""
    names = (f"activation_{name}" for name in ("alpha", "beta", "gamma"))
    return [node.attributes[name] for name in names if name in node.attributes]


@lowering("FusedConv", 1, domain=MICROSOFT)
def fused_conv(node: Node, to: Builder) -> Any:
    """Return a convolution, plus a tensor where one is given, through an activation."""
    found = as_standard(node, to, "Conv", 11, inputs=[name for name in node.inputs[:3] if name])[0]
    last = isinstance(found, Last)
    x = found.tensor if last else found
    if node.input(3):
        x = x + (to.last(node.input(3)) if last else to.value(node.input(3)))
    x = _activated(node, to, x, node.attributes.get("activation_params", ()))
    return Last(x) if last else x


def _turned(x: Any, turned: int, early: int) -> Any:
    """Return a factor with its rows and columns swapped, and its rows moved behind the batch."""
    rank = x.shape.rank
    if early and rank > 2:
        x = tf.transpose(x, [*range(1, rank - 1), 0, rank - 1])
    return tf.linalg.matrix_transpose(x) if turned and rank > 1 else x


def _product(node: Node, to: Builder) -> Any:
    """Return alpha * left @ right, either factor turned before."""
    get = node.attributes.get
    alpha, (left, right) = get("alpha", 1.0), node.inputs[:2]
    turns = [(get(f"trans{one}", 0), get(f"transBatch{one}", 0)) for one in "AB"]
    for name in (left, right):
        to.rank(name)
    x, weight = _turned(to.value(left), *turns[0]), to.constant(right)
    if weight is not None and weight.ndim == 2 and x.shape.rank > 1 and to.floating(left):
        weight = weight.T if turns[1][0] else weight
        weight = weight if alpha == 1 else (weight * np.float32(alpha)).astype(weight.dtype)
        return linear_layer(x, held(weight))
    found = product(x, _turned(to.value(right), *turns[1]))
    return found if alpha == 1 else found * tf.constant(alpha, found.dtype)


@lowering("TransposeMatMul", 1, domain=MICROSOFT)
@lowering("FusedMatMul", 1, domain=MICROSOFT)
def fused_matmul(node: Node, to: Builder) -> Any:
    """Return a product of matrices, each transposed and all multiplied where asked."""
    return _product(node, to)


@lowering("FusedMatMulActivation", 1, domain=MICROSOFT)
def fused_matmul_activation(node: Node, to: Builder) -> Any:
    """Return what `fused_matmul` does, through an activation."""
    return _activated(node, to, _product(node, to), _numbers(node))


@lowering("FusedGemm", 1, domain=MICROSOFT)
def fused_gemm(node: Node, to: Builder) -> Any:
    """Return alpha * A @ B + beta * C through an activation."""
    return _activated(node, to, as_standard(node, to, "Gemm", 13)[0], _numbers(node))


@lowering("GemmFastGelu", 1, domain=MICROSOFT)
def gemm_fast_gelu(node: Node, to: Builder) -> Any:
    """Return a product plus a vector, through the Gaussian error linear unit by tanh."""
    x = as_standard(node, to, "MatMul", 13, inputs=node.inputs[:2])[0]
    x = x + to.value(node.input(2)) if node.input(2) else x
    return in_float32(tf.nn.gelu)(x, True)


def _sum(node: Node, to: Builder) -> Any:
    """Return the first input, plus the second where there is one."""
    x = to.value(node.inputs[0])
    return x + to.value(node.input(1)) if node.input(1) else x


@lowering("BiasGelu", 1, domain=MICROSOFT, layout="any")
@lowering("Gelu", 1, domain=MICROSOFT, layout="any")
def gelu(node: Node, to: Builder) -> Any:
    """Return the exact Gaussian error linear unit, of a sum where a bias is given."""
    return in_float32(tf.nn.gelu)(_sum(node, to), False)


@lowering("FastGelu", 1, domain=MICROSOFT, layout="any")
def fast_gelu(node: Node, to: Builder) -> Any:
    """Return the Gaussian error linear unit by tanh, of a sum where a bias is given."""
    return in_float32(tf.nn.gelu)(_sum(node, to), True)


@lowering("QuickGelu", 1, domain=MICROSOFT, layout="any")
def quick_gelu(node: Node, to: Builder) -> Any:
    """Return x * sigmoid(alpha * x)."""
    alpha = node.attributes.get("alpha", 1.702)
    return in_float32(activation.swish)(to.value(node.inputs[0]), alpha)


@lowering("BiasSplitGelu", 1, domain=MICROSOFT)
def bias_split_gelu(node: Node, to: Builder) -> Any:
    """Return one half of a sum times the activated other half."""
    left, right = tf.split(_sum(node, to), 2, -1)
    return left * in_float32(tf.nn.gelu)(right, False)


@lowering("BiasAdd", 1, domain=MICROSOFT)
def bias_add(node: Node, to: Builder) -> Any:
    """Return the sum of a tensor, a bias for its last axis and another tensor."""
    return _sum(node, to) + to.value(node.inputs[2])


@lowering("BiasSoftmax", 1, domain=MICROSOFT)
def bias_softmax(node: Node, to: Builder) -> Any:
    """Return the softmax of a sum over all axes from one on."""
    x = _sum(node, to)
    rank = x.shape.rank
    if rank is None:
        to.refuse("a sum whose rank is not known")
    axis = to.axis(node.attributes.get("axis", 1), rank)
    flat = tf.concat([tf.shape(x)[:axis], [tf.reduce_prod(tf.shape(x)[axis:])]], 0)
    return tf.reshape(in_float32(tf.nn.softmax)(tf.reshape(x, flat)), tf.shape(x))


@lowering("BitmaskBiasDropout", 1, domain=MICROSOFT)
@lowering("BiasDropout", 1, domain=MICROSOFT)
def bias_dropout(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the sum of the inputs; nothing is dropped, and training is refused."""
    if node.input(4):
        training = to.constant(node.input(4))
        if training is None or bool(training.any()):
            to.refuse("training, or what may be")
    total = _sum(node, to)
    if node.input(2):
        total = total + to.value(node.input(2))
    return total, tf.ones_like(total, tf.bool) if node.operator == "BiasDropout" else None
