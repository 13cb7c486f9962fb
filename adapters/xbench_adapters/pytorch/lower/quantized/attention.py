"""Layers of transformers whose weights are whole numbers of 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.integer_products import by_column, factor, product
from xbench_adapters.pytorch.lower.quantized import quantize_by_range
from xbench_adapters.pytorch.lower.scales import offset, real
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

Quantised = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]


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


def attention_bias(mask: torch.Tensor, batch: int, total: int, fill: float) -> torch.Tensor | None:
    """Return what a mask adds to the scores: ``fill`` where a key is not to be seen.

    Args:
        mask: For each key whether it is seen, by sample or by sample and query; or where the
            keys of each sample end, and after those where they start.
        batch: The number of samples.
        total: The number of keys, past ones counted.
        fill: What is added.
    """
    if mask.dim() == 3:
        seen = mask.unsqueeze(1) > 0
    elif mask.dim() == 2:
        if mask.shape[1] == 1:
            return None  # the same for every key changes nothing
        seen = mask[:, None, None, :] > 0
    else:
        places = torch.arange(total, device=mask.device)
        seen = places < mask[:batch, None]
        if mask.shape[0] == 2 * batch:
            seen = seen & (places >= mask[batch:, None])
        seen = seen[:, None, None, :]
    zeros = torch.zeros(seen.shape, dtype=torch.float32, device=mask.device)
    return zeros.masked_fill(~seen, fill)


def attend(
    projected: torch.Tensor,
    heads: int,
    mask: torch.Tensor | None,
    past: torch.Tensor | None,
    fill: float,
    scale: float | None,
    *,
    causal: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention over queries, keys and values side by side, and all keys and values.

    Args:
        projected: By sample and place, the queries, the keys and the values of every head.
        heads: The number of heads.
        mask: See `attention_bias`.
        past: Keys and values of places before these.
        fill: See `attention_bias`.
        scale: What scores are multiplied by; None for the usual.
        causal: Whether no place sees those after it.
    """
    batch, length, _ = projected.shape
    query, key, value = projected.reshape(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    if past is not None:
        key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
    total = key.shape[2]
    bias = None if mask is None else attention_bias(mask, batch, total, fill)
    if causal and length > 1:
        later = torch.ones((length, total), dtype=torch.bool, device=query.device)
        later = later.triu(total - length + 1)
        wide = torch.zeros((1, 1, length, total), device=query.device)
        bias = (wide if bias is None else bias + wide).masked_fill(later, -torch.inf)
    if bias is not None:
        bias = bias.to(query.dtype)
    found = functional.scaled_dot_product_attention(query, key, value, bias, scale=scale)
    return found.transpose(1, 2).reshape(batch, length, -1), torch.stack([key, value])


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


def lengths_of(mask: torch.Tensor | None, ids: torch.Tensor) -> torch.Tensor:
    """Return how many places of each sample a mask lets through; zeros where there is none."""
    if mask is None:
        return torch.zeros(ids.shape[0], dtype=torch.int32, device=ids.device)
    return (mask == 1).sum(1).to(torch.int32)


@lowering("DynamicQuantizeMatMul", 1, domain="com.microsoft")
def dynamic_quantize_matmul(node: Node, to: Builder) -> torch.fx.Node:
    """Return a product with a quantised matrix; the first is quantised by its own range."""
    b, b_zero = factor(to, node.inputs[1], node.input(3))
    a, scale, bias = to.value(node.inputs[0]), to.value(node.inputs[2]), to.optional(node.input(4))
    return to.call(dynamic_product, a, b, b_zero, scale, bias)


@lowering("MatMulIntegerToFloat", 1, domain="com.microsoft")
def matmul_integer_to_float(node: Node, to: Builder) -> torch.fx.Node:
    """Return the floats that a product of quantised matrices stands for, plus a bias."""
    _one(node, to, 2, "scale")
    b, b_zero = factor(to, node.inputs[1], node.input(5))
    zeros = (offset(to, node.input(4)), b_zero)
    scales = (to.value(node.inputs[2]), to.value(node.inputs[3]))
    bias = to.optional(node.input(6))
    return to.call(scaled_product, to.value(node.inputs[0]), b, zeros, scales, bias)


@lowering("QAttention", 1, domain="com.microsoft")
def q_attention(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return attention over projections by a quantised matrix, and all keys and values."""
    given = node.attributes
    if given.get("do_rotary", 0) or given.get("past_present_share_buffer", 0):
        to.refuse("do_rotary or past_present_share_buffer")
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
    fill = given.get("mask_filter_value", -10000.0)
    found = to.call(
        attend, projected, given["num_heads"], to.optional(mask), to.optional(node.input(8)),
        fill, given.get("scale") or None, causal=bool(given.get("unidirectional", 0)),
    )  # fmt: skip
    return to.items(found, 2)


@lowering("QEmbedLayerNormalization", 1, domain="com.microsoft")
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
    return found, to.call(lengths_of, to.optional(node.input(7)), ids)


def _one(node: Node, to: Builder, place: int, what: str) -> None:
    shape = to.graph.value(node.inputs[place]).static
    if shape is not None and any(length != 1 for length in shape):
        to.refuse(f"a {what} of its first input that is more than one number")
