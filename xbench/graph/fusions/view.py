"""A graph as patterns look at it: backwards, from a node to what feeds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xbench.graph.plain import Graph, Node, without_dead_nodes

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Value

FUSED = "xbench"
"""Domain of the operators that stand for a pattern and that ONNX does not have."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Nodes that take the place of a pattern's last node and make the others superfluous.

    Attributes:
        nodes: In order; the last has the outputs of the node that is replaced.
        constants: New constants, by name.
        values: What is known of new values between the nodes, by name.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)


class View:
    """Who makes each value, and how often it is used."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._uses = graph.uses()
        self._makers = {
            name: node for node in graph.nodes if not _placed(node) for name in node.outputs if name
        }

    def maker(self, name: str, *operators: str, uses: int = 1) -> Node | None:
        """Return the node of ONNX's own domain that makes ``name`` for these uses only."""
        node = self._makers.get(name)
        if node is None or node.operator not in operators or node.domain:
            return None
        return node if self._uses[name] == uses else None

    def shared(self, name: str, operator: str) -> Node | None:
        """Return the node of ONNX's own domain that makes ``name``, however often it is used."""
        return self.maker(name, operator, uses=self._uses[name])

    def constant(self, name: str) -> Array | None:
        """Return the value of ``name``, if it is known."""
        return self.graph.constants.get(name)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of ``name``, if every length is known."""
        return self.graph.value(name).static

    def rank(self, name: str) -> int | None:
        """Return the rank of ``name``, if it is known."""
        return self.graph.value(name).rank

    def number(self, name: str) -> float | None:
        """Return a single known float, or None."""
        array = self.constant(name)
        if array is None or array.size != 1 or array.dtype.kind != "f":
            return None
        return float(array.reshape(-1)[0])

    def with_number(self, node: Node) -> tuple[str, float] | None:
        """Return the other input of a node that has a number as one of two, and the number."""
        for place, name in enumerate(node.inputs[:2]):
            number = self.number(name)
            if number is not None and len(node.inputs) == 2:
                return node.inputs[1 - place], number
        return None

    def scaled(self, name: str) -> tuple[str, float]:
        """Return what ``name`` is a multiple of, through products and quotients, and by what."""
        node = self.maker(name, "Mul", "Div")
        if node is None:
            return name, 1.0
        if node.operator == "Div":
            divisor = self.number(node.inputs[1])
            found = None if not divisor else (node.inputs[0], 1.0 / divisor)
        else:
            found = self.with_number(node)
        if found is None:
            return name, 1.0
        base, more = self.scaled(found[0])
        return base, more * found[1]

    def product(self, name: str, *, root: bool = False) -> tuple[list[str], float]:
        """Return the factors whose product ``name`` is, sorted, and the numbers among them.

        Args:
            name: The value to take apart.
            root: Whether to take it apart even if it has several uses.
        """
        number = self.number(name)
        if number is not None:
            return [], number
        node = self._makers.get(name) if root else self.maker(name, "Mul", "Div")
        if node is None or node.operator not in ("Mul", "Div"):
            return [name], 1.0
        if node.operator == "Div":
            divisor = self.number(node.inputs[1])
            if not divisor:
                return [name], 1.0
            factors, scale = self.product(node.inputs[0])
            return factors, scale / divisor
        left, right = (self.product(one) for one in node.inputs)
        return sorted(left[0] + right[0]), left[1] * right[1]


def close(number: float | None, wanted: float) -> bool:
    """Return whether a number is the wanted one, as float32 rounds it."""
    return number is not None and abs(number - wanted) <= 2e-6 * abs(wanted)


def made(node: Node, operator: str, inputs: tuple[str, ...], **attributes: Any) -> Node:
    """Return an operator of our own that takes the place of ``node``."""
    return replace(
        node, operator=operator, domain=FUSED, version=1, inputs=inputs, attributes=attributes
    )


def standard(
    node: Node, operator: str, version: int, inputs: tuple[str, ...], **attributes: Any
) -> Node:
    """Return an operator of ONNX that takes the place of ``node``."""
    return replace(
        node, operator=operator, domain="", version=version, inputs=inputs, attributes=attributes
    )


Pattern = Callable[[Node, View], Rewrite | None]
"""What a pattern ends in, and the graph → what to put in its place, or None."""


def rewritten(graph: Graph, pattern: Pattern, title: str) -> Graph:
    """Return the graph with every occurrence of a pattern replaced, counted under ``title``."""
    view = View(graph)
    nodes: list[Node] = []
    constants, values, count = dict(graph.constants), dict(graph.values), 0
    for node in graph.nodes:
        found = None if _placed(node) else pattern(node, view)
        if found is None or not _keeps_rank(found.nodes[-1], graph):
            nodes.append(node)
            continue
        count += 1
        nodes.extend(found.nodes)
        constants.update(found.constants)
        values.update({name: _described(array) for name, array in found.constants.items()})
        values.update(found.values)
    if not count:
        return graph
    fused = {**graph.fused, title: graph.fused.get(title, 0) + count}
    return without_dead_nodes(
        replace(graph, nodes=tuple(nodes), constants=constants, values=values, fused=fused)
    )


def _placed(node: Node) -> bool:
    """Return whether the second operand lies at an axis, as it could before version 7."""
    return bool(node.attributes.get("broadcast")) and node.attributes.get("axis") is not None


def _keeps_rank(node: Node, graph: Graph) -> bool:
    """Return whether a result has the rank of what it is made of, as all of the patterns have.

    Numbers may have axes, and more of them than what they are added to.
    """
    ranks = {graph.value(name).rank for name in (node.inputs[0], node.outputs[0])}
    return None in ranks or len(ranks) == 1


def _described(array: Array) -> Value:
    from xbench.graph.plain import Value

    return Value(np.dtype(array.dtype), array.shape)
