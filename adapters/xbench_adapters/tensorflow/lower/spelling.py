"""Numbers as text, spelled as NumPy spells them, and text as numbers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_DIGITS = {tf.float16: 4, tf.bfloat16: 8, tf.float32: 8, tf.float64: 16}
"""How many digits behind the first tell any number of a type."""
_PLACES = 16
"""No more digits stand before a point, and no more zeros behind one."""
_LARGE = {tf.float16: 1e3, tf.float32: 1e6, tf.float64: 1e16}
"""From here on NumPy spells numbers of a type with an exponent."""
_WHOLE = r"\s*[-+]?[0-9]+\s*"


def spelled(x: Any) -> Any:
    """Return numbers as text; floats as the shortest one that stands for no other number."""
    if x.dtype == tf.bool:
        return tf.where(x, "True", "False")
    if not x.dtype.is_floating:
        wide = x.dtype if x.dtype == tf.uint64 else tf.int64
        return tf.strings.as_string(tf.cast(x, wide))
    if x.dtype == tf.bfloat16:
        x = tf.cast(x, tf.float32)
    text, size = _shortest(x), tf.abs(tf.cast(x, tf.float64))
    plain = (size == 0) | ((size >= 1e-4) & (size < _LARGE[x.dtype]))
    text = tf.where(plain, _pointed(text), text)
    text = tf.where(tf.math.is_inf(x), tf.where(x > 0, "inf", "-inf"), text)
    return tf.where(tf.math.is_nan(x), "nan", text)


def _shortest(x: Any) -> Any:
    """Return each float with an exponent and as few digits as tell it from others."""
    finite = tf.where(tf.math.is_finite(x), x, tf.zeros_like(x))
    wide = tf.cast(finite, tf.float64 if x.dtype == tf.float64 else tf.float32)
    found = None
    for count in range(_DIGITS[x.dtype], -1, -1):
        text = tf.strings.as_string(wide, precision=count, scientific=True)
        if found is None:
            found = text
        else:
            same = tf.cast(tf.strings.to_number(text, wide.dtype), x.dtype) == finite
            found = tf.where(same, text, found)
    return found


def _pointed(text: Any) -> Any:
    """Return what is spelled with an exponent, which is small, without it."""
    exponent = tf.strings.to_number(tf.strings.regex_replace(text, r"^.*e", ""), tf.int32)
    sign = tf.strings.regex_replace(text, r"^(-?).*$", r"\1")
    digits = tf.strings.regex_replace(tf.strings.regex_replace(text, r"e.*$", ""), r"[-.]", "")
    zeros = tf.fill(tf.shape(text), "0" * (_PLACES + 1))
    before = tf.minimum(tf.maximum(exponent, 0), _PLACES - 1) + 1
    whole = tf.strings.substr(digits + zeros, tf.zeros_like(before), before)
    longer = tf.strings.length(digits) > before
    start = tf.where(longer, before, tf.zeros_like(before))
    rest = tf.strings.substr(digits, start, tf.strings.length(digits))
    large = sign + whole + "." + tf.where(longer, rest, "0")
    missing = tf.minimum(tf.maximum(-exponent - 1, 0), _PLACES)
    small = sign + "0." + tf.strings.substr(zeros, tf.zeros_like(missing), missing) + digits
    return tf.where(exponent >= 0, large, small)


def read(x: Any, name: str) -> Any:
    """Return the numbers that text spells: whole ones in 64 bits, others as float64."""
    if not name.startswith(("int", "uint")):
        return tf.strings.to_number(x, tf.float64)
    whole = tf.strings.regex_full_match(x, _WHOLE)
    zeros = tf.fill(tf.shape(x), "0")
    kind = tf.uint64 if name == "uint64" else tf.int64
    plain = tf.strings.regex_replace(x, r"[\s+]", "")
    exact = tf.strings.to_number(tf.where(whole, plain, zeros), kind)
    cut = tf.cast(tf.strings.to_number(tf.where(whole, zeros, x), tf.float64), kind)
    return tf.where(whole, exact, cut)
