"""Forests of decision trees, all walked at once."""

from __future__ import annotations

import torch
from torch import nn

from xbench.graph.plain import Array
from xbench.graph.trees import MEMBER, Trees

_ASKS = (torch.le, torch.lt, torch.ge, torch.gt, torch.eq, torch.ne)


class Forest(nn.Module):
    """Trees that give each target a sum, mean, least or largest of their leaves' weights."""

    features: torch.Tensor
    splits: torch.Tensor
    members: torch.Tensor
    missing: torch.Tensor
    modes: torch.Tensor
    yes: torch.Tensor
    no: torch.Tensor
    roots: torch.Tensor
    weights: torch.Tensor
    gives: torch.Tensor
    base: torch.Tensor

    def __init__(self, trees: Trees, depth: int, how: str, base: Array) -> None:
        super().__init__()
        for name in ("features", "splits", "members", "modes", "yes", "no", "roots", "weights"):
            self.register_buffer(name, torch.tensor(getattr(trees, name)))
        self.register_buffer("missing", torch.tensor(trees.missing))
        self.register_buffer("gives", torch.tensor(trees.gives))
        self.register_buffer("base", torch.tensor(base))
        self.asked = tuple(trees.asked)
        self.tracks = bool(trees.missing.any())
        self.depth = depth
        self.how = how

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a column for each target, and whether some leaf gave it anything."""
        x = x.to(self.splits.dtype)
        at = self.roots.expand(x.shape[0], -1)
        for _ in range(self.depth):
            value = x.gather(1, self.features[at])
            answer = self._answer(value, at)
            if self.tracks:
                answer = answer | (torch.isnan(value) & self.missing[at])
            at = torch.where(answer, self.yes[at], self.no[at])
        weights, gives = self.weights[at], self.gives[at]
        given = gives.any(1)
        return torch.where(given, self._together(weights, gives), 0) + self.base, given

    def _answer(self, value: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        if self.asked == ():
            return torch.zeros_like(at, dtype=torch.bool)
        found = self._asked(self.asked[0], value, at)
        for mode in self.asked[1:]:
            found = torch.where(self.modes[at] == mode, self._asked(mode, value, at), found)
        return found

    def _asked(self, mode: int, value: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        if mode == MEMBER:
            return (value.unsqueeze(-1) == self.members[at]).any(-1)
        return _ASKS[mode](value, self.splits[at])

    def _together(self, weights: torch.Tensor, gives: torch.Tensor) -> torch.Tensor:
        if self.how == "MIN":
            return torch.where(gives, weights, float("inf")).amin(1)
        if self.how == "MAX":
            return torch.where(gives, weights, -float("inf")).amax(1)
        total = weights.sum(1)
        return total / self.roots.shape[0] if self.how == "AVERAGE" else total
