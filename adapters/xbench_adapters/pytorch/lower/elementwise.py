"""Operators of one input, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "Abs": (6, torch.abs),
    "Acos": (7, torch.acos),
    "Acosh": (9, torch.acosh),
    "Asin": (7, torch.asin),
    "Asinh": (9, torch.asinh),
    "Atan": (7, torch.atan),
    "Atanh": (9, torch.atanh),
    "BitwiseNot": (18, torch.bitwise_not),
    "Ceil": (6, torch.ceil),
    "Cos": (7, torch.cos),
    "Cosh": (9, torch.cosh),
    "Erf": (9, torch.erf),
    "Exp": (6, torch.exp),
    "Floor": (6, torch.floor),
    "IsNaN": (9, torch.isnan),
    "Log": (6, torch.log),
    "Neg": (6, torch.neg),
    "Not": (1, torch.logical_not),
    "Reciprocal": (6, torch.reciprocal),
    "Round": (11, torch.round),  # halves to even, in both
    "Sigmoid": (6, torch.sigmoid),
    "Sign": (9, torch.sign),
    "Sin": (7, torch.sin),
    "Sinh": (9, torch.sinh),
    "Sqrt": (6, torch.sqrt),
    "Tan": (7, torch.tan),
    "Tanh": (6, torch.tanh),
}
"""By operator: the first schema version without the old in-place hints, and the function."""


def _register(operator: str, since: int, function: Callable[..., Any]) -> None:
    @lowering(operator, since)
    def lowered(node: Node, to: Builder) -> torch.fx.Node:
        return to.call(function, to.value(node.inputs[0]))


for _operator, (_since, _function) in _FUNCTIONS.items():
    _register(_operator, _since, _function)


@lowering("IsInf", 10)
def is_inf(node: Node, to: Builder) -> torch.fx.Node:
    """Return where elements are infinite, of the signs asked for."""
    x = to.value(node.inputs[0])
    up, down = node.attributes["detect_positive"], node.attributes["detect_negative"]
    if up and down:
        return to.call(torch.isinf, x)
    if up:
        return to.call(torch.isposinf, x)
    return to.call(torch.isneginf, x) if down else to.call(torch.zeros_like, x, dtype=torch.bool)
