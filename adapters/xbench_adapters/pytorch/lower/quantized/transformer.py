"""Layers of transformers whose weights are whole numbers of 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.microsoft.attention import self_attention
from xbench_adapters.pytorch.lower.microsoft.normalization import kept_words
from xbench_adapters.pytorch.lower.quantized.integer_products import by_column, factor, product
from xbench_adapters.pytorch.lower.quantized.quantize import quantize_by_range
from xbench_adapters.pytorch.lower.quantized.scales import Quantised, offset, real
from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def scaled_product(
    a: torch.Tensor,
    b: torch.Tensor,
    zeros: tuple[torch.Tensor | None, torch.Tensor | None],
    scales: tuple[torch.Tensor, torch.Tensor],
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """Return the floats that a product of quantised matrices stands for, plus a bias."""
    ratio = scales[0].reshape(()) * by_column(scales[1])
    found = product(a, b, *zeros).to(torch.float32) * ratio.to(torch.float32)
    found = found if bias is None else found + bias
    return found.to(scales[0].dtype)


def dynamic_product(
    a: torch.Tensor,
    b: torch.Tensor,
    b_zero: torch.Tensor | None,
    b_scale: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """Return a product with a quantised matrix; the other is quantised by its own range."""
    whole, scale, zero = quantize_by_range(a)
    return scaled_product(whole, b, (zero, b_zero), (scale, b_scale), bias)


def embedded(
    ids: torch.Tensor,
    segments: torch.Tensor | None,
    tables: tuple[Quantised, Quantised, Quantised | None],
    gamma: Quantised,
    beta: Quantised,
    epsilon: float,
) -> torch.Tensor:
    """Return the sum of three quantised embeddings, normalised over its last axis."""
    words, positions, kinds = tables
    found = real(words[0][ids.long()], *words[1:])
    found = found + real(positions[0][: ids.shape[1]], *positions[1:])
    if kinds is not None and segments is not None:
        found = found + real(kinds[0][segments.long()], *kinds[1:])
    return functional.layer_norm(found, found.shape[-1:], real(*gamma), real(*beta), epsilon)


@lowering("DynamicQuantizeMatMul", 1, domain=MICROSOFT)
def dynamic_quantize_matmul(node: Node, to: Builder) -> torch.fx.Node:
    """Return a product with a quantised matrix; the first is quantised by its own range."""
    b, b_zero = factor(to, node.inputs[1], node.input(3))
    a, scale, bias = to.value(node.inputs[0]), to.value(node.inputs[2]), to.optional(node.input(4))
    return to.call(dynamic_product, a, b, b_zero, scale, bias)


@lowering("MatMulIntegerToFloat", 1, domain=MICROSOFT)
def matmul_integer_to_float(node: Node, to: Builder) -> torch.fx.Node:
    """Return the floats that a product of quantised matrices stands for, plus a bias."""
    _one(node, to, 2, "scale")
    b, b_zero = factor(to, node.inputs[1], node.input(5))
    zeros = (offset(to, node.input(4)), b_zero)
    scales = (to.value(node.inputs[2]), to.value(node.inputs[3]))
    bias = to.optional(node.input(6))
    return to.call(scaled_product, to.value(node.inputs[0]), b, zeros, scales, bias)


@lowering("QAttention", 1, domain=MICROSOFT)
def q_attention(node: Node, to: Builder) -> tuple[torch.fx.Node | None, ...]:
    """Return attention over projections by a quantised matrix, and all keys and values."""
    mask = node.input(5)
    if mask and to.rank(mask) not in (1, 2, 3):
        to.refuse("a mask of more than 3 axes")
    _one(node, to, 3, "scale")
    weight, zero = factor(to, node.inputs[1], node.input(7))
    projected = to.call(
        scaled_product,
        to.value(node.inputs[0]),
        weight,
        (offset(to, node.input(6)), zero),
        (to.value(node.inputs[3]), to.value(node.inputs[4])),
        to.optional(node.input(2)),
    )
    return self_attention(node, to, projected, mask, "", node.input(8))


@lowering("QEmbedLayerNormalization", 1, domain=MICROSOFT)
def q_embed_layer_normalization(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the normalised sum of quantised embeddings, and the length of each sample."""
    values = [
        (to.value(node.inputs[place]), to.value(node.inputs[place + more]),
         offset(to, node.input(place + more + 5)))
        if node.input(place) else None
        for place, more in ((2, 6), (3, 6), (4, 6), (5, 6), (6, 6))
    ]  # fmt: skip
    ids, segments = to.value(node.inputs[0]), to.optional(node.input(1))
    found = to.call(
        embedded, ids, segments, tuple(values[:3]), values[3], values[4],
        node.attributes.get("epsilon", 1e-12),
    )  # fmt: skip
    return found, to.call(kept_words, to.optional(node.input(7)), ids)


def _one(node: Node, to: Builder, place: int, what: str) -> None:
    shape = to.graph.value(node.inputs[place]).static
    if shape is not None and any(length != 1 for length in shape):
        to.refuse(f"a {what} of its first input that is more than one number")
