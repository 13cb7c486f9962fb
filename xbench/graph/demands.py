"""What operators demand of their inputs beyond their schemas, for every importer."""

from __future__ import annotations

from typing import NoReturn, Protocol

import numpy as np

from xbench.graph.plain import Graph, Node


class Demanding(Protocol):
    """The part of an importer's builder that demands need."""

    graph: Graph

    def refuse(self, detail: str) -> NoReturn:
        """Say that the node at hand cannot be run as ONNX defines it."""


def rows_only(node: Node, to: Demanding, place: int, *names: str) -> None:
    """Refuse vectors that can be no numbers by row: by column they would not leave the sum.

    Args:
        node: The node.
        to: What it is lowered to.
        place: Which input has the rows, on its last axis but one.
        names: Of scales and zero points; an empty one is absent.

    Raises:
        UnsupportedNodeError: If one that is known has another length than there are rows.
    """
    shape = to.graph.value(node.inputs[place]).shape
    rows = shape[-2] if shape is not None and len(shape) > 1 else None
    for name in names:
        known = to.graph.value(name).static if name else None
        if known is None or np.prod(known) == 1 or len(known) != 1 or not isinstance(rows, int):
            continue
        if known[0] != rows:
            to.refuse(f"{known[0]} scales or zero points for {rows} rows")
