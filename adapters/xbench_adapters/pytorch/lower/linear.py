"""Products of matrices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
import torch.fx
from torch import nn

from xbench_adapters.pytorch.builder import Builder
from xbench_adapters.pytorch.lower.shared import unsigned
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


@lowering("Gemm", 1)
def gemm(node: Node, to: Builder) -> torch.fx.Node:
    """Return alpha * A @ B + beta * C, either factor transposed where asked."""
    alpha, beta = node.attributes["alpha"], node.attributes["beta"]
    turned = node.attributes["transA"], node.attributes["transB"]
    weight, third = to.constant(node.inputs[1]), node.input(2) if beta else ""
    if alpha == beta == 1 and not turned[0] and weight is not None and to.floating(node.inputs[1]):
        weight = weight if turned[1] else weight.T
        bias = to.constant(third) if third else None
        if not third:
            return _linear(to, to.value(node.inputs[0]), weight, None)
        if bias is not None and bias.size == weight.shape[0] and bias.shape[-1:] == (bias.size,):
            return _linear(to, to.value(node.inputs[0]), weight, bias.reshape(-1))
    factors = [
        to.call(torch.t, to.value(name)) if turn else to.value(name)
        for name, turn in zip(node.inputs, turned, strict=False)
    ]
    product = to.call(torch.matmul, *factors)
    if not to.floating(node.inputs[0]):
        return _whole(node, to, product, to.optional(third))
    product = product if alpha == 1 else to.call(torch.mul, product, alpha)
    if not third:
        return product
    added = to.value(third)
    return to.call(torch.add, product, added if beta == 1 else to.call(torch.mul, added, beta))


def _whole(
    node: Node, to: Builder, product: torch.fx.Node, added: torch.fx.Node | None
) -> torch.fx.Node:
    """Return the product of whole numbers, scaled and added to: exactly, if factors are whole."""
    alpha, beta = node.attributes["alpha"], node.attributes["beta"]
    if alpha != int(alpha) or (added is not None and beta != int(beta)):
        if unsigned.type_name(to, node.inputs[0]) == "uint64":
            to.refuse("a fractional factor on whole numbers of 64 bits without a sign")
        return to.call(scaled_whole, product, alpha, added, beta)
    product = product if alpha == 1 else to.call(torch.mul, product, int(alpha))
    if added is None:
        return product
    return to.call(torch.add, product, added if beta == 1 else to.call(torch.mul, added, int(beta)))


def scaled_whole(
    product: torch.Tensor, alpha: float, added: torch.Tensor | None, beta: float
) -> torch.Tensor:
    """Return alpha * product + beta * added, cut to whole numbers at the end."""
    wide = product.double() * alpha
    if added is not None:
        wide = wide + added.double() * beta
    return wide.to(product.dtype)


@lowering("Einsum", 12)
def einsum(node: Node, to: Builder) -> torch.fx.Node:
    """Return an Einstein sum."""
    equation = re.sub(r"\s", "", node.attributes["equation"])
    function = torch.einsum if to.floating(node.inputs[0]) else whole_einsum
    return to.call(function, equation, *(to.value(name) for name in node.inputs))


def whole_einsum(equation: str, *values: torch.Tensor) -> torch.Tensor:
    """Return an Einstein sum of whole numbers in their own type, which sums would widen."""
    return torch.einsum(equation, *values).to(values[0].dtype)


@lowering("Det", 11)
def det(node: Node, to: Builder) -> torch.fx.Node:
    """Return determinants of matrices."""
    wide = to.dtype(node.inputs[0]) in (torch.float32, torch.float64)
    return to.call(torch.linalg.det if wide else narrow_det, to.value(node.inputs[0]))


def narrow_det(x: torch.Tensor) -> torch.Tensor:
    """Return determinants of matrices of 16 bits, computed with more."""
    wide: torch.Tensor = torch.linalg.det(x.to(torch.float32))
    return wide.to(x.dtype)
