"""A recurrent tagger: embedded words, two bidirectional LSTM layers, a tag for each word."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xbench_models.health import calibrate

WORDS = 20_000


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


def lstm_tagger() -> tuple[nn.Module, dict[str, Tensor], dict[str, dict[int, str]]]:
    """Return the tagger, two sentences of 64 words, and the open axes."""
    module = calibrate(LstmTagger(), {"input_ids": torch.randint(WORDS, (8, 64))})
    inputs = {"input_ids": torch.randint(WORDS, (2, 64))}
    return module, inputs, {"input_ids": {1: "sequence"}}
