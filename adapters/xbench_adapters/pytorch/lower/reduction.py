"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

from xbench_adapters.pytorch.lower.shared import unsigned
from xbench_adapters.pytorch.lower.shared.places import known_axis
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
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
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
    if x.dtype == torch.bool:
        return torch.any(x, axes, keepdim)
    if _of_nothing(x, axes):
        return _filled(x, axes, keepdim, -torch.inf)
    return torch.amax(x, axes, keepdim)


def _smallest(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    if x.dtype == torch.bool:
        return torch.all(x, axes, keepdim)
    if _of_nothing(x, axes):
        return _filled(x, axes, keepdim, torch.inf)
    return torch.amin(x, axes, keepdim)


def _of_nothing(x: torch.Tensor, axes: list[int]) -> bool:
    return any(x.shape[axis] == 0 for axis in axes)


def _filled(x: torch.Tensor, axes: list[int], keepdim: bool, bound: float) -> torch.Tensor:
    """Return the end of the type's range, which any element would take the place of."""
    shape = torch.sum(x, axes, keepdim).shape
    if x.is_floating_point():
        return x.new_full(shape, bound)
    ends = torch.iinfo(x.dtype)
    return x.new_full(shape, ends.max if bound > 0 else ends.min)


Function = Callable[[torch.Tensor, list[int], bool], torch.Tensor]

_FUNCTIONS: dict[str, tuple[int, Function]] = {
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

_OF_BITS: dict[str, Function] = {
    "ReduceL1": _sum,
    "ReduceL2": unsigned.root_of_bits,
    "ReduceMean": unsigned.mean_of_bits,
}
"""The function where the elements are bits of 64 that stand for numbers without a sign."""

_NATIVE: dict[str, Callable[..., Any]] = {"ReduceMean": torch.mean, "ReduceSum": torch.sum}
"""The native function where elements are floats, so that a traced model shows just it."""

_EXTREMES: dict[str, Callable[..., Any]] = {"ReduceMax": torch.amax, "ReduceMin": torch.amin}
"""The native function where elements are numbers, and there are some."""

_ALONE = frozenset({"ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"})
"""Operators that give single elements back as they are."""


def reduced(
    x: torch.Tensor, axes: list[int] | None, keepdim: bool, idle: bool, operator: str, of_bits: bool
) -> torch.Tensor:
    """Return a reduction over axes that are known, or whose number is, only now.

    Args:
        x: The tensor.
        axes: The axes, from either end; none mean all, or none at all where ``idle``.
        keepdim: Whether the axes stay, with a length of one.
        idle: Whether no axes mean that single elements are reduced.
        operator: Which reduction.
        of_bits: Whether elements stand for numbers of 64 bits without a sign.
    """
    function = _OF_BITS[operator] if of_bits else _FUNCTIONS[operator][1]
    if not axes and idle:
        return x if operator in _ALONE else function(x.unsqueeze(-1), [-1], False)
    return function(x, list(axes) if axes else list(range(x.ndim)), keepdim)


def _reduced(node: Node, to: Builder, axes: list[int] | torch.fx.Node | None) -> torch.fx.Node:
    name = node.inputs[0]
    value, x = to.graph.value(name), to.value(name)
    floating = to.floating(name)
    if node.operator in ("ReduceLogSum", "ReduceLogSumExp") and not floating:
        to.refuse("whole numbers")
    keeps = bool(node.attributes["keepdims"])
    idle = bool(node.attributes.get("noop_with_empty_axes", 0))
    of_bits = unsigned.type_name(to, name) == "uint64" and node.operator in _OF_BITS
    later = isinstance(axes, torch.fx.Node)
    if not later and not axes and idle and node.operator in _ALONE:
        return x
    if isinstance(axes, torch.fx.Node) or value.rank is None or (not axes and idle):
        return to.call(reduced, x, axes, keeps, idle, node.operator, of_bits)
    function = _OF_BITS[node.operator] if of_bits else _FUNCTIONS[node.operator][1]
    if floating:
        function = _NATIVE.get(node.operator, function)
    if value.static and 0 not in value.static and to.dtype(name) != torch.bool:
        function = _EXTREMES.get(node.operator, function)
    places = [to.axis(axis, value.rank) for axis in axes] if axes else list(range(value.rank))
    return to.call(function, x, places, keeps)


def _register(operator: str, by_input: int) -> None:
    @lowering(operator, by_input)
    def from_input(node: Node, to: Builder) -> torch.fx.Node:
        return _reduced(node, to, to.numbers(node.inputs[1]) if node.input(1) else None)

    @lowering(operator, 1, by_input - 1)
    def from_attribute(node: Node, to: Builder) -> torch.fx.Node:
        return _reduced(node, to, node.attributes.get("axes"))


for _operator, (_by_input, _) in _FUNCTIONS.items():
    _register(_operator, _by_input)


def last_largest(x: torch.Tensor, axis: int, keepdim: bool) -> torch.Tensor:
    """Return the place of the largest element along an axis, of equals the last."""
    return x.shape[axis] - 1 - torch.argmax(torch.flip(x, [axis]), axis, keepdim)


def last_smallest(x: torch.Tensor, axis: int, keepdim: bool) -> torch.Tensor:
    """Return the place of the smallest element along an axis, of equals the last."""
    return x.shape[axis] - 1 - torch.argmin(torch.flip(x, [axis]), axis, keepdim)


def _extreme(
    first: Callable[..., Any], last: Callable[..., Any]
) -> Callable[[Node, Builder], torch.fx.Node]:
    def lowered(node: Node, to: Builder) -> torch.fx.Node:
        """Return the place of an extreme element: of equals the first, or the last."""
        axis = known_axis(to, node.attributes["axis"], node.inputs[0])
        function = last if node.attributes.get("select_last_index", 0) else first
        x, keeps = to.value(node.inputs[0]), bool(node.attributes["keepdims"])
        return to.call(function, x, axis, keeps)

    return lowered


lowering("ArgMax", 1)(_extreme(torch.argmax, last_largest))
lowering("ArgMin", 1)(_extreme(torch.argmin, last_smallest))
