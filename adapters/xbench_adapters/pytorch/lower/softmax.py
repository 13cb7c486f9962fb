"""The softmax family: along an axis, or until version 12 over all axes from one on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared.places import known_axis
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def one_hot_max(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Return 1 at the first largest element along an axis, 0 elsewhere."""
    if x.numel() == 0:
        return torch.zeros_like(x)
    first = torch.argmax((x == x.amax(axis, True)).to(torch.uint8), axis, True)
    return torch.zeros_like(x).scatter(axis, first, 1.0)


def softmax_from(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Return the softmax over all axes from one on."""
    return torch.softmax(x.flatten(axis), -1).reshape(x.shape)


def log_softmax_from(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Return the softmax's logarithm over all axes from one on."""
    return torch.log_softmax(x.flatten(axis), -1).reshape(x.shape)


def one_hot_max_from(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Return 1 at the first largest element over all axes from one on, 0 elsewhere."""
    return one_hot_max(x.flatten(axis), -1).reshape(x.shape)


def _register(operator: str, along: Callable[..., Any], rest: Callable[..., Any]) -> None:
    @lowering(operator, 13)
    def one_axis(node: Node, to: Builder) -> torch.fx.Node:
        axis = known_axis(to, node.attributes["axis"], node.inputs[0])
        return to.call(along, to.value(node.inputs[0]), axis)

    @lowering(operator, 1, 12)
    def all_axes(node: Node, to: Builder) -> torch.fx.Node:
        x, value = to.value(node.inputs[0]), to.graph.value(node.inputs[0])
        axis = known_axis(to, node.attributes["axis"], node.inputs[0])
        if value.rank is not None and axis >= value.rank - 1:
            return to.call(along, x, axis)
        if value.static is None:
            return to.call(rest, x, axis)
        flat = to.call(torch.flatten, x, axis)
        return to.call(torch.reshape, to.call(along, flat, axis), value.static)


_register("Softmax", torch.softmax, softmax_from)
_register("LogSoftmax", torch.log_softmax, log_softmax_from)
_register("Hardmax", one_hot_max, one_hot_max_from)
