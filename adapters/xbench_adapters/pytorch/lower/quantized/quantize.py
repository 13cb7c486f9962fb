"""Floats to whole numbers of few bits, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from onnx import helper

from xbench_adapters.pytorch.lower.quantized.scales import LIMITS, offset, quantized, spread
from xbench_adapters.pytorch.lower.shared.small_types import FLOAT8, nearest_float4, to_float8
from xbench_adapters.pytorch.registry import MICROSOFT, lowering
from xbench_adapters.pytorch.tensors import DTYPES, tensor_of, torch_dtype

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def divided(
    x: torch.Tensor, scale: torch.Tensor, axis: int, block: int, precision: torch.dtype
) -> torch.Tensor:
    """Return quotients in a precision, as floats that hold every whole number of 16 bits."""
    divisor = spread(scale.to(precision), x.shape, axis, block)
    found = x.to(precision) / divisor
    return found if precision == torch.float64 else found.to(torch.float32)


def quantize(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    place: tuple[int, int],
    precision: torch.dtype,
    low: int,
    high: int,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Return whole numbers whose multiples of a scale are nearest to floats.

    Args:
        x: What is quantised.
        scale: One number, one a place of the axis, or one a block along it.
        zero: The zero point, as floats and shaped like ``scale``; None for zero.
        place: The axis, and the length of its blocks: 0 for none.
        precision: The type that is divided in.
        low: The least number of the type.
        high: The largest number of the type.
        dtype: The type that holds the result.
    """
    found = divided(x, scale, *place, precision)
    moved = None if zero is None else spread(zero, x.shape, *place)
    return quantized(found, moved, low, high, dtype)


def quantize_to_float8(
    x: torch.Tensor,
    scale: torch.Tensor,
    place: tuple[int, int],
    precision: torch.dtype,
    name: str,
    saturate: bool,
) -> torch.Tensor:
    """Return floats of 8 bits; those out of range are the largest, or else no number."""
    return to_float8(divided(x, scale, *place, precision), name, saturate)


def quantize_to_float4(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    place: tuple[int, int],
    precision: torch.dtype,
) -> torch.Tensor:
    """Return floats of 4 bits, each held as its value."""
    found = divided(x, scale, *place, precision).to(torch.float32)
    if zero is not None:
        found = found + spread(zero, x.shape, *place)
    return nearest_float4(found)


def dequantize(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    place: tuple[int, int],
    dtype: torch.dtype,
) -> torch.Tensor:
    """Return the floats that numbers of few bits stand for; see `quantize`."""
    found = x.to(torch.float32)
    if zero is not None:
        found = found - spread(zero, x.shape, *place)
    return (found * spread(scale.to(torch.float32), x.shape, *place)).to(dtype)


