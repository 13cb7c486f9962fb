"""Looking numbers and words up in tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from xbench.graph.plain import Array


def looked_up(table: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the place of each number in a sorted table, and whether it is there."""
    places = torch.searchsorted(table, x.contiguous()).clamp(max=table.shape[0] - 1)
    return places, table[places] == x


def numbered(words: Mapping[str, int], x: Array, device: torch.device) -> torch.Tensor:
    """Return the number of each word, or -1 for one that has none."""
    flat = [words.get(one, -1) for one in x.reshape(-1)]
    return torch.tensor(flat, device=device).long().reshape(x.shape)
