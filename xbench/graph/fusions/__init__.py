"""Patterns that exporters leave behind, as the single operators that they stand for.

Each file holds one pattern. A pattern is replaced only where what lies between its ends
has no other use, and where the operator that replaces it computes the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbench.graph.fusions.attention import attention
from xbench.graph.fusions.convolution import batch_norm, padding
from xbench.graph.fusions.gelu import gelu
from xbench.graph.fusions.layer_norm import layer_norm
from xbench.graph.fusions.linear import linear
from xbench.graph.fusions.quantize import simulated
from xbench.graph.fusions.swish import hard_swish, silu
from xbench.graph.fusions.view import Pattern, rewritten

if TYPE_CHECKING:
    from xbench.graph.plain import Graph

PATTERNS: tuple[tuple[str, Pattern], ...] = (
    ("fake_quantize", simulated),
    ("padding", padding),
    ("batch_norm", batch_norm),
    ("layer_norm", layer_norm),
    ("gelu", gelu),
    ("silu", silu),
    ("hard_swish", hard_swish),
    ("attention", attention),
    ("linear", linear),
)
"""In the order in which they are looked for."""


def fuse(graph: Graph) -> Graph:
    """Return the graph with every known pattern replaced."""
    for title, pattern in PATTERNS:
        graph = rewritten(graph, pattern, title)
    return graph
