"""Counts of short sequences of tokens: `TfIdfVectorizer`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from torch import nn

from xbench_adapters.pytorch.lower.shared.tables import looked_up, numbered
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder


class Grams(nn.Module):
    """The sequences of one length that are counted, as tables that lead to their columns.

    A table holds, sorted, a number for each beginning that some sequence has: the place of
    the beginning without its last token, times the number of tokens, plus that token.
    """

    columns: torch.Tensor

    def __init__(self, grams: Array, columns: Array, tokens: int) -> None:
        super().__init__()
        self.length = int(grams.shape[1])
        self.tokens = tokens
        state = np.zeros(len(grams), np.int64)
        for place in range(self.length):
            table, state = np.unique(state * tokens + grams[:, place], return_inverse=True)
            self.register_buffer(f"table_{place}", torch.tensor(table))
        found = np.zeros(len(table), np.int64)
        found[state] = columns  # of sequences that are given twice, the last one counts
        self.register_buffer("columns", torch.tensor(found))

    def forward(self, x: torch.Tensor, apart: int, counts: torch.Tensor) -> torch.Tensor:
        """Return counts, with those of sequences whose tokens are ``apart`` places apart."""
        width = x.shape[1] - apart * (self.length - 1)
        if width <= 0:
            return counts
        state = torch.zeros_like(x[:, :width])
        good = torch.ones_like(state, dtype=torch.bool)
        for place in range(self.length):
            token = x[:, place * apart : place * apart + width]
            state, found = looked_up(self.get_buffer(f"table_{place}"), state * self.tokens + token)
            good = good & found & (token >= 0)
        return counts.scatter_add(1, self.columns[state], good.to(counts.dtype))


class Vectorizer(nn.Module):
    """Counts of sequences in each row of tokens, weighted."""

    vocabulary: torch.Tensor
    weights: torch.Tensor

    def __init__(
        self, words: list[Any], grams: list[Grams], weights: Array, skips: int, *, once: bool
    ) -> None:
        super().__init__()
        self.words = {word: place for place, word in enumerate(words)}
        self.text = bool(words) and isinstance(words[0], str)
        self.register_buffer("vocabulary", torch.tensor([] if self.text else words).long())
        self.grams = nn.ModuleList(grams)
        self.register_buffer("weights", torch.tensor(weights))
        self.skips = skips
        self.once = once

    def forward(self, x: Any) -> torch.Tensor:
        """Return a column for each sequence, of each row if there are rows."""
        tokens = self._tokens(x)
        if tokens.ndim > 2:
            raise ValueError("tokens must be of shape [C] or [N, C]")
        rows = tokens.reshape(-1, tokens.shape[-1]) if tokens.ndim else tokens.reshape(1, 1)
        counts = torch.zeros(
            (rows.shape[0], self.weights.shape[0]), dtype=torch.float32, device=rows.device
        )
        for apart in range(1, self.skips + 2):
            for gram in self.grams:
                assert isinstance(gram, Grams)
                if apart == 1 or gram.length > 1:  # a single token has none to be apart from
                    counts = gram(rows, apart, counts)
        counts = (counts > 0).float() if self.once else counts
        found = counts * self.weights
        return found if tokens.ndim == 2 else found.reshape(-1)

    def _tokens(self, x: Any) -> torch.Tensor:
        """Return the place of each token in the vocabulary, or -1."""
        if not self.text:
            places, found = looked_up(self.vocabulary, x.long())
            return torch.where(found, places, -1)
        return numbered(self.words, x, self.weights.device)


@lowering("TfIdfVectorizer", raw=True)
def tf_idf_vectorizer(node: Node, to: Builder) -> torch.fx.Node:
    """Return how often each known sequence of tokens stands in a row, weighted."""
    attributes = node.attributes
    pool = list(attributes.get("pool_int64s") or attributes.get("pool_strings") or [])
    columns = np.array(attributes["ngram_indexes"], np.int64)
    words = sorted(set(pool))
    places = {word: place for place, word in enumerate(words)}
    coded = np.array([places[one] for one in pool], np.int64)
    size, mode = int(columns.max(initial=-1)) + 1, attributes["mode"]
    weights = np.ones(size, np.float32)
    given = attributes.get("weights") if mode != "TF" else None
    if given:
        if len(given) != len(columns) or len(set(columns.tolist())) < len(columns):
            to.refuse(f"{len(given)} weights for {len(columns)} sequences of tokens")
        weights[columns] = given
    if not pool or mode not in ("TF", "IDF", "TFIDF"):
        to.refuse(f"mode {mode} with {len(pool)} tokens")
    grams = _grams(node, coded, columns, len(words), to)
    skips = int(attributes["max_skip_count"])
    module = Vectorizer(words, grams, weights, skips, once=mode == "IDF")
    return to.module(module, to.value(node.inputs[0]))


def _grams(node: Node, pool: Array, columns: Array, tokens: int, to: Builder) -> list[Grams]:
    """Return the sequences of each length that is counted."""
    starts = [*node.attributes["ngram_counts"], len(pool)]
    shortest, longest = node.attributes["min_gram_length"], node.attributes["max_gram_length"]
    found, first = [], 0
    for length, (start, end) in enumerate(pairwise(starts), 1):
        count = (end - start) // length
        if count < 0 or (end - start) % length or first + count > len(columns):
            to.refuse("a pool that does not come out even")
        if count and shortest <= length <= longest:
            grams = pool[start:end].reshape(count, length)
            found.append(Grams(grams, columns[first : first + count], tokens))
        first += count
    return found
