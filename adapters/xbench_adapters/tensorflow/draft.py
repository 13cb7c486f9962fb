"""A graph put into other words, before it is lowered for who lacks some: XLA, or LiteRT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from xbench.errors import UnsupportedNodeError
from xbench.graph.fusions import fuse
from xbench.graph.plain import Array, Graph, Node, Value

VERSIONS = {
    "Add": 14, "Cast": 13, "Clip": 13, "ConvTranspose": 11, "Div": 14, "Exp": 13, "MaxPool": 12,
    "Mul": 14, "Pad": 13, "Equal": 13, "Less": 13, "Greater": 13, "LessOrEqual": 16,
    "GreaterOrEqual": 16,
}  # fmt: skip


class Draft:
    """A graph that is being rewritten: nodes so far, and what is known of their values."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.constants = dict(graph.constants)
        self.values = dict(graph.values)
        self.makers = {name: node for node in graph.nodes for name in node.outputs if name}

    def constant(self, array: Array) -> str:
        """Return the name of a new constant."""
        name = f"new_constant_{len(self.constants)}"
        self.constants[name] = array
        self.values[name] = Value(array.dtype, array.shape)
        return name

    def number(self, one: float) -> str:
        """Return the name of a new float."""
        return self.constant(np.array(one, np.float32))

    def maker(self, name: str, operator: str) -> Node | None:
        """Return the node of ONNX's own domain that makes ``name``, if it is of that kind."""
        node = self.makers.get(name)
        return node if node and (node.operator, node.domain) == (operator, "") else None

    def add(
        self, like: Node, operator: str, inputs: Sequence[str], value: Value, **attributes: Any
    ) -> str:
        """Return the name of what a new node gives, which counts as part of the node ``like``."""
        name = f"new_value_{len(self.values)}"
        self.values[name] = value
        self.end(replace(like, outputs=(name,)), operator, inputs, **attributes)
        return name

    def end(self, like: Node, operator: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Let a new node give what the node ``like`` gives."""
        self.nodes.append(
            Node(
                like.name, operator, "", VERSIONS[operator], attributes, tuple(inputs), like.outputs
            )
        )

    def done(self) -> Graph:
        """Return the graph."""
        return replace(
            self.graph, nodes=tuple(self.nodes), constants=self.constants, values=self.values
        )


Rewrite = Callable[[Node, Draft], bool]
"""Returns whether it has rewritten the node."""


def rewritten(graph: Graph, rewrites: Mapping[str, Rewrite]) -> Graph:
    """Return a graph in which nodes of ONNX's own are rewritten, by operator; also those within."""
    draft = Draft(graph)
    for node in graph.nodes:
        rewrite = rewrites.get(node.operator) if not node.domain else None
        if rewrite is None or not rewrite(node, draft):
            draft.nodes.append(_within(node, rewrites))
    return draft.done()


def _within(node: Node, rewrites: Mapping[str, Rewrite]) -> Node:
    """Return a node whose own graphs are rewritten, after what is fused in them."""
    inner = {key: one for key, one in node.attributes.items() if isinstance(one, Graph)}
    if not inner:
        return node
    changed = {key: rewritten(fuse(one), rewrites) for key, one in inner.items()}
    return replace(node, attributes={**node.attributes, **changed})


def refused(node: Node, detail: str) -> UnsupportedNodeError:
    """Return the error of a node that cannot be run as ONNX defines it."""
    spelled = f"{node.domain}::{node.operator}" if node.domain else node.operator
    return UnsupportedNodeError(node.name, spelled, node.version, detail)
