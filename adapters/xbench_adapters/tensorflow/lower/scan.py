"""Graphs that run once for each slice of a tensor, or for each element of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from xbench.graph.plain import Graph, Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower import turns
from xbench_adapters.tensorflow.lower.attend import dims
from xbench_adapters.tensorflow.registry import lowering

Way = tuple[int, bool]
"""The axis along which a tensor is scanned, and whether from its end."""


def _ways(node: Node, kind: str, count: int) -> list[Way]:
    axes = node.attributes.get(f"scan_{kind}_axes") or [0] * count
    backwards = node.attributes.get(f"scan_{kind}_directions") or [0] * count
    return [(int(axis), bool(back)) for axis, back in zip(axes, backwards, strict=True)]


def _in_front(x: Any, axis: int) -> Any:
    """Return a tensor with one of its axes moved to the front."""
    rank = x.shape.rank
    place = axis % rank
    order = [place, *(one for one in range(rank) if one != place)]
    return x if not place else tf.transpose(x, order)


def _placed(x: Any, axis: int, backwards: bool, to: Builder) -> Any:
    """Return stacked rows along another axis, or the last one first."""
    if backwards:
        x = tf.reverse(x, [0])
    if not axis:
        return x
    rank = x.shape.rank
    if rank is None:
        to.refuse("results whose rank is not known, stacked along an axis that is not the first")
    order = list(range(1, rank))
    order.insert(axis % rank, 0)
    return tf.transpose(x, order)


def _scanned(
    body: Graph,
    states: list[Any],
    fronts: Sequence[Any],
    backwards: Sequence[bool],
    captured: list[Any],
    count: Any,
    to: Builder,
) -> list[Any]:
    """Return the last states and the stacked rows of a graph run on each slice.

    Args:
        body: The graph.
        states: The states before the first turn.
        fronts: What is scanned, along the first axes.
        backwards: Whether each is scanned from its end.
        captured: What the graph takes from outside.
        count: How many slices there are.
        to: What is built with.
    """

    def step(turn: Any, values: list[Any]) -> tuple[Any, list[Any], list[Any]]:
        last = tf.cast(count, tf.int64) - 1
        slices = [
            tf.gather(one, last - turn if back else turn)
            for one, back in zip(fronts, backwards, strict=True)
        ]
        results = to.inner(body, [*values, *slices, *captured])
        return tf.constant(True), list(results[: len(states)]), list(results[len(states) :])

    rows = turns.rows_of(body, body.results[len(states) :], to)
    if isinstance(count, int) and turns.few(body, count):
        return turns.one_by_one(step, states, rows, count)
    shapes = [turns.open_shape(body.value(name)) for name in body.inputs[: len(states)]]
    return turns.in_a_loop(step, states, shapes, rows, count)


@lowering("Scan", 9, raw=True)
def scan(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the last states and the stacked rows of a graph run on each slice."""
    scanned = int(node.attributes["num_scan_inputs"])
    states = [to.value(name) for name in node.inputs[:-scanned]]
    body: Graph = node.attributes["body"]
    ways = _ways(node, "input", scanned)
    out = _ways(node, "output", len(body.results) - len(states))
    fronts = []
    for name, (axis, _) in zip(node.inputs[-scanned:], ways, strict=True):
        to.rank(name)
        fronts.append(_in_front(to.value(name), axis))
    lengths = [dims(one)[0] for one in fronts]
    count = next((one for one in lengths if isinstance(one, int)), lengths[0])
    for one in lengths:
        if isinstance(one, int) and one != count:
            to.refuse(f"{one} slices of one input and {count} of another")
        if not isinstance(one, int) and one is not count:
            tf.debugging.assert_equal(one, count, "inputs of different numbers of slices")
    captured = [to.value(name) for name in body.captures]
    found = _scanned(body, states, fronts, [back for _, back in ways], captured, count, to)
    stacks = zip(found[len(states) :], out, strict=True)
    return (*found[: len(states)], *(_placed(one, *way, to) for one, way in stacks))


@lowering("Scan", 8, 8, raw=True)
def batched_scan(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the same for each entry of a batch, along the axis behind the batch's.

    Rows past the end of an entry are zero.
    """
    scanned = int(node.attributes["num_scan_inputs"])
    lengths = to.optional(node.inputs[0])
    states = [to.value(name) for name in node.inputs[1:-scanned]]
    given = [to.value(name) for name in node.inputs[-scanned:]]
    body: Graph = node.attributes["body"]
    backwards = [bool(one) for one in node.attributes.get("directions") or [0] * scanned]
    captured = [to.value(name) for name in body.captures]
    batch, longest = dims(given[0])[:2]
    if not isinstance(batch, int) or not batch:
        to.refuse("a batch whose length is not known")
    entries = []
    for place in range(batch):
        end = longest if lengths is None else tf.cast(lengths[place], tf.int32)
        own = [one[place] for one in states]
        found = _scanned(body, own, [one[place] for one in given], backwards, captured, end, to)
        rows = [_filled(one, end, longest) for one in found[len(states) :]]
        entries.append([*found[: len(states)], *rows])
    return tuple(
        tf.concat([tf.expand_dims(one, 0) for one in some], 0)
        for some in zip(*entries, strict=True)
    )


def _filled(rows: Any, end: Any, longest: Any) -> Any:
    """Return rows with more of zero, or of empty text, up to the longest."""
    if end is longest:
        return rows
    ends = [[0, 0] for _ in range(rows.shape.rank)]
    ends[0][1] = tf.cast(longest, tf.int32) - end
    fill: Any = "" if rows.dtype == tf.string else tf.zeros([], rows.dtype)
    return tf.pad(rows, ends, constant_values=fill)


@lowering("SequenceMap", raw=True)
def sequence_map(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return what a graph makes of each element of a sequence."""
    body: Graph = node.attributes["body"]
    sequence, *others = map(to.value, node.inputs)
    captured = [to.value(name) for name in body.captures]
    alike = [one if isinstance(one, list) else [one] * len(sequence) for one in others]
    if any(len(one) != len(sequence) for one in alike):
        to.refuse("sequences of different lengths")
    found = [to.inner(body, [*each, *captured]) for each in zip(sequence, *alike, strict=True)]
    return tuple([one[place] for one in found] for place in range(len(body.results)))
