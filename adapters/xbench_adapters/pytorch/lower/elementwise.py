"""Operators of one input, element by element."""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared import unsigned
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Argument, Builder

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "BitwiseNot": torch.bitwise_not,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Log": torch.log,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,  # halves to even, in both
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
}
"""By operator; the hints of first versions on inputs to overwrite change no result."""


def _register(operator: str, function: Callable[..., Any]) -> None:
    @lowering(operator)
    def lowered(node: Node, to: Builder) -> torch.fx.Node:
        return to.call(function, to.value(node.inputs[0]))


for _operator, _function in _FUNCTIONS.items():
    _register(_operator, _function)


@lowering("Abs", raw=True)
def absolute(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements without their sign."""
    x = to.value(node.inputs[0])
    return x if unsigned.lacks_arithmetic(to, node.inputs[0]) else to.call(torch.abs, x)


@lowering("Sign", 9, raw=True)
def sign(node: Node, to: Builder) -> torch.fx.Node:
    """Return -1, 0 or 1, as elements are below zero, zero or above."""
    lacking = unsigned.lacks_arithmetic(to, node.inputs[0])
    return to.call(unsigned.sign if lacking else torch.sign, to.value(node.inputs[0]))


@lowering("Erf", 9, raw=True)
def erf(node: Node, to: Builder) -> torch.fx.Node:
    """Return the error function, that of whole numbers cut towards zero."""
    whole = not to.floating(node.inputs[0])
    return to.call(whole_erf if whole else torch.erf, to.value(node.inputs[0]))


def whole_erf(x: torch.Tensor) -> torch.Tensor:
    """Return the error function of whole numbers, as far as float32 tells it from one."""
    return torch.erf(x.to(torch.float32)).to(x.dtype)


def _comparable(node: Node, to: Builder) -> torch.fx.Node:
    """Return floats in a type that can be asked about: those of 8 bits in a wider one."""
    x = to.value(node.inputs[0])
    if not unsigned.type_name(to, node.inputs[0]).startswith("float8"):
        return x
    return to.call(torch.Tensor.to, x, torch.float32)


@lowering("IsNaN", 9, raw=True)
def is_nan(node: Node, to: Builder) -> torch.fx.Node:
    """Return where elements are no numbers."""
    return to.call(torch.isnan, _comparable(node, to))


@lowering("IsInf", 10, raw=True)
def is_inf(node: Node, to: Builder) -> torch.fx.Node:
    """Return where elements are infinite, of the signs asked for."""
    x = _comparable(node, to)
    up, down = node.attributes["detect_positive"], node.attributes["detect_negative"]
    if up and down:
        return to.call(torch.isinf, x)
    if up:
        return to.call(torch.isposinf, x)
    return to.call(torch.isneginf, x) if down else to.call(torch.zeros_like, x, dtype=torch.bool)


@lowering("Clip", 11)
def clip(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements kept within bounds, of which either may be absent."""
    data, low, high = node.inputs[0], node.input(1), node.input(2)
    bounds = [to.operand(name, data) if name else None for name in (low, high)]
    return _clipped(to, to.value(data), *bounds)


@lowering("Clip", 1, 10)
def clip_by_attributes(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements kept within bounds that are attributes, and within the type's own."""
    most = torch.finfo(to.dtype(node.inputs[0])).max
    bounds = [node.attributes.get(name) for name in ("min", "max")]
    within = [None if one is None else max(-most, min(one, most)) for one in bounds]
    return _clipped(to, to.value(node.inputs[0]), *within)


def _clipped(
    to: Builder, x: torch.fx.Node, low: Argument | None, high: Argument | None
) -> torch.fx.Node:
    if low is None and high is None:
        return x
    if isinstance(low, float) and isinstance(high, float) and low <= high:
        return to.call(torch.nn.functional.hardtanh, x, low, high)
    tensors = [one for one in (low, high) if isinstance(one, torch.fx.Node)]
    if tensors and len(tensors) < 2 and low is not None and high is not None:
        # clamp takes two numbers or two tensors, so the bounds go one by one; where they
        # cross, the upper one wins in both.
        return to.call(torch.clamp, to.call(torch.clamp, x, low), None, high)
    return to.call(torch.clamp, x, low, high)


@lowering("Shrink", 9)
def shrink(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements moved towards zero by ``bias`` where they are further off than ``lambd``."""
    bias, limit = node.attributes["bias"], node.attributes["lambd"]
    whole = not to.floating(node.inputs[0])
    function = shrunk_whole if whole else shrunk
    return to.call(function, to.value(node.inputs[0]), bias, limit)


def shrunk(x: torch.Tensor, bias: float, limit: float) -> torch.Tensor:
    """Return floats moved towards zero where they lie beyond a limit, else zero."""
    return torch.where(x < -limit, x + bias, torch.where(x > limit, x - bias, 0.0))


def shrunk_whole(x: torch.Tensor, bias: float, limit: float) -> torch.Tensor:
    """Return whole numbers moved towards zero beyond a limit; fractions are cut off."""
    if bias == int(bias):
        lower, upper = x + int(bias), x - int(bias)
    else:
        lower, upper = (x.double() + bias).to(x.dtype), (x.double() - bias).to(x.dtype)
    # Beyond a limit is beyond the whole number next to it, which needs no float.
    most = floor(limit)
    return torch.where(x < -most, lower, torch.where(x > most, upper, 0))
