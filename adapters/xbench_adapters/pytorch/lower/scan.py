"""Graphs that run once for each slice of a tensor, or for each element of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from torch import nn

from xbench_adapters.pytorch.lower.sequence import slices
from xbench_adapters.pytorch.lower.shared.moved import joined, stacked
from xbench_adapters.pytorch.lower.shared.turns import Rows, device_of, rows_of
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Graph, Node
    from xbench_adapters.pytorch.builder import Builder

Way = tuple[int, bool]
"""The axis along which a tensor is scanned, and whether from its end."""


class Scan(nn.Module):
    """A body that runs once for each slice of its inputs, with states carried along."""

    def __init__(
        self, body: nn.Module, states: int, ways: Sequence[Way], rows: Sequence[Rows]
    ) -> None:
        super().__init__()
        self.body = body
        self.states = states
        self.ways = tuple(ways)
        self.rows = tuple(rows)

    def forward(
        self, states: list[Any], scanned: list[Any], captured: list[Any]
    ) -> tuple[Any, ...]:
        """Return the last states, and the stacked rows of all turns."""
        parts = [_slices(one, *way) for one, way in zip(scanned, self.ways, strict=True)]
        taken: list[list[Any]] = [[] for _ in self.rows]
        for turn in zip(*parts, strict=True):
            results = self.body(*states, *turn, *captured)
            states = list(results[: self.states])
            for rows, one in zip(taken, results[self.states :], strict=True):
                rows.append(one)
        device = device_of(self.body, states, scanned, captured)
        stacks = [how.put(rows, device) for how, rows in zip(self.rows, taken, strict=True)]
        return (*states, *stacks)


class BatchedScan(nn.Module):
    """A `Scan` for each entry of a batch, whose sequences may end before the longest one."""

    def __init__(self, scan: Scan) -> None:
        super().__init__()
        self.scan = scan

    def forward(
        self, lengths: torch.Tensor | None, states: list[Any], scanned: list[Any], captured: Any
    ) -> tuple[Any, ...]:
        """Return the last states and the stacked rows; rows past an entry's end are zero."""
        longest = scanned[0].shape[1]
        ends = [longest] * scanned[0].shape[0] if lengths is None else lengths.tolist()
        found = []
        for place, end in enumerate(ends):
            own = [one[place] for one in states]
            parts = [one[place][:end] for one in scanned]
            results = self.scan(own, parts, captured)
            rows = [_filled(one, longest) for one in results[len(states) :]]
            found.append([*results[: len(states)], *rows])
        return tuple(stacked(one, 0) for one in zip(*found, strict=True))


class Mapped(nn.Module):
    """A body that runs once for each element of a sequence."""

    def __init__(self, body: nn.Module, results: int) -> None:
        super().__init__()
        self.body = body
        self.results = results

    def forward(
        self, sequence: Sequence[Any], others: list[Any], captured: list[Any]
    ) -> tuple[list[Any], ...]:
        """Return a sequence of each result; other sequences go along, tensors stay."""
        alike = [one if isinstance(one, list | tuple) else [one] * len(sequence) for one in others]
        found = [self.body(*each, *captured) for each in zip(sequence, *alike, strict=True)]
        return tuple([one[place] for one in found] for place in range(self.results))


def _slices(x: Any, axis: int, backwards: bool) -> Sequence[Any]:
    parts = slices(x, axis)
    return parts[::-1] if backwards else parts


def _filled(rows: Any, length: int) -> Any:
    """Return rows with more of zero, or of empty text, up to ``length``."""
    missing = length - rows.shape[0]
    if not missing:
        return rows
    if isinstance(rows, np.ndarray):
        return np.concatenate([rows, np.full((missing, *rows.shape[1:]), "", dtype=object)])
    return joined([rows, rows.new_zeros((missing, *rows.shape[1:]))], 0)


def _ways(node: Node, kind: str, count: int) -> list[Way]:
    axes = node.attributes.get(f"scan_{kind}_axes") or [0] * count
    backwards = node.attributes.get(f"scan_{kind}_directions") or [0] * count
    return [(int(axis), bool(back)) for axis, back in zip(axes, backwards, strict=True)]


@lowering("Scan", 9, raw=True)
def scan(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the last states and the stacked rows of a graph run on each slice."""
    count = int(node.attributes["num_scan_inputs"])
    states = node.inputs[:-count]
    body: Graph = node.attributes["body"]
    stacks = body.results[len(states) :]
    ways, out = _ways(node, "input", count), _ways(node, "output", len(stacks))
    rows = rows_of(body, stacks, [axis for axis, _ in out], [back for _, back in out])
    module = Scan(to.inner(body), len(states), ways, rows)
    names = states, node.inputs[-count:], node.captures
    found = to.module(module, *([to.value(name) for name in some] for some in names))
    return to.items(found, len(node.outputs))


@lowering("Scan", 8, 8, raw=True)
def batched_scan(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the same for each entry of a batch, along the axis behind the batch's."""
    count = int(node.attributes["num_scan_inputs"])
    lengths, states = node.inputs[0], node.inputs[1:-count]
    body: Graph = node.attributes["body"]
    stacks = body.results[len(states) :]
    backwards = node.attributes.get("directions") or [0] * count
    ways = [(0, bool(back)) for back in backwards]
    rows = rows_of(body, stacks, [0] * len(stacks), [False] * len(stacks))
    module = BatchedScan(Scan(to.inner(body), len(states), ways, rows))
    names = states, node.inputs[-count:], node.captures
    given = ([to.value(name) for name in some] for some in names)
    found = to.module(module, to.optional(lengths), *given)
    return to.items(found, len(node.outputs))


@lowering("SequenceMap", raw=True)
def sequence_map(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return what a graph makes of each element of a sequence."""
    body: Graph = node.attributes["body"]
    module = Mapped(to.inner(body), len(body.results))
    first, *others = map(to.value, node.inputs)
    found = to.module(module, first, others, [to.value(name) for name in node.captures])
    return to.items(found, len(node.outputs))
