"""Recurrent networks: one product for the inputs of all steps, then step after step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.graph.geometry.windows import Length, known
from xbench.graph.recurrent import Rules, rules_of
from xbench_adapters.tensorflow.lower.recurrent_cells import (
    CELLS,
    Options,
    States,
    Step,
    Weights,
    turned,
)
from xbench_adapters.tensorflow.lower.sliding import lengths_of, refusing
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.tensors import held

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_UNROLLED = 128
"""How many steps, of all directions, are written out at most; more run in a loop."""


@dataclass(frozen=True, slots=True)
class Direction:
    """A network in one direction, ready to run.

    Attributes:
        inputs: What the inputs give for the step, each with an entry for every step.
        step: From that and the states to the next states.
        first: The states at the start.
        backwards: Whether it starts at the last step.
    """

    inputs: tuple[Any, ...]
    step: Step
    first: States
    backwards: bool


@lowering("LSTM", 1)
@lowering("GRU", 1)
@lowering("RNN", 1)
def recurrent(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the outputs of every step, the last output, and for LSTM the last cell state."""
    with refusing(to):
        rules = rules_of(node)
    x = to.value(node.inputs[0])
    x = tf.transpose(x, [1, 0, 2]) if rules.by_batch else x
    weights = _weights(node, to, len(rules.backwards))
    (steps,) = lengths_of(x, 0, 1)
    directions = [
        _direction(node, to, x, weights[place], place, rules)
        for place in range(len(rules.backwards))
    ]
    lengths = to.optional(node.input(4))
    written = known(steps) and 0 < steps * len(directions) <= _UNROLLED
    run = _unrolled if written else _looped
    every, last = run(directions, steps, lengths, wanted=node.wants(0))
    if lengths is not None:
        last = [tuple(_unless_empty(one, lengths) for one in states) for states in last]
    return _results(every, last, rules)


def _weights(node: Node, to: Builder, directions: int) -> list[Weights]:
    """Return the weights of each direction."""
    arrays: list[Any] = []
    for place in (1, 2, 3, 7):
        name = node.input(place)
        array = to.constant(name) if name else None
        arrays.append(to.optional(name) if array is None else held(array))
    inputs, state, biases, peepholes = arrays
    if None in (state.shape[2], inputs.shape[1]) or inputs.shape[0] != directions:
        to.refuse("weights of open lengths, or not for as many directions")
    found = []
    for place in range(directions):
        both = None
        if biases is not None:
            half = inputs.shape[1]
            both = biases[place][:half], biases[place][half:]
        peephole = None if peepholes is None else peepholes[place]
        found.append(Weights(turned(inputs[place]), turned(state[place]), both, peephole))
    return found


def _direction(
    node: Node, to: Builder, x: Any, weights: Weights, place: int, rules: Rules
) -> Direction:
    options = Options(rules.activations[place], rules.clip, rules.variant)
    inputs, step = CELLS[node.operator](x, weights, options)
    (batch,) = lengths_of(x, 1, 2)
    first = []
    for source in (5, 6) if node.operator == "LSTM" else (5,):
        state = to.optional(node.input(source))
        if state is None:
            first.append(tf.zeros([batch, weights.size], x.dtype))
        else:
            first.append(state[:, place] if rules.by_batch else state[place])
    return Direction(inputs, step, tuple(first), rules.backwards[place])


def _after(direction: Direction, inputs: tuple[Any, ...], now: States, goes_on: Any) -> States:
    """Return the states after a step, for the items of the batch that go on."""
    then = direction.step(inputs, now)
    if goes_on is None:
        return then
    return tuple(tf.where(goes_on, new, old) for new, old in zip(then, now, strict=True))


def _shown(now: States, goes_on: Any) -> Any:
    """Return the output of a step: zero for the items of the batch that have ended."""
    return now[0] if goes_on is None else tf.where(goes_on, now[0], tf.zeros_like(now[0]))


def _unrolled(
    directions: Sequence[Direction], steps: int, lengths: Any, *, wanted: bool
) -> tuple[list[Any], list[States]]:
    """Return the outputs of every step and the last states, of each direction."""
    going = [None if lengths is None else (lengths > time)[:, tf.newaxis] for time in range(steps)]
    every, last = [], []
    for direction in directions:
        now, outputs = direction.first, list[Any]([None] * steps)
        parts = [tf.unstack(one, steps) for one in direction.inputs]
        for time in reversed(range(steps)) if direction.backwards else range(steps):
            inputs = tuple(one[time] for one in parts)
            now = _after(direction, inputs, now, going[time])
            outputs[time] = _shown(now, going[time]) if wanted else None
        every.append(tf.stack(outputs) if wanted else None)
        last.append(now)
    return every, last


def _looped(
    directions: Sequence[Direction], steps: Length, lengths: Any, *, wanted: bool
) -> tuple[list[Any], list[States]]:
    """Return the same from a loop that takes a step of each direction at once."""
    like = directions[0].first[0]

    def body(count: Any, all_now: Any, all_shown: Any) -> Any:
        found, shown = [], []
        for direction, now, outputs in zip(directions, all_now, all_shown, strict=True):
            time = steps - 1 - count if direction.backwards else count
            goes_on = None if lengths is None else (lengths > time)[:, tf.newaxis]
            inputs = tuple(one[time] for one in direction.inputs)
            then = _after(direction, inputs, now, goes_on)
            for old, new in zip(now, then, strict=True):
                new.set_shape(old.shape)  # a loop takes back what it gave
            found.append(then)
            shown.append(outputs.write(time, _shown(then, goes_on)) if wanted else outputs)
        return count + 1, found, shown

    arrays = [
        tf.TensorArray(like.dtype, size=steps if wanted else 0, element_shape=like.shape)
        for _ in directions
    ]
    states = [one.first for one in directions]
    _, last, shown = tf.while_loop(
        lambda count, *_: count < steps,
        body,
        (tf.constant(0), states, arrays),
        maximum_iterations=steps,
    )
    return [one.stack() if wanted else None for one in shown], last


def _unless_empty(state: Any, lengths: Any) -> Any:
    """Return a last state: zero for items of no steps, as in ONNX Runtime."""
    return tf.where((lengths > 0)[:, tf.newaxis], state, tf.zeros_like(state))


def _results(every: list[Any], last: Sequence[States], rules: Rules) -> tuple[Any, ...]:
    """Return outputs as steps, directions, batch, outputs, in the layout asked for."""
    whole = None
    if every[0] is not None:
        # Batch, steps, directions or steps, directions, batch.
        turned_ones = [tf.transpose(one, [1, 0, 2]) if rules.by_batch else one for one in every]
        whole = tf.stack(turned_ones, 2 if rules.by_batch else 1)
    axis = 1 if rules.by_batch else 0
    states = [tf.stack(list(one), axis) for one in zip(*last, strict=True)]
    return (whole, *states)
