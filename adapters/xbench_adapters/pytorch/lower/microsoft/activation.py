"""ONNX Runtime's activations, and the sums before them that it fuses in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.activation import swished
from xbench_adapters.pytorch.lower.softmax import softmax_from
from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def _sum(node: Node, to: Builder) -> torch.fx.Node:
    """Return the first input, plus the second where there is one."""
    x = to.value(node.inputs[0])
    return to.call(torch.add, x, to.value(node.input(1))) if node.input(1) else x


@lowering("BiasGelu", 1, domain=MICROSOFT)
@lowering("Gelu", 1, domain=MICROSOFT)
def gelu(node: Node, to: Builder) -> torch.fx.Node:
    """Return the exact Gaussian error linear unit, of a sum where a bias is given."""
    return to.call(functional.gelu, _sum(node, to))


@lowering("FastGelu", 1, domain=MICROSOFT)
def fast_gelu(node: Node, to: Builder) -> torch.fx.Node:
    """Return the Gaussian error linear unit by tanh, of a sum where a bias is given."""
    return to.call(functional.gelu, _sum(node, to), approximate="tanh")


@lowering("QuickGelu", 1, domain=MICROSOFT)
def quick_gelu(node: Node, to: Builder) -> torch.fx.Node:
    """Return x * sigmoid(alpha * x)."""
    return swished(to, to.value(node.inputs[0]), node.attributes.get("alpha", 1.702))


def split_gelu(x: torch.Tensor) -> torch.Tensor:
    """Return the first half of the last axis times the activated second half."""
    left, right = x.tensor_split(2, -1)
    return left * functional.gelu(right)


@lowering("BiasSplitGelu", 1, domain=MICROSOFT)
def bias_split_gelu(node: Node, to: Builder) -> torch.fx.Node:
    """Return one half of a sum times the activated other half."""
    return to.call(split_gelu, _sum(node, to))


@lowering("BiasAdd", 1, domain=MICROSOFT)
def bias_add(node: Node, to: Builder) -> torch.fx.Node:
    """Return the sum of a tensor, a bias for its last axis and another tensor."""
    return to.call(torch.add, _sum(node, to), to.value(node.inputs[2]))


@lowering("BiasSoftmax", 1, domain=MICROSOFT)
def bias_softmax(node: Node, to: Builder) -> torch.fx.Node:
    """Return the softmax of a sum, whose second term is broadcast as in any sum."""
    return to.call(softmax_from, _sum(node, to), node.attributes.get("axis", 1))


@lowering("BitmaskBiasDropout", 1, domain=MICROSOFT)
@lowering("BiasDropout", 1, domain=MICROSOFT)
def bias_dropout(node: Node, to: Builder) -> tuple[torch.fx.Node | None, ...]:
    """Return the sum of the inputs; nothing is dropped, and training is refused."""
    if node.input(4):
        training = to.constant(node.input(4))
        if training is None or bool(training.any()):
            to.refuse("training, or what may be")
    total = _sum(node, to)
    if node.input(2):
        total = to.call(torch.add, total, to.value(node.input(2)))
    kept = None
    if node.wants(1) and node.operator == "BiasDropout":
        kept = to.call(torch.ones_like, total, dtype=torch.bool)
    return total, kept
