"""Counts of short sequences of tokens: `TfIdfVectorizer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench.graph.ngrams import Grams, vocabulary
from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower.attend import dims
from xbench_adapters.tensorflow.lower.lookup import first_places, table_of, text_array
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array


def _counted(grams: Grams, x: Any, apart: int, size: int) -> Any:
    """Return how often each column stands in each row, its tokens ``apart`` places apart."""
    rows, width = dims(x)
    width = width - apart * (len(grams.tables) - 1)
    if isinstance(width, int) and width <= 0:
        return tf.zeros([rows, size], tf.float32)
    width = width if isinstance(width, int) else tf.maximum(width, 0)
    state = tf.zeros([rows, width], tf.int64)
    good = tf.ones([rows, width], tf.bool)
    for place, table in enumerate(grams.tables):
        token = x[:, place * apart :][:, :width]
        state, found = _looked_up(table, state * grams.tokens + token)
        good = good & found & (token >= 0)
    first = tf.range(tf.cast(rows, tf.int64))[:, None] * size
    places = tf.where(good, first + tf.gather(tf.constant(grams.columns), state), -1)
    ones = tf.ones(tf.shape(places), tf.float32)
    whole = tf.math.unsorted_segment_sum(ones, places, rows * size)
    return tf.reshape(whole, [rows, size])


def _looked_up(table: Array, x: Any) -> tuple[Any, Any]:
    """Return the place of each number in a sorted table, and whether it is there."""
    places = first_places(table, x)
    return places, tf.equal(tf.gather(tf.constant(table), places), x)


@lowering("TfIdfVectorizer", raw=True)
def tf_idf_vectorizer(node: Node, to: Builder) -> Any:
    """Return how often each known sequence of tokens stands in a row, weighted."""
    said = vocabulary(node, to.refuse)
    rank = to.rank(node.inputs[0])
    if rank > 2:
        to.refuse("tokens that are not of shape [C] or [N, C]")
    x = to.value(node.inputs[0])
    words = said.words
    known = text_array(words) if isinstance(words[0], str) else np.array(words, np.int64)
    x = x if x.dtype == tf.string else tf.cast(x, tf.int64)
    found, there = table_of(known).places(x)
    tokens = tf.where(there, found, -1)
    rows = tokens if rank == 2 else tf.reshape(tokens, [1, -1])
    counts = tf.zeros([dims(rows)[0], len(said.weights)], tf.float32)
    for grams in said.grams:
        for apart in range(1, said.skips + 2):
            if apart == 1 or len(grams.tables) > 1:  # a single token has none to be apart from
                counts = counts + _counted(grams, rows, apart, len(said.weights))
    counts = tf.cast(counts > 0, tf.float32) if said.once else counts
    result = counts * said.weights
    return result if rank == 2 else tf.reshape(result, [-1])
