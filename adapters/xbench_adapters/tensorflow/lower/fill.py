"""Tensors made of a value, of a rule or of nothing but what is handed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from onnx import SparseTensorProto, TensorProto, numpy_helper

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.axes import as_told, length_of, vector
from xbench_adapters.tensorflow.lower.small_types import NATIVE
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.tensors import held

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.tensorflow.builder import Builder


@lowering("ConstantOfShape", 9, raw=True)
def constant_of_shape(node: Node, to: Builder) -> Any:
    """Return a tensor of one value."""
    value: Array | None = node.attributes.get("value")
    one = np.zeros((), np.float32) if value is None else value.reshape(-1)[:1].reshape(())
    lengths = vector(to.numbers(node.inputs[0]))
    single = tf.constant(held(one))
    if single.dtype in NATIVE:  # which TensorFlow cannot repeat
        wide = tf.fill(lengths, tf.cast(single, tf.float32))
        return as_told(to, node, tf.cast(wide, single.dtype))
    return as_told(to, node, tf.fill(lengths, single))


@lowering("EyeLike", 9, raw=True)
def eye(node: Node, to: Builder) -> Any:
    """Return ones on a diagonal, in the shape of the input."""
    x = to.value(node.inputs[0])
    known = to.graph.value(node.outputs[0]).dtype is not None
    dtype = to.dtype(node.outputs[0]) if known else x.dtype
    rows, columns = (tf.cast(length_of(x, axis), tf.int64) for axis in (0, 1))
    ones = tf.range(rows)[:, None] + node.attributes["k"] == tf.range(columns)
    return as_told(to, node, tf.cast(ones, dtype))


@lowering("Range", 11)
def sequence(node: Node, to: Builder) -> Any:
    """Return numbers in steps."""
    dtype = to.dtype(node.inputs[0])
    numbers = [tf.reshape(to.value(name), []) for name in node.inputs]
    if not dtype.is_floating:
        start, limit, delta = (tf.cast(one, tf.int64) for one in numbers)
        stop = tf.where(delta > 0, tf.maximum(start, limit), tf.minimum(start, limit))
        return as_told(to, node, tf.cast(tf.range(start, stop, delta), dtype))
    computed = tf.float64
    if dtype in (tf.float16, tf.bfloat16):
        code = node.attributes.get("stash_type", TensorProto.FLOAT)
        if code not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            to.refuse(f"stash_type {code}")
        computed = tf.float32 if code == TensorProto.FLOAT else tf.float64
    start, limit, delta = (tf.cast(one, computed) for one in numbers)
    count = tf.cast(tf.maximum(tf.math.ceil((limit - start) / delta), 0), tf.int64)
    return as_told(to, node, tf.cast(tf.cast(tf.range(count), computed) * delta + start, dtype))


@lowering("Identity", raw=True)
def identity(node: Node, to: Builder) -> Any:
    """Return the input: a tensor, a sequence or what is optional."""
    name = node.inputs[0]
    return Last(to.last(name)) if to.has_last(name) else to.value(name)


@lowering("Constant", raw=True)
def constant(node: Node, to: Builder) -> Any:
    """Return what the node holds; what is dense and no text was folded before."""
    found = node.attributes
    if "value_string" in found:
        return tf.constant(found["value_string"])
    if "value_strings" in found:
        return tf.constant(list(found["value_strings"]), tf.string)
    sparse: Any = found.get("sparse_value")
    if not isinstance(sparse, SparseTensorProto):
        to.refuse("it holds no value")
    return tf.constant(held(dense(sparse)))


def dense(sparse: SparseTensorProto) -> Array:
    """Return the array of a sparse tensor: zeros where it says nothing."""
    values: Array = np.asarray(numpy_helper.to_array(sparse.values))
    places = np.asarray(numpy_helper.to_array(sparse.indices)).astype(np.int64)
    found = np.zeros(tuple(sparse.dims), values.dtype)
    if places.ndim == 2:
        found[tuple(places.T)] = values
    else:
        found.reshape(-1)[places] = values
    return found
