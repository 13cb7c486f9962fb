"""Constants that TensorFlow's graph optimiser leaves alone, where the last bit counts.

It would divide by a constant by multiplying with its reciprocal, and move factors that follow a
convolution into its weights. Both change results a little: enough to round another way.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def unfolded(value: Any, dtype: tf.DType | None = None) -> Any:
    """Return a number or an array as a tensor that the graph takes from outside."""
    with tf.init_scope():
        return tf.constant(value, dtype)
