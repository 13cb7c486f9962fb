"""Graphs within nodes: which there are, and names of their own that hide no others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import onnx


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that a node holds: branches, bodies of loops."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def own_names(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the names that a graph defines itself, not those of graphs within it."""
    own = {one.name for one in [*graph.input, *graph.initializer]}
    own.update(one.values.name for one in graph.sparse_initializer)
    own.update(name for node in graph.node for name in node.output)
    return frozenset(own - {""})


def apart(
    graph: onnx.GraphProto, prefix: str, taken: Collection[str] | None = None
) -> onnx.GraphProto:
    """Return the graph with names of its own that differ from those around it.

    Args:
        graph: A graph within a node; it is left as it was.
        prefix: What a name that is changed starts with.
        taken: The names in use around it; None changes every name of its own.
    """
    own = own_names(graph)
    names = {name: f"{prefix}/{name}" for name in own if taken is None or name in taken}
    if not names:
        return graph
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    rename(copy, names)
    return copy


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Change names in a graph and in those within it, where no name of their own hides them."""
    for one in [*graph.input, *graph.output, *graph.initializer, *graph.value_info]:
        one.name = names.get(one.name, one.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = names.get(sparse.values.name, sparse.values.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in subgraphs(node):
            hidden = own_names(inner)
            seen = {old: new for old, new in names.items() if old not in hidden}
            if seen:
                rename(inner, seen)
