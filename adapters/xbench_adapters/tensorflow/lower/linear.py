"""Products of matrices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.lower.widths import in_float32, in_int32, multiplies, products
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.tensors import held
from xbench_adapters.tensorflow.unfolded import weight_of

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.tensorflow.builder import Builder


def linear_layer(x: Any, weight: Any, bias: Any = None) -> Any:
    """Return a product with a matrix of inputs by outputs, plus a vector, as one layer.

    All leading axes become one, so that there is a single product: TensorFlow would else
    repeat the matrix for each of a batch, and would not see the layer that it fuses.

    Args:
        x: A tensor.
        weight: An array, or a tensor.
        bias: A tensor, or None.
    """
    dtype = x.dtype
    if not multiplies(dtype):
        x, weight = tf.cast(x, tf.float32), tf.cast(weight, tf.float32)
        bias = None if bias is None else tf.cast(bias, tf.float32)
    flat = x if x.shape.rank == 2 else tf.reshape(x, _flat(x, weight.shape[0]))
    found = tf.linalg.matmul(flat, weight_of(weight))
    if bias is not None:
        found = tf.nn.bias_add(found, bias)
    if x.shape.rank != 2:
        known = x.shape.is_fully_defined()
        leading = x.shape[:-1].as_list() if known else tf.shape(x)[:-1]
        outputs = weight.shape[1]
        shape = [*leading, outputs] if known else tf.concat([leading, [outputs]], 0)
        found = tf.reshape(found, shape)
        found.set_shape([*x.shape[:-1], outputs])
    return tf.cast(found, dtype)


def _flat(x: Any, inputs: int) -> list[int]:
    """Return the shape of a matrix with the last axis of ``x``."""
    if x.shape.is_fully_defined():
        return [x.shape[:-1].num_elements(), inputs]
    return [-1, inputs]


@products
def product(left: Any, right: Any) -> Any:
    """Return a product of matrices, batched as NumPy does; vectors have an axis less."""
    row, column = left.shape.rank == 1, right.shape.rank == 1
    left = left[tf.newaxis] if row else left
    right = right[:, tf.newaxis] if column else right
    found = tf.linalg.matmul(left, right)
    found = tf.squeeze(found, -2) if row else found
    return tf.squeeze(found, -1) if column else found


@lowering("MatMul", 1)
def matmul(node: Node, to: Builder) -> Any:
    """Return a product of matrices, batched as NumPy does."""
    left, right = node.inputs
    weight = to.constant(right)
    x = to.weight(left)
    rank = x.shape.rank or 0  # what is not known is taken for matrices, as the kernel checks
    if weight is not None and weight.ndim == 2 and rank > 2 and to.floating(right) and weight.size:
        return linear_layer(x, to.weight(right))
    return product(x, to.weight(right))


@lowering("Linear", 1, domain="xbench")
def linear(node: Node, to: Builder) -> Any:
    """Return a product with a known matrix, plus a known vector."""
    bias = to.need(node.inputs[2], "bias").reshape(-1)
    to.rank(node.inputs[0])
    x, weight = to.value(node.inputs[0]), to.weight(node.inputs[1])
    return linear_layer(x, weight, tf.constant(held(bias)))


@lowering("Gemm", 1)
def gemm(node: Node, to: Builder) -> Any:
    """Return alpha * A @ B + beta * C, either factor transposed where asked."""
    beta, floating = node.attributes["beta"], to.floating(node.inputs[0])
    weight, third = to.constant(node.inputs[1]), node.input(2) if beta else ""
    if weight is not None and floating and not node.attributes["transA"]:
        found = _layer(node, to, weight, third)
        if found is not None:
            return found
    turned = [bool(node.attributes[name]) for name in ("transA", "transB")]
    factors = [
        tf.transpose(to.value(name)) if turn else to.value(name)
        for name, turn in zip(node.inputs, turned, strict=False)
    ]
    if not floating:
        return _whole(node, to, factors, to.optional(third))
    found, alpha = product(*factors), node.attributes["alpha"]
    found = found if alpha == 1 else found * alpha
    if not third:
        return found
    return found + (to.value(third) if beta == 1 else to.value(third) * beta)


def _layer(node: Node, to: Builder, weight: Array, third: str) -> Any:
    """Return the result as that of a layer, or None where something is not known or does not fit.

    The factors go into the weights, which lie as TensorFlow's own layers have them.
    """
    turned = weight.T if node.attributes["transB"] else weight
    bias = to.constant(third) if third else None
    if third and (bias is None or bias.size != turned.shape[1] or bias.shape[-1:] != (bias.size,)):
        return None
    if weight.ndim != 2 or to.rank(node.inputs[0]) != 2:
        return None
    scaled = held(_scaled(turned, node.attributes["alpha"]))
    vector = None
    if bias is not None:
        vector = tf.constant(held(_scaled(bias.reshape(-1), node.attributes["beta"])))
    return linear_layer(to.value(node.inputs[0]), scaled, vector)


def _scaled(array: Array, factor: float) -> Array:
    if factor == 1:
        return array
    return (array.astype(np.float64) * factor).astype(array.dtype)


def _whole(node: Node, to: Builder, factors: list[Any], added: Any) -> Any:
    """Return the product of whole numbers, scaled and added to: exactly, if factors are whole."""
    found, alpha, beta = product(*factors), node.attributes["alpha"], node.attributes["beta"]
    if alpha == int(alpha) and (added is None or beta == int(beta)):
        found = found * tf.constant(int(alpha), found.dtype)
        return found if added is None else found + added * tf.constant(int(beta), found.dtype)
    dtype = to.graph.value(node.inputs[0]).dtype
    if dtype is not None and dtype.name == "uint64":
        to.refuse("a fractional factor on whole numbers of 64 bits without a sign")
    wide = tf.cast(found, tf.float64) * alpha
    if added is not None:
        wide = wide + tf.cast(added, tf.float64) * beta
    return tf.cast(wide, found.dtype)


@lowering("Einsum", 12)
def einsum(node: Node, to: Builder) -> Any:
    """Return an Einstein sum."""
    equation = re.sub(r"\s", "", node.attributes["equation"])

    def summed(*values: Any) -> Any:
        return tf.einsum(equation, *values)

    return products(in_int32(summed))(*(to.value(name) for name in node.inputs))


@lowering("Det", 11)
def det(node: Node, to: Builder) -> Any:
    """Return determinants of matrices."""
    return in_float32(tf.linalg.det)(to.value(node.inputs[0]))
