"""Patterns that exporters leave behind, as the single operators that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xbench.graph.plain import Graph


def fuse(graph: Graph) -> Graph:
    """Return the graph with every known pattern replaced."""
    return graph
