"""Nodes that hold graphs, branches and loops: their graphs evaluated, their outputs typed.

A value that a loop carries has the type it starts with only as long as each turn leaves it
that type; the body is evaluated anew, with less assumed, until that holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto, helper

from xbench.errors import ModelError
from xbench.graph.loose import (
    Type,
    length_of,
    loosened,
    merged,
    widened,
    with_axis,
    without_axis,
    wrapped,
)
from xbench.graph.plain import Array, Graph

Inner = Callable[[onnx.GraphProto, Sequence[Type]], tuple[Graph, list[Type]]]
"""A graph and the types of its inputs → it evaluated, and the types of its results."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A node that holds graphs, and what is known around it."""

    node: onnx.NodeProto
    version: int
    attributes: Mapping[str, Any]
    types: Mapping[str, onnx.TypeProto]
    constants: Mapping[str, Array]
    inner: Inner

    def given(self, first: int) -> list[Type]:
        """Return the types of the node's inputs from ``first`` on."""
        return [self.types.get(name) for name in self.node.input[first:]]

    def expect(self, fits: bool, what: str) -> None:
        """Raise a ModelError where the node's graph does not fit the node."""
        if not fits:
            raise ModelError(f"node {self.node.name!r} ({self.node.op_type}) {what}")


Graphs = dict[str, Graph]
Found = tuple[Graphs, list[Type]]


def flow(at: Flow) -> tuple[Graphs, dict[str, onnx.TypeProto]]:
    """Return the graphs of a node, evaluated, by attribute, and the types of its outputs.

    Raises:
        ModelError: If a graph does not fit the node.
    """
    rule = None if at.node.domain not in ("", "ai.onnx") else _RULES.get(at.node.op_type)
    graphs, found = (rule or _others)(at)
    at.expect(rule is None or len(at.node.output) <= len(found), "has more outputs than its graph")
    typed = zip(at.node.output, found, strict=False)
    return graphs, {name: one for name, one in typed if name and one is not None}


def _others(at: Flow) -> Found:
    graphs = {
        name: at.inner(graph, [None] * len(graph.input))[0]
        for name, graph in at.attributes.items()
        if isinstance(graph, onnx.GraphProto)
    }
    return graphs, []


def _branches(at: Flow) -> Found:
    yes, then = at.inner(at.attributes["then_branch"], [])
    no, otherwise = at.inner(at.attributes["else_branch"], [])
    at.expect(len(then) == len(otherwise), "has branches with different numbers of outputs")
    types = [merged(one, other) for one, other in zip(then, otherwise, strict=True)]
    return {"then_branch": yes, "else_branch": no}, types


def _settled(
    at: Flow, before: Sequence[Type], starts: Sequence[Type], after: Sequence[Type], skip: int
) -> tuple[Graph, list[Type], list[Type]]:
    """Return the body, the types of what it carries that every turn keeps, and all results.

    Args:
        at: The node.
        before: Types of the body's inputs ahead of what it carries.
        starts: Types of what it carries, before the first turn.
        after: Types of the body's inputs behind that.
        skip: How many results stand ahead of what it carries.
    """
    body = at.attributes["body"]
    at.expect(
        len(body.input) == len(before) + len(starts) + len(after)
        and len(body.output) >= skip + len(starts),
        "has a body with other inputs or outputs than it needs",
    )
    declared = [one.type for one in body.input[len(before) :]]
    carried: list[Type] = [
        merged(start or loosened(said), start or loosened(said))
        for start, said in zip(starts, declared, strict=False)
    ]
    while True:
        graph, results = at.inner(body, [*before, *carried, *after])
        wider = [
            widened(one, other)
            for one, other in zip(carried, results[skip : skip + len(starts)], strict=True)
        ]
        if wider == carried:
            return graph, carried, results[skip + len(starts) :]
        carried = wider


def _loop(at: Flow) -> Found:
    body = at.attributes["body"]
    kinds = (TensorProto.INT64, TensorProto.BOOL)
    before: list[Type] = [
        helper.make_tensor_type_proto(kind, [1] * _single(one.type))
        for kind, one in zip(kinds, body.input, strict=False)
    ]
    graph, carried, rest = _settled(at, before, at.given(2), [], 1)
    trips = _trips(at, graph)
    return {"body": graph}, [*carried, *(with_axis(one, 0, trips) for one in rest)]


def _single(typed: onnx.TypeProto) -> int:
    """Return the rank of a single element as declared: some bodies ask for a vector of one."""
    return 1 if len(typed.tensor_type.shape.dim) == 1 else 0


def _trips(at: Flow, body: Graph) -> int | None:
    """Return how often a loop turns, if it is known."""
    names = [*at.node.input[:2], "", ""]
    count, going = at.constants.get(names[0]), at.constants.get(names[1])
    starts = not names[1] or (going is not None and bool(going.reshape(-1)[0]))
    stays = body.results[0] == body.inputs[1]
    again = body.constants.get(body.results[0])
    if count is None or not starts or not (stays or (again is not None and bool(again.all()))):
        return None
    return max(0, int(count.reshape(-1)[0]))


def _scan(at: Flow) -> Found:
    scanned = int(at.attributes["num_scan_inputs"])
    batched = at.version < 9
    given = at.given(1 if batched else 0)
    states, sequences = given[: len(given) - scanned], given[len(given) - scanned :]
    at.expect(0 < scanned <= len(given), "has fewer inputs than it scans")
    _axes(at, "directions" if batched else "scan_input_directions", scanned)
    axes = [0] * scanned if batched else _axes(at, "scan_input_axes", scanned)
    batch = length_of(sequences[0], 0) if batched else None
    if batched:
        states = [without_axis(one, 0) for one in states]
        sequences = [without_axis(one, 0) for one in sequences]
    slices = [without_axis(one, axis) for one, axis in zip(sequences, axes, strict=True)]
    graph, carried, rest = _settled(at, [], states, slices, 0)
    known = [length_of(one, axis) for one, axis in zip(sequences, axes, strict=True)]
    length = next((one for one in known if one is not None), None)
    out = [0] * len(rest) if batched else _axes(at, "scan_output_axes", len(rest))
    _axes(at, "scan_output_directions", len(rest))
    found = [*carried, *(with_axis(a, axis, length) for a, axis in zip(rest, out, strict=True))]
    return {"body": graph}, [with_axis(one, 0, batch) for one in found] if batched else found


def _axes(at: Flow, attribute: str, count: int) -> list[int]:
    axes = [int(axis) for axis in at.attributes.get(attribute) or [0] * count]
    at.expect(len(axes) == count, f"has {len(axes)} {attribute} for {count} values")
    return axes


def _map(at: Flow) -> Found:
    def element(typed: Type) -> Type:
        if typed is None or not typed.HasField("sequence_type"):
            return typed
        return loosened(typed.sequence_type.elem_type)

    body = at.attributes["body"]
    at.expect(len(body.input) == len(at.node.input), "has a body with another number of inputs")
    graph, results = at.inner(body, [element(one) for one in at.given(0)])
    types = [one and wrapped("sequence_type", loosened(one)) for one in results]
    return {"body": graph}, types


_RULES: Mapping[str, Callable[[Flow], Found]] = {
    "If": _branches,
    "Loop": _loop,
    "Scan": _scan,
    "SequenceMap": _map,
}
