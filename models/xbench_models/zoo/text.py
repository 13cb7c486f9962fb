"""Transformers over text, with seeded weights.

As they are initialised, layer normalisation keeps every activation in scale, and outputs
differ by token: there is nothing to calibrate. The masks are written out, since those that
transformers derives are a graph of their own, different with each of its versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xbench_models.pytorch.architecture import PLAIN_ATTENTION

if TYPE_CHECKING:
    from xbench_models.pytorch.recipe import MadeOpen

HIDDEN = torch.finfo(torch.float32).min  # added to the score of what may not be seen


class Reader(nn.Module):
    """BERT that finds where in a text the answer to a question starts and ends."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> dict[str, Tensor]:
        """Return the logits of start and of end, each batch x sequence."""
        hidden = (1.0 - attention_mask[:, None, None, :].float()) * HIDDEN
        found = self.model(
            input_ids=input_ids, attention_mask=hidden, token_type_ids=token_type_ids
        )
        return {"start_logits": found.start_logits, "end_logits": found.end_logits}


class Writer(nn.Module):
    """GPT-2 that scores every next token of a prompt, without a cache."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> dict[str, Tensor]:
        """Return the logits, batch x sequence x vocabulary."""
        length = input_ids.shape[1]
        later = torch.full((length, length), HIDDEN).triu(diagonal=1)[None, None]
        scored = self.model(input_ids, attention_mask=later, use_cache=False)
        return {"logits": scored.logits}


def bert_base() -> MadeOpen:
    """Return BERT base, two texts of 128 tokens, and the open axes."""
    from transformers import BertConfig, BertForQuestionAnswering

    config = BertConfig(attn_implementation=PLAIN_ATTENTION)
    shape = (2, 128)
    inputs = {
        "input_ids": torch.randint(config.vocab_size, shape),
        "attention_mask": torch.ones(shape, dtype=torch.int64),
        "token_type_ids": torch.randint(config.type_vocab_size, shape),
    }
    axes = {name: {1: "sequence"} for name in inputs}
    return Reader(BertForQuestionAnswering(config)), inputs, axes


def gpt2() -> MadeOpen:
    """Return GPT-2 (124 million parameters), two prompts of 64 tokens, and the open axes."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        use_cache=False,
        attn_implementation=PLAIN_ATTENTION,
        activation_function="gelu_pytorch_tanh",  # GPT-2's own, exported as one operator
    )
    inputs = {"input_ids": torch.randint(config.vocab_size, (2, 64))}
    return Writer(GPT2LMHeadModel(config)), inputs, {"input_ids": {1: "sequence"}}
