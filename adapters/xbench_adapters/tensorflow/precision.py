"""In which precision TensorFlow really multiplies float32.

It has no way to ask: oneDNN, which computes for it, is told by the environment, and tells nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

SIDE = 256
FINE, COARSE = 1 + 2.0**-12, 1 + 2.0**-9
"""Float32 has 23 bits after the point and keeps both; TF32 has 10, bfloat16 7."""


def multiplied_in(*, compiled: bool) -> str:
    """Return ``fp32`` if products keep what float32 can hold, else ``tf32`` or ``bf16``.

    Numbers that a narrower type rounds are multiplied by one, in a matrix product and in a
    convolution.

    Args:
        compiled: Whether XLA computes them.
    """
    multiply = tf.function(_products, jit_compile=compiled, autograph=False)
    found = [_kept(multiply, number) for number in (FINE, COARSE)]
    return "fp32" if found[0] else "tf32" if found[1] else "bf16"


def _kept(multiply: Any, number: float) -> bool:
    x = np.full((SIDE, SIDE), number, np.float32)
    products = multiply(tf.constant(x), tf.eye(SIDE))
    return all(np.array_equal(one.numpy().reshape(x.shape), x) for one in products)


def _products(x: Any, one: Any) -> tuple[Any, Any]:
    image = tf.reshape(x, [1, 16, SIDE // 16, SIDE])
    kernel = tf.reshape(one, [1, 1, SIDE, SIDE])
    return tf.linalg.matmul(x, one), tf.nn.conv2d(image, kernel, 1, "VALID")
