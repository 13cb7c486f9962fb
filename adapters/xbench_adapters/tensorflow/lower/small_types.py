"""Element types that TensorFlow has in part, or not at all: what a cast makes of numbers.

Two floats of 8 bits are TensorFlow's own. The others and those of 4 bits are held in 32, and
integers of 4 or 2 bits in 8, each element as its value.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.lower.spelling import read, spelled
from xbench_adapters.tensorflow.tensors import DTYPES

FLOAT8 = {
    "float8_e4m3fn": 448.0,
    "float8_e4m3fnuz": 240.0,
    "float8_e5m2": 57344.0,
    "float8_e5m2fnuz": 57344.0,
}
"""Floats of 8 bits with a fraction, and the largest number of each."""

WIDTHS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4_e2m1fn": 4}
"""Bits of the types of less than a byte."""

EIGHTS = frozenset({*FLOAT8, "float8_e8m0fnu"})
SMALL = EIGHTS | {"float4_e2m1fn"}
NATIVE = (DTYPES["float8_e4m3fn"], DTYPES["float8_e5m2"])
"""The floats of 8 bits that TensorFlow holds as such."""

_LEAST_EXPONENT = 0x00400000  # the bits of 2**-127 as a float of 32
_NAN = 0x7FC00000


def converted(x: Any, name: str, *, saturate: bool, round_mode: str) -> Any:
    """Return elements in the type of a name, as ONNX's casts make them.

    Args:
        x: Numbers or text.
        name: NumPy's name of the type.
        saturate: Whether floats of 8 bits stop at their largest number.
        round_mode: How a float that is only an exponent is rounded.
    """
    if x.dtype == tf.string:
        if name == "object":
            return x
        x = read(x, name)
    if x.dtype in NATIVE:
        x = tf.cast(x, tf.float32)
    if name == "object":
        return spelled(x)
    if name in FLOAT8:
        # To 32 bits first, as in ONNX's reference, though a double is then rounded twice.
        return to_float8(tf.cast(x, tf.float32), name, saturate=saturate)
    if name == "float8_e8m0fnu":
        return to_exponent(tf.cast(x, tf.float32), saturate=saturate, round_mode=round_mode)
    if name == "float4_e2m1fn":
        return to_float4(tf.cast(x, tf.float32))
    if name in WIDTHS:
        return to_few_bits(x, WIDTHS[name], unsigned=name.startswith("u"))
    if name == "float16" and x.dtype == tf.float64:
        x = to_odd(x)
    return tf.cast(x, DTYPES[name])


def to_odd(x: Any) -> Any:
    """Return 64 bits of float in 32 so that rounding the result again rounds only once.

    What is not exact is cut towards zero and its last bit set: it is never halfway.
    """
    near = tf.cast(x, tf.float32)
    back = tf.cast(near, tf.float64)
    bits = tf.bitcast(near, tf.int32)
    beyond = tf.cast(tf.abs(back) > tf.abs(x), tf.int32)
    odd = tf.bitwise.bitwise_or(bits - beyond, 1)
    return tf.bitcast(tf.where((back == x) | tf.math.is_nan(x), bits, odd), tf.float32)


def to_float8(x: Any, name: str, *, saturate: bool) -> Any:
    """Return floats of 8 bits; beyond the largest it or, without ``saturate``, NaN or infinity."""
    largest = FLOAT8[name]
    held = tf.math.is_nan(x)
    if saturate:
        x = tf.where(held, x, tf.minimum(tf.maximum(x, -largest), largest))
    if DTYPES[name] in NATIVE:
        return tf.cast(x, DTYPES[name])
    # No zero has a sign, and nothing is infinite.
    fraction, least = (3, -7) if name == "float8_e4m3fnuz" else (2, -15)
    near = nearest(x, fraction, least)
    near = tf.where(tf.abs(near) > largest, np.float32(np.nan), near)
    return tf.where(held, x, tf.where(near == 0, np.float32(0), near))


def nearest(x: Any, fraction: int, least: int) -> Any:
    """Return the nearest floats of few bits of fraction, half to even, in 32 bits.

    Args:
        x: Floats of 32 bits.
        fraction: How many bits of fraction there are.
        least: The exponent of the smallest normal number.
    """
    exponent = tf.bitwise.bitwise_and(tf.bitwise.right_shift(tf.bitcast(x, tf.int32), 23), 0xFF)
    places = tf.maximum(exponent - 127, least) - fraction
    step = tf.bitcast(tf.bitwise.left_shift(tf.maximum(places, -126) + 127, 23), tf.float32)
    return tf.round(x / step) * step


def to_exponent(x: Any, *, saturate: bool, round_mode: str) -> Any:
    """Return the exponents of numbers, which are floats without sign and fraction."""
    bits = tf.bitcast(x, tf.int32)
    exponent = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 23), 0xFF)
    if round_mode == "up":
        more = tf.bitwise.bitwise_and(bits, 0x7FFFFF) != 0
    elif round_mode == "nearest":
        half = tf.bitwise.bitwise_and(bits, 0x400000) != 0
        rest = tf.bitwise.bitwise_and(bits, 0x3FFFFF) != 0
        more = half & (rest | (exponent > 0))
    else:
        more = tf.zeros_like(bits, dtype=tf.bool)
    more &= exponent < (0xFE if saturate else 0xFF)
    return _power(exponent + tf.cast(more, tf.int32))


def _power(exponent: Any) -> Any:
    """Return two to the power of ``exponent`` less 127, told by its bits; NaN for 255."""
    bits = tf.bitwise.left_shift(exponent, 23)
    bits = tf.where(exponent <= 0, _LEAST_EXPONENT, bits)
    return tf.bitcast(tf.where(exponent >= 0xFF, _NAN, bits), tf.float32)


def to_float4(x: Any) -> Any:
    """Return the nearest floats of 4 bits, of which the largest is 6; NaN becomes 0."""
    return tf.where(tf.math.is_nan(x), _with_sign(tf.zeros_like(x), x, flipped=True), _float4(x))


def _float4(x: Any) -> Any:
    """Return the nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives, half to even."""
    size = tf.abs(x)
    step = tf.where(size < 2, np.float32(0.5), tf.where(size < 4, np.float32(1), np.float32(2)))
    return _with_sign(tf.minimum(tf.round(size / step) * step, 6.0), x)


def _with_sign(size: Any, of: Any, *, flipped: bool = False) -> Any:
    """Return floats of 32 bits that are not negative, with the sign of others."""
    sign = tf.bitwise.bitwise_and(tf.bitcast(of, tf.int32), -(2**31))
    if flipped:
        sign = tf.bitwise.bitwise_xor(sign, -(2**31))
    return tf.bitcast(tf.bitwise.bitwise_or(tf.bitcast(size, tf.int32), sign), tf.float32)


def to_few_bits(x: Any, width: int, *, unsigned: bool) -> Any:
    """Return the low bits of whole numbers; floats are cut towards zero."""
    low = tf.bitwise.bitwise_and(tf.cast(x, tf.int64), (1 << width) - 1)
    if unsigned:
        return tf.cast(low, tf.uint8)
    sign = 1 << (width - 1)
    return tf.cast(tf.bitwise.bitwise_xor(low, sign) - sign, tf.int8)


def same_bits(x: Any, source: str, name: str) -> Any:
    """Return the elements whose bits are those of the elements of ``x``.

    Args:
        x: The tensor.
        source: NumPy's name of its type.
        name: NumPy's name of the type wanted, of as many bits.
    """
    if source in WIDTHS:
        bits = _codes(x, source) if source in SMALL else tf.cast(x, tf.int64)
        if name in SMALL:
            return _of_codes(tf.bitwise.bitwise_and(bits, 15), name)
        return to_few_bits(bits, WIDTHS[source], unsigned=name.startswith("u"))
    if source == "bool" or source in SMALL:
        x = tf.cast(x if source == "bool" else _codes(x, source), tf.uint8)
    if name == "bool":
        return tf.bitcast(x, tf.uint8) != 0
    if name in SMALL:
        return _of_codes(tf.cast(tf.bitcast(x, tf.uint8), tf.int32), name)
    return x if x.dtype == DTYPES[name] else tf.bitcast(x, DTYPES[name])


def _table(name: str) -> Any:
    """Return what each code of a small float stands for, in 32 bits."""
    codes = np.arange(16 if name in WIDTHS else 256, dtype=np.uint8)
    return codes.view(getattr(ml_dtypes, name)).astype(np.float32)


def _of_codes(codes: Any, name: str) -> Any:
    """Return the small floats that codes stand for, in the type that holds them."""
    return tf.cast(tf.gather(tf.constant(_table(name)), codes), DTYPES[name])


def _codes(x: Any, name: str) -> Any:
    """Return the bits of small floats as whole numbers; every NaN is the one of casts."""
    x = tf.cast(x, tf.float32)
    if name == "float8_e8m0fnu":
        return tf.cast(tf.bitwise.right_shift(tf.bitcast(x, tf.int32), 23), tf.int64)
    table = _table(name)
    top = len(table) // 2
    steps = tf.constant(table[:top][~np.isnan(table[:top])])
    found = tf.searchsorted(steps, tf.reshape(tf.abs(x), [-1]), out_type=tf.int64)
    negative = tf.cast(tf.bitcast(x, tf.int32) < 0, tf.int64)
    found = tf.reshape(found, tf.shape(x)) + top * negative
    if not np.isnan(table).any():
        return found
    missing = np.array([np.nan], np.float32).astype(getattr(ml_dtypes, name)).view(np.uint8)
    return tf.where(tf.math.is_nan(x), tf.constant(int(missing[0]), tf.int64), found)
