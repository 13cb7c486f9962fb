"""Shape arithmetic as plain numbers: what a model computes from lengths that are open.

`Shape`, `Gather`, `Concat`, `Mul` and their like, applied to shape vectors, become Python
calls on lists of whole numbers. Eagerly that is cheaper than tensors of one element, and
`torch.export` follows the symbols through it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import torch
import torch.fx

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

Numbers = list[int]


def shape_of(x: torch.Tensor, start: int, end: int | None) -> Numbers:
    """Return the lengths of the axes from ``start`` to before ``end``."""
    return list(x.shape)[start:end]


def size_of(x: torch.Tensor) -> Numbers:
    """Return the number of elements, as a list of one."""
    return [x.numel()]


def whole(x: torch.Tensor) -> Numbers:
    """Return the elements of a tensor as whole numbers."""
    return [int(one) for one in x.reshape(-1).tolist()]


def picked(numbers: Numbers, places: Numbers) -> Numbers:
    """Return the numbers at ``places``."""
    return [numbers[place] for place in places]


def joined(parts: Sequence[Numbers]) -> Numbers:
    """Return lists one after the other."""
    return [one for part in parts for one in part]


def cut(numbers: Numbers, start: int, end: int, step: int) -> Numbers:
    """Return a slice of a list."""
    return numbers[start:end:step]


def product_of(numbers: Numbers) -> Numbers:
    """Return the product of numbers, as a list of one."""
    return [prod(numbers)]


def combined(function: Callable[[int, int], int], left: Numbers, right: Numbers) -> Numbers:
    """Return ``function`` of each pair; a list of one goes with every number of the other."""
    length = max(len(left), len(right))
    left = left * length if len(left) == 1 else left
    right = right * length if len(right) == 1 else right
    return [function(a, b) for a, b in zip(left, right, strict=True)]


def added(left: Numbers, right: Numbers) -> Numbers:
    """Return sums."""
    return combined(operator.add, left, right)


def taken(left: Numbers, right: Numbers) -> Numbers:
    """Return differences."""
    return combined(operator.sub, left, right)


def times(left: Numbers, right: Numbers) -> Numbers:
    """Return products."""
    return combined(operator.mul, left, right)


def divided(left: Numbers, right: Numbers) -> Numbers:
    """Return quotients, cut towards zero."""
    return combined(_quotient, left, right)


def _quotient(left: int, right: int) -> int:
    return left // right if (left >= 0) == (right > 0) else -(-left // right)


_PAIRS = {"Add": added, "Sub": taken, "Mul": times, "Div": divided}
_SAME = frozenset({"Squeeze", "Unsqueeze", "Identity", "Reshape", "Cast"})
_WHOLE = ("int64", "int32")


class Lengths:
    """The vectors of whole numbers of a graph, followed backwards to the shapes they come from."""

    def __init__(self, to: Builder) -> None:
        self._to = to
        self._makers = {name: node for node in to.graph.nodes for name in node.outputs if name}
        self._known: dict[str, torch.fx.Node] = {}

    def of(self, name: str) -> torch.fx.Node:
        """Return a node that gives the list of the numbers in ``name``, which is no constant."""
        if name not in self._known:
            maker = self._makers.get(name)
            found = None if maker is None else self._followed(maker)
            self._known[name] = found or self._to.call(whole, self._to.raw(name))
        return self._known[name]

    def _followed(self, node: Node) -> torch.fx.Node | None:
        if node.domain or not self._is_vector(node.outputs[0]):
            return None
        call = self._to.call
        if node.operator == "Shape":
            window = node.attributes.get("start", 0), node.attributes.get("end")
            return call(shape_of, self._to.raw(node.inputs[0]), *window)
        if node.operator == "Size":
            return call(size_of, self._to.raw(node.inputs[0]))
        if not all(self._is_vector(name) for name in node.inputs if name):
            return None
        if node.operator in _SAME:
            return self._same(node)
        if node.operator in _PAIRS:
            return call(_PAIRS[node.operator], *map(self._to.numbers, node.inputs))
        if node.operator == "Concat":
            return call(joined, [self._to.numbers(name) for name in node.inputs])
        if node.operator == "Gather":
            return call(picked, *map(self._to.numbers, node.inputs))
        if node.operator == "Slice":
            return self._sliced(node)
        if node.operator == "ReduceProd" and self._to.graph.value(node.outputs[0]).static == ():
            return call(product_of, self._to.numbers(node.inputs[0]))
        return None

    def _is_vector(self, name: str) -> bool:
        value = self._to.graph.value(name)
        whole_numbers = value.dtype is not None and value.dtype.name in _WHOLE
        return whole_numbers and value.rank is not None and value.rank <= 1

    def _same(self, node: Node) -> torch.fx.Node | None:
        found: Any = self._to.numbers(node.inputs[0])
        return found if isinstance(found, torch.fx.Node) else None

    def _sliced(self, node: Node) -> torch.fx.Node | None:
        bounds = [self._to.constant(name) for name in node.inputs[1:] if name]
        if len(node.inputs) < 3 or any(one is None or one.size != 1 for one in bounds):
            return None
        step = self._to.constant(node.input(4)) if node.input(4) else None
        start, end = (int(one.reshape(-1)[0]) for one in bounds[:2] if one is not None)
        every = 1 if step is None else int(step.reshape(-1)[0])
        if every <= 0:
            return None
        return self._to.call(cut, self._to.numbers(node.inputs[0]), start, end, every)
