"""A model's computation as plain data: nodes in order, constants, types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import numpy as np

Array = NDArray[Any]

Dim = int | str | None
"""A length, the symbol of one that is open, or None where nothing is known of it."""


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a tensor before any run.

    Attributes:
        dtype: Element type; None where the value is no tensor or its type is not known.
        shape: One entry a dimension; None where not even the rank is known.
    """

    dtype: np.dtype[Any] | None = None
    shape: tuple[Dim, ...] | None = None

    @property
    def static(self) -> tuple[int, ...] | None:
        """Return the shape if every dimension is a length, else None."""
        if self.shape is None:
            return None
        lengths = tuple(dim for dim in self.shape if isinstance(dim, int))
        return lengths if len(lengths) == len(self.shape) else None

    @property
    def rank(self) -> int | None:
        """Return the number of dimensions, if known."""
        return None if self.shape is None else len(self.shape)


UNKNOWN = Value()


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation.

    Attributes:
        name: The node's name in the model, or one made from its operator and place.
        version: The schema version that holds for the operator set imported.
        attributes: Decoded: text as str, tensors as arrays, subgraphs as `Graph`, with the
            schema's defaults filled in.
        inputs: Names of values and constants; ``""`` where an optional input is absent.
        outputs: Names of values; ``""`` where an optional output is not wanted.
        captures: Names that subgraphs use from outside.
    """

    name: str
    operator: str
    domain: str
    version: int
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    captures: tuple[str, ...] = ()

    def input(self, place: int) -> str:
        """Return the name at ``place``, or ``""`` where the input is absent."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def wants(self, place: int) -> bool:
        """Return whether the output at ``place`` is asked for."""
        return place < len(self.outputs) and self.outputs[place] != ""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A computation whose nodes stand in an order in which they can run.

    Attributes:
        inputs: The graph's inputs, in order.
        outputs: The graph's outputs, in order, as the model spells them.
        results: The value or constant that each output shows, in the same order.
        nodes: What is left to compute.
        constants: Weights and all values known before the first run, by name.
        values: What is known of each value and constant, by name.
        fused: How many nodes of the model single operators stand for, by pattern.
        captures: Of a graph within a node, the values that it uses from outside: they are
            its inputs too, after its own.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    results: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    values: Mapping[str, Value]
    fused: Mapping[str, int] = field(default_factory=dict)
    captures: tuple[str, ...] = ()

    def value(self, name: str) -> Value:
        """Return what is known of ``name``: nothing, if nothing is."""
        return self.values.get(name, UNKNOWN)

    def uses(self) -> Counter[str]:
        """Return how often each value is used, outputs of the graph counted."""
        counted = Counter(self.results)
        for node in self.nodes:
            counted.update(name for name in node.inputs if name)
            counted.update(node.captures)
        return counted


def without_dead_nodes(graph: Graph) -> Graph:
    """Return the graph with only the nodes and constants that some output needs."""
    needed = set(graph.results)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.isdisjoint(name for name in node.outputs if name):
            continue
        kept.append(node)
        needed.update(name for name in node.inputs if name)
        needed.update(node.captures)
    constants = {name: array for name, array in graph.constants.items() if name in needed}
    known = needed.union(graph.inputs, *(node.outputs for node in kept))
    values = {name: value for name, value in graph.values.items() if name in known}
    return Graph(
        name=graph.name,
        inputs=graph.inputs,
        outputs=graph.outputs,
        results=graph.results,
        nodes=tuple(reversed(kept)),
        constants=constants,
        values=values,
        fused=graph.fused,
        captures=graph.captures,
    )


def free_values(graph: Graph) -> tuple[str, ...]:
    """Return the values that a graph uses and does not have, in order of use."""
    has = {"", *graph.inputs, *graph.constants}
    has.update(name for node in graph.nodes for name in node.outputs)
    used = dict.fromkeys(name for node in graph.nodes for name in (*node.inputs, *node.captures))
    used |= dict.fromkeys(graph.results)
    return tuple(name for name in used if name not in has)
