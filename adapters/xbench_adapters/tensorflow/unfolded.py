"""Tensors that a graph takes from outside, where the graph's optimiser cannot reach them.

Of a constant within the graph TensorFlow keeps several copies: in the node, in what its optimiser
writes, in each kernel: BERT takes ten times the memory of its weights. And it makes more of
constants than it should: it would divide by one by multiplying with its reciprocal, and move
factors that follow a convolution into its weights. Both change results a little: enough to round
another way.

What is computed of such a tensor is computed in every run. So weights are laid out before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

LARGE_BYTES = 1 << 14
"""From this size on a weight is worth a tensor of its own."""


def unfolded(value: Any, dtype: tf.DType | None = None) -> Any:
    """Return a number or an array as a tensor that the graph takes from outside."""
    with tf.init_scope():
        return tf.identity(tf.constant(value, dtype))  # else the first copy would be kept as well


def weight_of(array: Any) -> Any:
    """Return an array for an operation that reads it as it is; a tensor stays what it is.

    A variable's value would be the same, with an operation more to read it.
    """
    if not isinstance(array, np.ndarray):
        return array
    return unfolded(array) if array.nbytes >= LARGE_BYTES else tf.constant(array)


def filter_of(array: Any) -> Any:
    """Return an array for a convolution; a tensor stays what it is.

    oneDNN lays filters out anew, and does so once only if they are constants: ResNet50 takes
    twice the time in which it must in every run. TensorFlow's other kernels do not care.
    """
    return array if onednn_is_on() else weight_of(array)


def onednn_is_on() -> bool:
    """Return whether TensorFlow computes with oneDNN: by default, that depends on the CPU."""
    from tensorflow.python.util import _pywrap_util_port  # nothing public tells

    return bool(_pywrap_util_port.IsMklEnabled())


def gpu_is_on() -> bool:
    """Return whether TensorFlow computes on a GPU: it does wherever it sees one."""
    return bool(tf.config.list_logical_devices("GPU"))
