"""Sequences of tokens that are counted: what `TfIdfVectorizer` says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node

Refuse = Callable[[str], NoReturn]
"""Says why a node cannot be run, and never returns."""


@dataclass(frozen=True, slots=True)
class Grams:
    """The sequences of one length that are counted, as tables that lead to their columns.

    A table holds, sorted, a number for each beginning that some sequence has: the place of
    the beginning without its last token, times the number of tokens, plus that token.

    Attributes:
        tables: One for each token of the sequences.
        columns: The column of each sequence, by its place in the last table.
        tokens: How many tokens there are.
    """

    tables: tuple[Array, ...]
    columns: Array
    tokens: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All that is counted.

    Attributes:
        words: The tokens, sorted: all text, or all numbers.
        grams: The sequences, by their length.
        weights: What each column is multiplied by.
        skips: By how many places more than one the tokens of a sequence may be apart.
        once: Whether a sequence that stands more than once counts as one.
    """

    words: list[Any]
    grams: tuple[Grams, ...]
    weights: Array
    skips: int
    once: bool


def vocabulary(node: Node, refuse: Refuse) -> Vocabulary:
    """Return what a node counts, or refuse what makes no sense."""
    attributes = node.attributes
    pool = list(attributes.get("pool_int64s") or attributes.get("pool_strings") or [])
    columns, mode = np.array(attributes["ngram_indexes"], np.int64), attributes["mode"]
    if not pool or mode not in ("TF", "IDF", "TFIDF"):
        refuse(f"mode {mode} with {len(pool)} tokens")
    words = sorted(set(pool))
    places = {word: place for place, word in enumerate(words)}
    coded = np.array([places[one] for one in pool], np.int64)
    return Vocabulary(
        words,
        tuple(_grams(node, coded, columns, len(words), refuse)),
        _weights(node, columns, refuse),
        int(attributes["max_skip_count"]),
        mode == "IDF",
    )


def _weights(node: Node, columns: Array, refuse: Refuse) -> Array:
    """Return what each column is multiplied by."""
    weights = np.ones(int(columns.max(initial=-1)) + 1, np.float32)
    given = node.attributes.get("weights") if node.attributes["mode"] != "TF" else None
    if given:
        if len(given) != len(columns) or len(set(columns.tolist())) < len(columns):
            refuse(f"{len(given)} weights for {len(columns)} sequences of tokens")
        weights[columns] = given
    return weights


def _grams(node: Node, pool: Array, columns: Array, tokens: int, refuse: Refuse) -> Iterator[Grams]:
    """Yield the sequences of each length that is counted."""
    starts = [*node.attributes["ngram_counts"], len(pool)]
    shortest, longest = node.attributes["min_gram_length"], node.attributes["max_gram_length"]
    first = 0
    for length, (start, end) in enumerate(pairwise(starts), 1):
        count = (end - start) // length
        if count < 0 or (end - start) % length or first + count > len(columns):
            refuse("a pool that does not come out even")
        if count and shortest <= length <= longest:
            grams = pool[start:end].reshape(count, length)
            yield _tabled(grams, columns[first : first + count], tokens)
        first += count


def _tabled(grams: Array, columns: Array, tokens: int) -> Grams:
    tables, state = [], np.zeros(len(grams), np.int64)
    for place in range(grams.shape[1]):
        table, state = np.unique(state * tokens + grams[:, place], return_inverse=True)
        tables.append(table)
    found = np.zeros(len(tables[-1]), np.int64)
    found[state] = columns  # of sequences that are given twice, the last one counts
    return Grams(tuple(tables), found, tokens)
