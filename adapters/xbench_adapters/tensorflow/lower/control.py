"""Branches, and loops that end by a count or a condition."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from xbench.graph.plain import Graph, Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower import turns
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.structures import NOTHING, flat, packed, structure_of


@lowering("If", raw=True)
def branches(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the results of one of two graphs."""
    yes, no = (node.attributes[f"{name}_branch"] for name in ("then", "else"))
    condition = to.value(node.inputs[0])
    given = {name: to.value(name) for name in node.captures}

    def run(graph: Graph) -> list[Any]:
        return list(to.inner(graph, [given[name] for name in graph.captures]))

    known = turns.known_truth(condition)
    if known is not None:
        return tuple(run(yes if known else no))
    structures: list[Any] = []

    def tensors_of(graph: Graph) -> list[Any]:
        results = run(graph)
        structures.append(structure_of(results))
        return [tf.identity(one) for one in flat(results)]

    try:
        found = tf.cond(tf.reshape(condition, []), lambda: tensors_of(yes), lambda: tensors_of(no))
    except (AssertionError, TypeError, ValueError) as error:
        _refuse_unlike(structures, to)
        to.refuse(f"branches that do not give the same kinds of values: {error}")
    _refuse_unlike(structures, to)
    return tuple(packed(structures[0], iter(found if isinstance(found, list | tuple) else [])))


def _refuse_unlike(structures: list[Any], to: Builder) -> None:
    """Refuse branches of which one cannot stand for the other."""
    if any(one != structures[0] for one in structures):
        to.refuse("branches that give sequences of different lengths, or not both an element")


@lowering("Loop", raw=True)
def loop(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return what a loop carries at its end, and the values of all turns stacked."""
    body: Graph = node.attributes["body"]
    carried = [to.value(name) if name else NOTHING for name in node.inputs[2:]]
    captured = [to.value(name) for name in body.captures]
    asks = not _stays(body)
    going: Any = True
    if node.input(1):
        going = to.value(node.inputs[1])
        known = turns.known_truth(going)
        going = going if known is None else known
    trips = turns.known_number(to, node.inputs[0]) if node.input(0) else None
    if trips is None and not asks and going is True:
        to.refuse("it never ends")
    step = _step(body, captured, len(carried), to)
    rows = turns.rows_of(body, body.results[1 + len(carried) :], to)
    plain = turns.plain(carried)
    count = None
    if going is False:
        count = 0
    elif isinstance(trips, int) and going is True and not asks:
        count = max(trips, 0)
    if count is not None and (turns.few(body, count) or (not plain and count <= turns.MOST)):
        return tuple(_written_out(step, carried, rows, count, to))
    if not plain:
        to.refuse("a sequence or an optional through turns whose number only the run tells")
    names = body.inputs[2:]
    shapes = [turns.open_shape(body.value(name)) for name in names]
    found = turns.in_a_loop(step, carried, shapes, rows, trips, going=going, asks=asks)
    return tuple(found)


def _written_out(
    step: turns.Step, carried: list[Any], rows: list[turns.Rows], count: int, to: Builder
) -> list[Any]:
    try:
        return turns.one_by_one(step, carried, rows, count)
    except ValueError as error:
        if count:
            raise
        to.refuse(str(error))


def _step(body: Graph, captured: list[Any], carried: int, to: Builder) -> turns.Step:
    """Return what is done in a turn of a loop."""
    number, holds = (len(body.value(name).shape or ()) for name in body.inputs[:2])

    def step(turn: Any, values: list[Any]) -> tuple[Any, list[Any], list[Any]]:
        going_on = tf.fill([1] * holds, tf.constant(True))
        given = [tf.reshape(turn, [1] * number), going_on, *values, *captured]
        again, *results = to.inner(body, given)
        return again, results[:carried], results[carried:]

    return step


def _stays(body: Graph) -> bool:
    """Return whether a body leaves the condition true in every turn.

    It is true when a turn begins; a body that hands it on changes nothing.
    """
    again = body.constants.get(body.results[0])
    if again is not None:
        return bool(again.all())
    return body.results[0] == body.inputs[1]
