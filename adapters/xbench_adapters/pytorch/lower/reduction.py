"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def _mean(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    if x.is_floating_point():
        return torch.mean(x, axes, keepdim)
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return torch.div(torch.sum(x, axes, keepdim), count, rounding_mode="trunc").to(x.dtype)


def _sum(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    return torch.sum(x, axes, keepdim, dtype=x.dtype)


def _product(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keepdim, dtype=x.dtype)
    return x


def _l1(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    return torch.sum(torch.abs(x), axes, keepdim, dtype=x.dtype)


def _l2(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    squares = torch.sum(torch.square(x), axes, keepdim, dtype=x.dtype)
    return torch.sqrt(squares if x.is_floating_point() else squares.double()).to(x.dtype)


def _log_sum(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    return torch.log(torch.sum(x, axes, keepdim, dtype=x.dtype))


def _sum_square(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    return torch.sum(torch.square(x), axes, keepdim, dtype=x.dtype)


def _largest(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    return torch.any(x, axes, keepdim) if x.dtype == torch.bool else torch.amax(x, axes, keepdim)


def _smallest(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    return torch.all(x, axes, keepdim) if x.dtype == torch.bool else torch.amin(x, axes, keepdim)


_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "ReduceL1": (18, _l1),
    "ReduceL2": (18, _l2),
    "ReduceLogSum": (18, _log_sum),
    "ReduceLogSumExp": (18, torch.logsumexp),
    "ReduceMax": (18, _largest),
    "ReduceMean": (18, _mean),
    "ReduceMin": (18, _smallest),
    "ReduceProd": (18, _product),
    "ReduceSum": (13, _sum),
    "ReduceSumSquare": (18, _sum_square),
}
"""By operator: the first version that takes its axes as an input, and the function."""

_NATIVE: dict[str, Callable[..., Any]] = {"ReduceMean": torch.mean, "ReduceSum": torch.sum}
"""The native function where elements are floats, so that a traced model shows just it."""

_EMPTY_IS_ZERO = frozenset({"ReduceL1", "ReduceL2", "ReduceSum", "ReduceSumSquare"})


def _reduced(
    node: Node, to: Builder, function: Callable[..., Any], axes: list[int] | None
) -> torch.fx.Node:
    name = node.inputs[0]
    rank, x = to.rank(name), to.value(name)
    if node.operator in _NATIVE and to.floating(name):
        function = _NATIVE[node.operator]
    if not axes and node.attributes.get("noop_with_empty_axes", 0):
        return _pointwise(node, to, function, x)
    axes = [to.axis(axis, rank) for axis in axes] if axes else list(range(rank))
    shape = to.graph.value(name).shape or ()
    if 0 in shape and node.operator not in (*_EMPTY_IS_ZERO, "ReduceProd"):
        to.refuse("the reduction of nothing")
    if node.operator == "ReduceLogSumExp" and not to.floating(name):
        to.refuse("whole numbers")
    return to.call(function, x, axes, bool(node.attributes["keepdims"]))


def _pointwise(
    node: Node, to: Builder, function: Callable[..., Any], x: torch.fx.Node
) -> torch.fx.Node:
    """Return what is left of a reduction over no axes: its elementwise part."""
    if node.operator in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"):
        return x
    lone = to.call(torch.unsqueeze, x, -1)
    return to.call(function, lone, [-1], False)


def _register(operator: str, by_input: int, function: Callable[..., Any]) -> None:
    @lowering(operator, by_input)
    def from_input(node: Node, to: Builder) -> torch.fx.Node:
        axes = to.ints(node.inputs[1], "axes") if node.input(1) else None
        return _reduced(node, to, function, axes)

    @lowering(operator, 1, by_input - 1)
    def from_attribute(node: Node, to: Builder) -> torch.fx.Node:
        return _reduced(node, to, function, node.attributes.get("axes"))


for _operator, (_by_input, _function) in _FUNCTIONS.items():
    _register(_operator, _by_input, _function)


def _extreme(function: Callable[..., Any]) -> Callable[[Node, Builder], torch.fx.Node]:
    def lowered(node: Node, to: Builder) -> torch.fx.Node:
        """Return the place of an extreme element: of equals the first, or the last."""
        rank = to.rank(node.inputs[0])
        axis = to.axis(node.attributes["axis"], rank)
        x, keeps = to.value(node.inputs[0]), bool(node.attributes["keepdims"])
        if not node.attributes.get("select_last_index", 0):
            return to.call(function, x, axis, keeps)
        length = to.shape(node.inputs[0])[axis]
        found = to.call(function, to.call(torch.flip, x, [axis]), axis, keeps)
        return to.call(torch.rsub, found, length - 1)

    return lowered


lowering("ArgMax", 1)(_extreme(torch.argmax))
lowering("ArgMin", 1)(_extreme(torch.argmin))