def quantize_by_range(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return bytes that cover the range of ``x`` and zero, their scale and their zero point."""
    least, most = torch.aminmax(x)
    least, most = torch.clamp(least, max=0.0), torch.clamp(most, min=0.0)
    span = most - least
    # Where all is zero any scale does; zero would divide.
    scale = torch.where(span == 0, torch.ones_like(span), span) / 255.0
    zero = torch.round(torch.clamp(-least / scale, 0.0, 255.0))
    return quantized(x / scale, zero, 0, 255, torch.uint8), scale, zero.to(torch.uint8)


@lowering("QuantizeLinear", 10, raw=True)
@lowering("QuantizeLinear", 1, domain=MICROSOFT, raw=True)
def quantize_linear(node: Node, to: Builder) -> torch.fx.Node:
    """Return floats in a type of few bits: divided by a scale, rounded, moved, kept in range."""
    kind, place = _kind(node, to), _place(node, to)
    x, scale = (to.value(name) for name in node.inputs[:2])
    precision = _precision(node, to)
    if kind in LIMITS:
        low, high = LIMITS[kind]
        zero = offset(to, node.input(2))
        return to.call(quantize, x, scale, zero, place, precision, low, high, DTYPES[kind])
    if kind == "float4_e2m1fn":
        zero = offset(to, node.input(2))
        return to.call(quantize_to_float4, x, scale, zero, place, precision)
    if kind not in FLOAT8:
        to.refuse(f"PyTorch has no {kind}")
    _no_zero(node, to)
    saturate = bool(node.attributes.get("saturate", 1))
    return to.call(quantize_to_float8, x, scale, place, precision, kind, saturate)


@lowering("DequantizeLinear", 10, raw=True)
@lowering("DequantizeLinear", 1, domain=MICROSOFT, raw=True)
def dequantize_linear(node: Node, to: Builder) -> torch.fx.Node:
    """Return what numbers of few bits stand for: moved by a zero point, times a scale."""
    code = node.attributes.get("output_dtype", 0)
    name = node.inputs[0]
    dtype = _dtype_of(to, code) if code else to.dtype(node.inputs[1])
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        to.refuse("its result must be float32, float16 or bfloat16")
    value = to.graph.value(name).dtype
    eight = value is not None and value.name in FLOAT8
    if eight:
        _no_zero(node, to)
    place = _place(node, to)
    known = None if dtype == torch.bfloat16 else _arrays(node, to)
    if known is not None:
        zero = known[2].to(torch.float32) if len(known) > 2 and not eight else None
        found = dequantize(known[0], known[1], zero, place, dtype)
        return to.fixed(node.outputs[0], found.numpy())
    moved = None if eight else offset(to, node.input(2))
    x, scale = (to.value(one) for one in node.inputs[:2])
    return to.call(dequantize, x, scale, moved, place, dtype)


@lowering("DynamicQuantizeLinear", 11)
def dynamic_quantize_linear(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return bytes that cover the range of the input, their scale and their zero point."""
    return to.items(to.call(quantize_by_range, to.value(node.inputs[0])), 3)


def _arrays(node: Node, to: Builder) -> list[torch.Tensor] | None:
    """Return the inputs if all are known: the evaluation leaves types alone that NumPy lacks."""
    arrays = [to.constant(name) for name in node.inputs if name]
    return [tensor_of(one) for one in arrays if one is not None] if _all(arrays) else None


def _all(arrays: list[Any]) -> bool:
    return all(one is not None for one in arrays)


def _kind(node: Node, to: Builder) -> str:
    """Return the type to quantise to: inferred, or that of the zero point."""
    dtype = to.graph.value(node.outputs[0]).dtype
    if dtype is None and node.input(2):
        dtype = to.graph.value(node.input(2)).dtype
        if dtype is None:
            to.refuse("the element type of its zero point must be known")
    code = node.attributes.get("output_dtype", 0)
    if dtype is None and code:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(code))
    return "uint8" if dtype is None else dtype.name


def _place(node: Node, to: Builder) -> tuple[int, int]:
    """Return the axis along which the scale changes, and the length of its blocks."""
    axis, block = node.attributes.get("axis", 1), node.attributes.get("block_size", 0)
    rank, shape = to.graph.value(node.inputs[0]).rank, to.graph.value(node.inputs[1]).static
    if rank is not None and shape is not None and np.prod(shape) != 1:
        return to.axis(axis, rank), block
    return axis, block


def _precision(node: Node, to: Builder) -> torch.dtype:
    """Return the type that is divided in: that of the scale, unless the node names another."""
    code = node.attributes.get("precision", 0)
    if code:
        return _dtype_of(to, code)
    x, scale = (to.dtype(name) for name in node.inputs[:2])
    if not (x.is_floating_point and scale.is_floating_point):
        return torch.float64  # every number of 32 bits is exact
    return torch.float32 if scale.itemsize == 1 else scale


def _dtype_of(to: Builder, code: int) -> torch.dtype:
    dtype = torch_dtype(np.dtype(helper.tensor_dtype_to_np_dtype(code)))
    if dtype is None or not dtype.is_floating_point:
        to.refuse("PyTorch does not divide in the type that it names")
    return dtype


def _no_zero(node: Node, to: Builder) -> None:
    """Refuse a zero point other than zero, which floats of 8 bits may not have."""
    array = to.constant(node.input(2)) if node.input(2) else None
    if array is not None and np.asarray(array).astype(np.float32).any():
        to.refuse("a zero point for floats of 8 bits")


def fake_quantize(x: torch.Tensor, scale: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Return the multiples of a scale that are nearest to floats, between two of them."""
    step = scale.reshape(())
    return (x / step).round_().clamp_(low, high).nan_to_num_(low).mul_(step)


@lowering("FakeQuantize", 1, domain="xbench")
def lower_fake_quantize(node: Node, to: Builder) -> torch.fx.Node:
    """Return floats as they are after a quantisation and its undoing."""
    x, scale = (to.value(name) for name in node.inputs)
    return to.call(fake_quantize, x, scale, node.attributes["low"], node.attributes["high"])
