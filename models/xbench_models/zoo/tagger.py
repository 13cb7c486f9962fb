"""A recurrent tagger: embedded words, two bidirectional LSTM layers, a tag for each word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xbench_models.pytorch.health import calibrate

if TYPE_CHECKING:
    from xbench_models.pytorch.recipe import Made

WORDS, LENGTH = 20_000, 32


class LstmTagger(nn.Module):
    """Scores the tags of each word of a sentence."""

    def __init__(self, width: int = 128, hidden: int = 256, tags: int = 17) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, width)
        self.lstm = nn.LSTM(width, hidden, num_layers=2, bidirectional=True, batch_first=True)
        self.tags = nn.Linear(2 * hidden, tags)
        for name, weight in self.lstm.named_parameters():
            if name.startswith("weight"):  # torch's own are so small that no gate leaves 0.5
                nn.init.kaiming_normal_(weight, nonlinearity="linear")

    def forward(self, input_ids: Tensor) -> dict[str, Tensor]:
        """Return the logits, batch x sequence x tags."""
        states, _ = self.lstm(self.embedding(input_ids))
        return {"logits": self.tags(states)}


def lstm_tagger() -> Made:
    """Return the tagger and two sentences; their length is fixed, since torch unrolls it."""
    module = calibrate(LstmTagger(), sentences(16))
    return module, sentences(2)


def sentences(count: int) -> dict[str, Tensor]:
    """Return ``count`` sentences of random words, by the name of the input."""
    return {"input_ids": torch.randint(WORDS, (count, LENGTH))}
