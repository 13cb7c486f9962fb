"""The memory layout of convolutions: whichever is faster for the model at hand, by the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter

import torch
from torch import nn

LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
WORTH = 0.97  # of the time in the usual layout: less gain than that is not told from noise
TURNS = 3  # of each layout, one after the other, so that both see the same machine
MOST_S = 2.0  # beyond this, a slow model is not timed any further


def choose(
    module: nn.Module, inputs: Sequence[torch.Tensor], finish: Callable[[], None] = lambda: None
) -> str | None:
    """Return the layout that ``module`` is left in, and how it was found; None without a choice.

    A module whose convolutions have two axes runs in either layout with the same results, but
    for rounding. Their weights decide: activations follow them.

    Args:
        module: An imported module.
        inputs: Inputs as the timed inferences will have.
        finish: Returns when what was started is done; a CPU does not go ahead of its work.
    """
    if not _convolutions(module):
        return None
    spent_s: dict[str, list[float]] = {name: [] for name in LAYOUTS}
    start_s = perf_counter()
    for turn in range(TURNS):
        for name in LAYOUTS:
            _arrange(module, name)
            spent_s[name].append(_seconds(module, inputs, finish))
        if turn and perf_counter() - start_s > MOST_S:
            break
    usual, other = (median(spent_s[name]) for name in LAYOUTS)
    chosen = "channels last" if other < WORTH * usual else "channels first"
    _arrange(module, chosen)
    return f"{chosen}, by the clock"


def _convolutions(module: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return [part for part in module.modules() if isinstance(part, kinds)]


def _arrange(module: nn.Module, name: str) -> None:
    for part in _convolutions(module):
        part.weight.data = part.weight.data.contiguous(memory_format=LAYOUTS[name])


def _seconds(
    module: nn.Module, inputs: Sequence[torch.Tensor], finish: Callable[[], None]
) -> float:
    """Return the time of one inference, after one that is not timed."""
    with torch.inference_mode():
        module(*inputs)
        finish()
        start_s = perf_counter()
        module(*inputs)
        finish()
        return perf_counter() - start_s
