"""Weights of few bits in blocks that share a scale, as language models are shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch import nn
from torch.nn import functional

from xbench_adapters.pytorch.lower.quantized.scales import LIMITS, spread
from xbench_adapters.pytorch.registry import MICROSOFT, lowering
from xbench_adapters.pytorch.tensors import tensor_of

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_BYTE = 8

Layout = tuple[int, int, int, int]
"""Input features, output features, length of a block, bits of an element."""

Places = tuple[int, int, int, int]
"""Axis to pick along, axis of the blocks, their length, bits of a packed element or 0."""


def unpacked(x: torch.Tensor, bits: int, count: int) -> torch.Tensor:
    """Return the first ``count`` numbers that each row of bytes holds, low bits first."""
    if _BYTE % bits == 0:
        shifts = torch.arange(0, _BYTE, bits, dtype=torch.uint8, device=x.device)
        found = (x.unsqueeze(-1) >> shifts) & (2**bits - 1)
        whole: torch.Tensor = found.flatten(-2)[..., :count]
        return whole
    places = torch.arange(_BYTE, dtype=torch.uint8, device=x.device)
    stream = ((x.unsqueeze(-1) >> places) & 1).flatten(-2)[..., : count * bits]
    digits = stream.reshape(*x.shape[:-1], count, bits)
    return (digits << places[:bits]).sum(-1).to(torch.uint8)


def block_weight(
    packed: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None, layout: Layout
) -> torch.Tensor:
    """Return the weight of a layer, outputs first, in the type of its scales."""
    inner, outer, block, bits = layout
    blocks = -(-inner // block)
    codes = unpacked(packed.reshape(outer, blocks, -1), bits, block).to(torch.float32)
    if zeros is None:
        moved = codes - (1 << (bits - 1))
    elif zeros.is_floating_point():
        moved = codes - zeros.reshape(outer, blocks, 1).to(torch.float32)
    else:
        whole = unpacked(zeros.reshape(outer, -1), bits, blocks)
        moved = codes - whole.to(torch.float32).unsqueeze(-1)
    found = (moved * scales.reshape(outer, blocks, 1).to(torch.float32)).to(scales.dtype)
    return found.reshape(outer, -1).narrow(1, 0, inner).contiguous()


def matmul_blocks(
    x: torch.Tensor,
    packed: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None,
    bias: torch.Tensor | None,
    layout: Layout,
) -> torch.Tensor:
    """Return a product with a weight in blocks that is known only now."""
    return functional.linear(x, block_weight(packed, scales, zeros, layout), bias)


def picked(x: torch.Tensor, places: torch.Tensor, axis: int) -> torch.Tensor:
    """Return what stands at ``places`` along an axis; whatever the type, bits are moved."""
    held = x.view(torch.uint8) if x.is_floating_point() and x.itemsize == 1 else x
    shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    return held.index_select(axis, places.reshape(-1)).reshape(shape).view(x.dtype)


def gather_blocks(
    data: torch.Tensor,
    indices: torch.Tensor,
    scales: torch.Tensor,
    zeros: torch.Tensor | None,
    places: Places,
) -> torch.Tensor:
    """Return slices along an axis as the floats that they stand for; zero beyond its ends."""
    axis, along, _, _ = places
    length = data.shape[axis]
    within = (indices >= -length) & (indices < length)
    at = torch.where(within, torch.where(indices < 0, indices + length, indices), 0)
    if axis == along:
        found = picked(_floats(data, scales, zeros, places), at, axis)
    else:
        rows, factors = picked(data, at, axis), picked(scales, _at(scales, at, axis), axis)
        offsets = None if zeros is None else picked(zeros, _at(zeros, at, axis), axis)
        moved = along if along < axis else along + indices.dim() - 1
        block = places[2] or data.shape[along]
        found = _floats(rows, factors, offsets, (axis, moved, block, places[3]))
    after = [1] * (data.dim() - axis - 1)
    return torch.where(within.reshape(*within.shape, *after), found, torch.zeros_like(found))


def _at(x: torch.Tensor, places: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.zeros_like(places) if x.shape[axis] == 1 else places


def _floats(
    data: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None, places: Places
) -> torch.Tensor:
    """Return what numbers in blocks stand for, in the type of their scales."""
    _, axis, block, bits = places
    if bits:
        data = unpacked(data, bits, data.shape[-1] * _BYTE // bits)
    found = data.to(torch.float32)
    if zeros is not None:
        whole = unpacked(zeros, bits, scales.shape[-1]) if bits else zeros
        found = found - spread(whole.to(torch.float32), data.shape, axis, block)
    elif bits:
        found = found - (1 << (bits - 1))
    factors = spread(scales.to(torch.float32), data.shape, axis, block or data.shape[axis])
    return (found * factors).to(scales.dtype)


@lowering("MatMulNBits", 1, domain=MICROSOFT, raw=True)
def matmul_n_bits(node: Node, to: Builder) -> torch.fx.Node:
    """Return a product with a weight in blocks of few bits: a native layer where it is known."""
    given = node.attributes
    if node.input(4) or given.get("weight_prepacked", 0):
        to.refuse("a weight in another order (g_idx, weight_prepacked)")
    bits = given.get("bits", 4)
    if not 2 <= bits <= _BYTE:
        to.refuse(f"{bits} bits")
    layout = (given["K"], given["N"], given["block_size"], bits)
    names = [name for name in (*node.inputs[1:4], node.input(5)) if name]
    x = to.value(node.inputs[0])
    if any(to.constant(name) is None for name in names):
        tensors = [to.optional(node.input(place)) for place in (1, 2, 3, 5)]
        return to.call(matmul_blocks, x, *tensors, layout)
    packed, scales, zeros, bias = (_tensor(to, node.input(place)) for place in (1, 2, 3, 5))
    assert packed is not None
    assert scales is not None
    module = nn.Linear(layout[0], layout[1], bias=bias is not None, device="meta")
    weight = block_weight(packed, scales, zeros, layout)
    module.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        module.bias = nn.Parameter(bias, requires_grad=False)
    return to.module(module, x)


def _tensor(to: Builder, name: str) -> torch.Tensor | None:
    array = to.constant(name) if name else None
    return None if array is None else tensor_of(array)


@lowering("GatherBlockQuantized", 1, domain=MICROSOFT, raw=True)
def gather_block_quantized(node: Node, to: Builder) -> torch.fx.Node:
    """Return slices of a table in blocks of few bits, as floats."""
    given, dtype = node.attributes, to.graph.value(node.inputs[0]).dtype
    if dtype is None:
        to.refuse("the element type of its table must be known")
    rank = to.rank(node.inputs[0])
    axis = to.axis(given.get("gather_axis", 0), rank)
    along = to.axis(given.get("quantize_axis", 1), rank)
    bits = given.get("bits", 4) if dtype.name == "uint8" else 0
    if bits and (_BYTE % bits or axis == along or along != rank - 1):
        to.refuse("bytes that are not packed along the last axis")
    block = given.get("block_size", 128)
    if block == 0 and dtype.name in LIMITS:
        to.refuse("a block_size of 0 for whole numbers")
    inputs = [to.optional(node.input(place)) for place in range(4)]
    return to.call(gather_blocks, *inputs, (axis, along, block, bits))
