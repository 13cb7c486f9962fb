"""Elements looked up in tables that are known: numbers, or text by its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from xbench.graph.plain import Array

_BUCKETS = 2**63 - 1


def as_text(one: object) -> str:
    """Return an element of a text array, which ONNX keeps as UTF-8."""
    return one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)


def text_array(values: Any) -> Array:
    """Return texts as an array of one axis."""
    found = np.empty(len(values), dtype=object)
    found[:] = [as_text(one) for one in values]
    return found


def first_places(table: Array, x: Any) -> Any:
    """Return where each number stands in a sorted table, or would stand, and at most its end."""
    flat = tf.reshape(x, [-1])
    longer = tf.concat([flat, tf.zeros([1], flat.dtype)], 0)  # nothing cannot be searched for
    found = tf.searchsorted(tf.constant(table), longer, out_type=tf.int64)[:-1]
    return tf.reshape(tf.minimum(found, len(table) - 1), tf.shape(x))


def _prints(x: Any) -> Any:
    return tf.strings.to_hash_bucket_fast(x, _BUCKETS)


@dataclass(frozen=True, slots=True)
class Table:
    """Keys of one kind, none twice, sorted by themselves, or text by its fingerprints.

    Attributes:
        keys: The keys, in that order.
        order: The place of each among the keys that were given.
        prints: The fingerprints of text; None for numbers.
    """

    keys: Array
    order: Array
    prints: Array | None

    def places(self, x: Any) -> tuple[Any, Any]:
        """Return the place of each element among the keys as given, and whether it is there."""
        if not len(self.keys):
            zeros = tf.zeros(tf.shape(x), tf.int64)
            return zeros, tf.cast(zeros, tf.bool)
        wanted = x if self.prints is not None else tf.cast(x, self.keys.dtype)
        if self.prints is not None:
            found = first_places(self.prints, _prints(x))
        else:
            found = first_places(self.keys, wanted)
        there = tf.equal(tf.gather(tf.constant(self.keys), found), wanted)
        return tf.gather(tf.constant(self.order.astype(np.int64)), found), there


def table_of(keys: Array) -> Table:
    """Return a table of keys of which none is there twice.

    Raises:
        ValueError: If two texts have the same fingerprint, which may happen, but hardly does.
    """
    if keys.dtype != object:
        order = np.argsort(keys, kind="stable")
        return Table(keys[order], order, None)
    texts = text_array(keys)
    with tf.init_scope():  # at once, and not as a part of the graph
        prints = _prints(tf.constant(texts)).numpy() if len(texts) else np.zeros(0, np.int64)
    if len(set(prints.tolist())) < len(texts):
        raise ValueError("two texts have the same fingerprint")
    order = np.argsort(prints, kind="stable")
    return Table(texts[order], order, prints[order])
