"""Products of matrices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
import torch.fx
from torch import nn

from xbench_adapters.pytorch.builder import Builder
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node


def _linear(to: Builder, x: torch.fx.Node, weight: Array, bias: Array | None) -> torch.fx.Node:
    """Return a native linear layer; ``weight`` has outputs first, as PyTorch keeps it."""
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    module.weight = to.parameter(weight)
    if bias is not None:
        module.bias = to.parameter(bias)
    return to.module(module, x)


@lowering("MatMul", 1)
def matmul(node: Node, to: Builder) -> torch.fx.Node:
    """Return a product of matrices, batched as NumPy does."""
    left, right = node.inputs
    weight = to.constant(right)
    known = weight is not None and weight.ndim == 2 and to.floating(right)
    if weight is not None and known and to.constant(left) is None:
        return _linear(to, to.value(left), weight.T, None)
    return to.call(torch.matmul, to.value(left), to.value(right))


@lowering("Linear", 1, domain="xbench")
def linear(node: Node, to: Builder) -> torch.fx.Node:
    """Return a product with a known matrix, plus a known vector."""
    weight, bias = (to.need(name, "weight") for name in node.inputs[1:])
    return _linear(to, to.value(node.inputs[0]), weight.T, bias.reshape(-1))


@lowering("Gemm", 7)
def gemm(node: Node, to: Builder) -> torch.fx.Node:
    """Return alpha * A @ B + beta * C, either factor transposed where asked."""
    alpha, beta = node.attributes["alpha"], node.attributes["beta"]
    turned = node.attributes["transA"], node.attributes["transB"]
    weight, third = to.constant(node.inputs[1]), node.input(2)
    if alpha == beta == 1 and not turned[0] and weight is not None and to.floating(node.inputs[1]):
        weight = weight if turned[1] else weight.T
        bias = to.constant(third) if third else None
        if not third:
            return _linear(to, to.value(node.inputs[0]), weight, None)
        if bias is not None and bias.size == weight.shape[0] == bias.shape[-1:][0]:
            return _linear(to, to.value(node.inputs[0]), weight, bias.reshape(-1))
    factors = [
        to.call(torch.t, to.value(name)) if turn else to.value(name)
        for name, turn in zip(node.inputs, turned, strict=False)
    ]
    product = to.call(torch.matmul, *factors)
    product = product if alpha == 1 else _scaled(to, product, alpha)
    if not third:
        return product
    added = to.value(third)
    return to.call(torch.add, product, added if beta == 1 else _scaled(to, added, beta))


def _scaled(to: Builder, x: torch.fx.Node, factor: float) -> torch.fx.Node:
    assert to.node is not None
    if not to.floating(to.node.inputs[0]):
        if factor != int(factor):
            to.refuse("a fractional factor on whole numbers")
        factor = int(factor)
    return to.call(torch.mul, x, factor)


@lowering("Einsum", 12)
def einsum(node: Node, to: Builder) -> torch.fx.Node:
    """Return an Einstein sum."""
    equation = re.sub(r"\s", "", node.attributes["equation"])
    return to.call(torch.einsum, equation, *(to.value(name) for name in node.inputs))
