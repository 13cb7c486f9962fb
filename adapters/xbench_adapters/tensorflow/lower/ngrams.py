"""Counts of short sequences of tokens: `TfIdfVectorizer`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower.attend import dims
from xbench_adapters.tensorflow.lower.lookup import first_places, table_of, text_array
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array


@dataclass(frozen=True, slots=True)
class Grams:
    """The sequences of one length that are counted, as tables that lead to their columns.

    A table holds, sorted, a number for each beginning that some sequence has: the place of
    the beginning without its last token, times the number of tokens, plus that token.
    """

    tables: tuple[Array, ...]
    columns: Array
    tokens: int

    def counted(self, x: Any, apart: int, size: int) -> Any:
        """Return how often each column stands in each row, its tokens ``apart`` places apart."""
        rows, width = dims(x)
        width = width - apart * (len(self.tables) - 1)
        if isinstance(width, int) and width <= 0:
            return tf.zeros([rows, size], tf.float32)
        width = width if isinstance(width, int) else tf.maximum(width, 0)
        state = tf.zeros([rows, width], tf.int64)
        good = tf.ones([rows, width], tf.bool)
        for place, table in enumerate(self.tables):
            token = x[:, place * apart :][:, :width]
            state, found = _looked_up(table, state * self.tokens + token)
            good = good & found & (token >= 0)
        first = tf.range(tf.cast(rows, tf.int64))[:, None] * size
        places = tf.where(good, first + tf.gather(tf.constant(self.columns), state), -1)
        ones = tf.ones(tf.shape(places), tf.float32)
        whole = tf.math.unsorted_segment_sum(ones, places, rows * size)
        return tf.reshape(whole, [rows, size])


def _looked_up(table: Array, x: Any) -> tuple[Any, Any]:
    """Return the place of each number in a sorted table, and whether it is there."""
    places = first_places(table, x)
    return places, tf.equal(tf.gather(tf.constant(table), places), x)


def _grams_of(grams: Array, columns: Array, tokens: int) -> Grams:
    tables, state = [], np.zeros(len(grams), np.int64)
    for place in range(grams.shape[1]):
        table, state = np.unique(state * tokens + grams[:, place], return_inverse=True)
        tables.append(table)
    found = np.zeros(len(tables[-1]), np.int64)
    found[state] = columns  # of sequences that are given twice, the last one counts
    return Grams(tuple(tables), found, tokens)


def _grams(node: Node, pool: Array, columns: Array, tokens: int, to: Builder) -> Iterator[Grams]:
    """Yield the sequences of each length that is counted."""
    starts = [*node.attributes["ngram_counts"], len(pool)]
    shortest, longest = node.attributes["min_gram_length"], node.attributes["max_gram_length"]
    first = 0
    for length, (start, end) in enumerate(pairwise(starts), 1):
        count = (end - start) // length
        if count < 0 or (end - start) % length or first + count > len(columns):
            to.refuse("a pool that does not come out even")
        if count and shortest <= length <= longest:
            grams = pool[start:end].reshape(count, length)
            yield _grams_of(grams, columns[first : first + count], tokens)
        first += count


def _weights(node: Node, columns: Array, to: Builder) -> Array:
    """Return what each column is multiplied by."""
    weights = np.ones(int(columns.max(initial=-1)) + 1, np.float32)
    given = node.attributes.get("weights") if node.attributes["mode"] != "TF" else None
    if given:
        if len(given) != len(columns) or len(set(columns.tolist())) < len(columns):
            to.refuse(f"{len(given)} weights for {len(columns)} sequences of tokens")
        weights[columns] = given
    return weights


@lowering("TfIdfVectorizer", raw=True)
def tf_idf_vectorizer(node: Node, to: Builder) -> Any:
    """Return how often each known sequence of tokens stands in a row, weighted."""
    attributes = node.attributes
    pool = list(attributes.get("pool_int64s") or attributes.get("pool_strings") or [])
    columns, mode = np.array(attributes["ngram_indexes"], np.int64), attributes["mode"]
    if not pool or mode not in ("TF", "IDF", "TFIDF"):
        to.refuse(f"mode {mode} with {len(pool)} tokens")
    rank = to.rank(node.inputs[0])
    if rank > 2:
        to.refuse("tokens that are not of shape [C] or [N, C]")
    words = sorted(set(pool))
    places = {word: place for place, word in enumerate(words)}
    coded = np.array([places[one] for one in pool], np.int64)
    weights = _weights(node, columns, to)
    x = to.value(node.inputs[0])
    known = text_array(words) if isinstance(words[0], str) else np.array(words, np.int64)
    x = x if x.dtype == tf.string else tf.cast(x, tf.int64)
    found, there = table_of(known).places(x)
    tokens = tf.where(there, found, -1)
    rows = tokens if rank == 2 else tf.reshape(tokens, [1, -1])
    counts = tf.zeros([dims(rows)[0], len(weights)], tf.float32)
    for grams in _grams(node, coded, columns, len(words), to):
        for apart in range(1, int(attributes["max_skip_count"]) + 2):
            if apart == 1 or len(grams.tables) > 1:  # a single token has none to be apart from
                counts = counts + grams.counted(rows, apart, len(weights))
    counts = tf.cast(counts > 0, tf.float32) if mode == "IDF" else counts
    result = counts * weights
    return result if rank == 2 else tf.reshape(result, [-1])
