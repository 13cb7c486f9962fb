"""Counts of short sequences of tokens: `TfIdfVectorizer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch import nn

from xbench.graph.ngrams import Grams, Vocabulary, vocabulary
from xbench_adapters.pytorch.lower.shared.tables import looked_up, numbered
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


class Counter(nn.Module):
    """Counts the sequences of one length."""

    columns: torch.Tensor

    def __init__(self, grams: Grams) -> None:
        super().__init__()
        self.length, self.tokens = len(grams.tables), grams.tokens
        for place, table in enumerate(grams.tables):
            self.register_buffer(f"table_{place}", torch.tensor(table))
        self.register_buffer("columns", torch.tensor(grams.columns))

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

    def __init__(self, said: Vocabulary) -> None:
        super().__init__()
        self.words = {word: place for place, word in enumerate(said.words)}
        self.text = isinstance(said.words[0], str)
        self.register_buffer("vocabulary", torch.tensor([] if self.text else said.words).long())
        self.counters = nn.ModuleList(map(Counter, said.grams))
        self.register_buffer("weights", torch.tensor(said.weights))
        self.skips = said.skips
        self.once = said.once

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
            for counter in self.counters:
                assert isinstance(counter, Counter)
                if apart == 1 or counter.length > 1:  # a single token has none to be apart from
                    counts = counter(rows, apart, counts)
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
    return to.module(Vectorizer(vocabulary(node, to.refuse)), to.value(node.inputs[0]))
