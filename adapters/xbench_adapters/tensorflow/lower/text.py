"""Operators on text."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower.lookup import first_places
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array


@lowering("StringConcat", raw=True)
def string_concat(node: Node, to: Builder) -> Any:
    """Return each text followed by the other."""
    left, right = (to.value(name) for name in node.inputs)
    if not (left.shape.is_fully_defined() and left.shape == right.shape):
        whole = tf.broadcast_dynamic_shape(tf.shape(left), tf.shape(right))
        left, right = tf.broadcast_to(left, whole), tf.broadcast_to(right, whole)
    return tf.strings.join([left, right])


@lowering("StringSplit", raw=True)
def string_split(node: Node, to: Builder) -> tuple[Any, Any]:
    """Return the parts of each text, filled up with empty text, and how many there are."""
    x = to.value(node.inputs[0])
    delimiter, most = node.attributes.get("delimiter") or "", node.attributes.get("maxsplit")
    if most is not None and most <= 0:
        to.refuse(f"at most {most} cuts")
    parts = tf.strings.split(tf.reshape(x, [-1]), delimiter, -1 if most is None else most)
    if not delimiter and most is not None:
        # After as many cuts as may be made there is a last part, even of nothing.
        parts = tf.ragged.boolean_mask(parts, tf.strings.length(parts) > 0)
    whole, counts = parts.to_tensor(""), parts.row_lengths()
    shape = tf.shape(x)
    spread = tf.reshape(whole, tf.concat([shape, tf.shape(whole)[1:]], 0))
    return spread, tf.reshape(tf.cast(counts, tf.int64), shape)


@lowering("RegexFullMatch", raw=True)
def regex_full_match(node: Node, to: Builder) -> Any:
    """Return whether a pattern matches the whole of each text, both in RE2's words."""
    pattern = str(node.attributes.get("pattern", ""))
    try:
        with tf.init_scope():  # at once, to know that RE2 takes it
            tf.strings.regex_full_match(tf.constant([""]), pattern)
    except tf.errors.InvalidArgumentError as error:
        to.refuse(f"its pattern: {error.message}")
    return tf.strings.regex_full_match(to.value(node.inputs[0]), pattern)


@cache
def _other_case(action: str) -> tuple[Array, Array]:
    """Return the characters beyond ASCII that have another case of one character, and those."""
    found = []
    for code in range(128, sys.maxunicode + 1):
        one = chr(code)
        new = one.lower() if action == "LOWER" else one.upper()
        if new != one and len(new) == 1:
            found.append((code, ord(new)))
    pairs = np.array(found, np.int32)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def cased(x: Any, action: str, *, narrow: bool) -> Any:
    """Return text with each character in another case, if it has one of one character.

    Args:
        x: Texts along one axis.
        action: ``LOWER``, ``UPPER`` or ``NONE``.
        narrow: Whether letters beyond ASCII have no case.
    """
    if action == "NONE":
        return x
    ascii_only = tf.strings.lower(x) if action == "LOWER" else tf.strings.upper(x)
    if narrow:
        return ascii_only
    keys, values = _other_case(action)
    codes = tf.strings.unicode_decode(ascii_only, "UTF-8")
    flat = codes.flat_values
    places = first_places(keys, flat)
    changes = tf.equal(tf.gather(tf.constant(keys), places), flat)
    changed = tf.where(changes, tf.gather(tf.constant(values), places), flat)
    return tf.strings.unicode_encode(codes.with_flat_values(changed), "UTF-8")


@lowering("StringNormalizer", raw=True)
def string_normalizer(node: Node, to: Builder) -> Any:
    """Return the texts that are no stop words, in the case asked for."""
    attributes = node.attributes
    action, exact = attributes["case_change_action"], bool(attributes["is_case_sensitive"])
    locale = str(attributes.get("locale", ""))
    if (action != "NONE" or not exact) and locale[:2] in ("tr", "az", "lt"):
        to.refuse("a locale with an order of cases of its own")
    x, rank, narrow = to.value(node.inputs[0]), to.rank(node.inputs[0]), locale in ("C", "POSIX")
    if rank not in (1, 2) or (rank == 2 and x.shape[0] not in (1, None)):
        to.refuse(f"texts of shape {x.shape}, not [C] or [1, C]")
    if rank == 2 and x.shape[0] is None:
        tf.debugging.assert_equal(tf.shape(x)[0], 1, "texts of a shape that is not [1, C]")
    texts = tf.reshape(x, [-1])
    stopwords = list(attributes.get("stopwords", []))
    if stopwords:
        compared = "NONE" if exact else "LOWER"
        words = cased(tf.constant(stopwords), compared, narrow=narrow)
        left_out = tf.equal(cased(texts, compared, narrow=narrow)[:, None], words)
        texts = tf.boolean_mask(texts, tf.logical_not(tf.reduce_any(left_out, 1)))
    found = cased(texts, action, narrow=narrow)
    missing = 1 - tf.minimum(tf.size(found), 1)  # of no text, one that is empty is left
    found = tf.concat([found, tf.fill([missing], "")], 0)
    return found if rank == 1 else found[None]
