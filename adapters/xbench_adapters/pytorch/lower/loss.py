"""Losses of classification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_NO_CLASS = -(2**63)
"""What PyTorch is told to ignore where nothing is ignored: its default could be a mistake."""


def _choices(node: Node) -> tuple[int, str]:
    return node.attributes.get("ignore_index", _NO_CLASS), node.attributes["reduction"]


@lowering("NegativeLogLikelihoodLoss", 12)
def negative_log_likelihood(node: Node, to: Builder) -> torch.fx.Node:
    """Return the negated logarithms of the classes that are right, weighted and reduced."""
    x, target = (to.value(name) for name in node.inputs[:2])
    return to.call(likelihood_loss, x, target, to.optional(node.input(2)), *_choices(node))


def likelihood_loss(
    x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, ignored: int, reduction: str
) -> torch.Tensor:
    """Return the loss of logarithms of probabilities, in their type.

    Args:
        x: Logarithms, their second axis the classes.
        target: The right classes.
        weight: A factor for each class.
        ignored: A class of no loss and no weight.
        reduction: ``none``, ``sum``, or ``mean`` by weight.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    factors = None if weight is None else weight.to(wide)
    places = target.to(torch.int64)
    loss = functional.nll_loss(
        x.to(wide), places, factors, ignore_index=ignored, reduction=reduction
    )
    return loss.to(x.dtype)


@lowering("SoftmaxCrossEntropyLoss", 12)
def softmax_cross_entropy(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the loss of scores, and the logarithms of their softmax."""
    x, target = (to.value(name) for name in node.inputs[:2])
    logs = to.call(torch.log_softmax, x, 1)
    weight = to.optional(node.input(2))
    return to.call(likelihood_loss, logs, target, weight, *_choices(node)), logs
