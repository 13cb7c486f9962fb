"""Branches, and loops that end by a count or a condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch import nn

from xbench_adapters.pytorch.lower.shared.turns import Rows, device_of, rows_of
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Graph, Node
    from xbench_adapters.pytorch.builder import Builder


class Branch(nn.Module):
    """One branch, which takes its own of all values that both take from outside."""

    def __init__(self, body: nn.Module, places: Sequence[int], *, copies: bool = False) -> None:
        super().__init__()
        self.body = body
        self.places = tuple(places)
        self.copies = copies

    def forward(self, *captured: Any) -> tuple[Any, ...]:
        """Return the branch's results, as copies where they may be its inputs."""
        results = self.body(*(captured[place] for place in self.places))
        return tuple(one.clone() for one in results) if self.copies else tuple(results)


class Branches(nn.Module):
    """Two branches, of which a condition picks one when the module runs."""

    def __init__(
        self, yes: tuple[nn.Module, list[int]], no: tuple[nn.Module, list[int]], *, traced: bool
    ) -> None:
        super().__init__()
        # `torch.cond` allows no branch to hand on what it was given.
        self.yes, self.no = Branch(*yes, copies=traced), Branch(*no, copies=traced)
        self.traced = traced

    def forward(self, condition: torch.Tensor, *captured: Any) -> Any:
        """Return the results of the branch that the condition picks."""
        if self.traced and torch.compiler.is_compiling():
            return torch.cond(condition.reshape(()), self.yes, self.no, captured)
        branch = self.yes if bool(condition) else self.no
        return branch.body(*(captured[place] for place in branch.places))


class Loop(nn.Module):
    """A body that runs until a count is reached or a condition fails.

    Args:
        body: Takes the turn's number, the condition, what is carried and what is captured;
            gives the condition, what is carried and a row of each stacked value.
        carried: How many values one turn hands to the next.
        rows: How rows are stacked.
        shapes: The shapes in which the body takes the number and the condition.
        asks: Whether the condition can end the loop.
    """

    def __init__(
        self,
        body: nn.Module,
        carried: int,
        rows: Sequence[Rows],
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
        *,
        asks: bool,
    ) -> None:
        super().__init__()
        self.body = body
        self.carried = carried
        self.rows = tuple(rows)
        self.shapes = shapes
        self.asks = asks

    def forward(
        self, trips: int | None, condition: Any, carried: list[Any], captured: list[Any]
    ) -> tuple[Any, ...]:
        """Return what is carried at the end, and the stacked rows of all turns."""
        device = device_of(self.body, carried, captured)
        going = condition is None or bool(condition)
        going_on = torch.ones(self.shapes[1], dtype=torch.bool, device=device)
        taken: list[list[Any]] = [[] for _ in self.rows]
        turn = 0
        while going and (trips is None or turn < trips):
            number = torch.full(self.shapes[0], turn, dtype=torch.int64, device=device)
            again, *results = self.body(number, going_on, *carried, *captured)
            carried = results[: self.carried]
            for rows, one in zip(taken, results[self.carried :], strict=True):
                rows.append(one)
            going = not self.asks or bool(again)
            turn += 1
        stacks = [how.put(rows, device) for how, rows in zip(self.rows, taken, strict=True)]
        return (*carried, *stacks)


def _traceable(branches: Sequence[Graph], to: Builder, node: Node) -> bool:
    """Return whether `torch.cond` takes these branches: tensors in, tensors of one type out."""
    captured = [to.graph.value(name) for name in node.captures]
    if any(one.dtype is None or one.dtype.name == "object" for one in captured):
        return False
    for pair in zip(*(one.results for one in branches), strict=True):
        yes, no = (graph.value(name) for graph, name in zip(branches, pair, strict=True))
        same = yes.dtype == no.dtype and yes.shape == no.shape
        if not same or yes.dtype is None or yes.dtype.name == "object" or yes.shape is None:
            return False
    return True


@lowering("If", raw=True)
def branches(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the results of one of two graphs: a Python branch, or `torch.cond` when traced."""
    graphs = node.attributes["then_branch"], node.attributes["else_branch"]
    places = [[node.captures.index(name) for name in one.captures] for one in graphs]
    yes, no = ((to.inner(one), where) for one, where in zip(graphs, places, strict=True))
    module = Branches(yes, no, traced=_traceable(graphs, to, node))
    found = to.module(module, to.value(node.inputs[0]), *map(to.value, node.captures))
    return to.items(found, len(node.outputs))


@lowering("Loop", raw=True)
def loop(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return what a loop carries at its end, and the values of all turns stacked."""
    body: Graph = node.attributes["body"]
    carried = node.inputs[2:]
    condition = to.constant(node.input(1)) if node.input(1) else None
    going: Any = to.value(node.inputs[1]) if node.input(1) else None
    if condition is not None:
        going = None if bool(condition.reshape(-1)[0]) else False
    asks = not _stays(body)
    trips = to.number(node.inputs[0]) if node.input(0) else None
    if trips is None and not asks and going is None:
        to.refuse("it never ends")
    stacks = body.results[1 + len(carried) :]
    rows = rows_of(body, stacks, [0] * len(stacks), [False] * len(stacks))
    number, holds = (len(body.value(name).shape or ()) for name in body.inputs[:2])
    shapes = (1,) * number, (1,) * holds
    module = Loop(to.inner(body), len(carried), rows, shapes, asks=asks)
    start = [to.value(name) if name else None for name in carried]
    found = to.module(module, trips, going, start, [to.value(name) for name in node.captures])
    return to.items(found, len(node.outputs))


def _stays(body: Graph) -> bool:
    """Return whether a body leaves the condition true in every turn.

    It is true when a turn begins; a body that hands it on changes nothing.
    """
    again = body.constants.get(body.results[0])
    if again is not None:
        return bool(again.all())
    return body.results[0] == body.inputs[1]
