"""Sequences: lists of tensors while a graph is traced, so that their lengths are known."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.lower.turns import known_number
from xbench_adapters.tensorflow.registry import lowering

Sequence = list[Any]


def _sequence(to: Builder, name: str) -> Sequence:
    found = to.value(name)
    if not isinstance(found, list):
        to.refuse(f"{name!r}, which is no sequence or an empty optional")
    return found


def _place(to: Builder, name: str, default: int) -> Any:
    return known_number(to, name) if name else default


def _picked(to: Builder, place: Any, count: int, choices: list[Sequence]) -> Sequence:
    """Return the choice at a place, which counts from the end where it is negative.

    Args:
        to: What is built with.
        place: The place: a number, or a tensor that only the run knows.
        count: What is added to a negative place.
        choices: What there is to choose from: as many tensors of the same types each.
    """
    if isinstance(place, int):
        place += count if place < 0 else 0
        if not 0 <= place < len(choices):
            to.refuse(f"a place that is out of range for a sequence of {count}")
        return choices[place]
    if not choices:
        to.refuse("an element of a sequence that is empty")
    place = tf.cast(place, tf.int32)
    place = tf.where(place < 0, place + count, place)
    within = tf.logical_and(place >= 0, place < len(choices))
    tf.debugging.Assert(within, ["a place that is out of range for a sequence", place])
    if not choices[0]:
        return []
    for kinds in zip(*choices, strict=True):
        if len({one.dtype for one in kinds}) > 1:
            to.refuse("elements of different types at a place that only the run knows")

    def giving(choice: Sequence) -> Any:
        return lambda: [tf.identity(one) for one in choice]

    return list(tf.switch_case(place, [giving(one) for one in choices]))


@lowering("SequenceEmpty", raw=True)
def sequence_empty(_node: Node, _to: Builder) -> Sequence:
    """Return a sequence of nothing."""
    return []


@lowering("SequenceConstruct", raw=True)
def sequence_construct(node: Node, to: Builder) -> Sequence:
    """Return a sequence of the inputs."""
    return [to.value(name) for name in node.inputs]


@lowering("SequenceAt", raw=True)
def sequence_at(node: Node, to: Builder) -> Any:
    """Return one element."""
    sequence = _sequence(to, node.inputs[0])
    place = _place(to, node.inputs[1], 0)
    return _picked(to, place, len(sequence), [[one] for one in sequence])[0]


@lowering("SequenceLength", raw=True)
def sequence_length(node: Node, to: Builder) -> Any:
    """Return the number of elements."""
    return tf.constant(len(_sequence(to, node.inputs[0])), tf.int64)


@lowering("SequenceInsert", raw=True)
def sequence_insert(node: Node, to: Builder) -> Sequence:
    """Return the sequence with one more element."""
    sequence, one = _sequence(to, node.inputs[0]), to.value(node.inputs[1])
    count = len(sequence)
    choices = [[*sequence[:place], one, *sequence[place:]] for place in range(count + 1)]
    return _picked(to, _place(to, node.input(2), count), count, choices)


@lowering("SequenceErase", raw=True)
def sequence_erase(node: Node, to: Builder) -> Sequence:
    """Return the sequence with one element less."""
    sequence = _sequence(to, node.inputs[0])
    count = len(sequence)
    choices = [[*sequence[:place], *sequence[place + 1 :]] for place in range(count)]
    return _picked(to, _place(to, node.input(1), -1), count, choices)


@lowering("SplitToSequence", raw=True)
def split_to_sequence(node: Node, to: Builder) -> Sequence:
    """Return the parts of a tensor along an axis, as a sequence."""
    x, split = to.value(node.inputs[0]), node.input(1)
    axis = to.axis(int(node.attributes["axis"]), to.rank(node.inputs[0]))
    if split and to.rank(split):
        return _by_lengths(node, to, x, axis)
    length = x.shape[axis]
    each = _place(to, split, 1)
    if length is None or not isinstance(each, int):
        to.refuse("as many parts as only the run tells")
    if each <= 0:
        to.refuse(f"parts of {each}")
    if not split and not node.attributes.get("keepdims", 1):
        return [tf.gather(x, place, axis=axis) for place in range(length)]
    lengths = [min(each, length - start) for start in range(0, length, each)]
    return list(tf.split(x, lengths, axis)) if lengths else []


def _by_lengths(node: Node, to: Builder, x: Any, axis: int) -> Sequence:
    """Return parts of lengths that are given one by one."""
    name, whole = node.inputs[1], x.shape[axis]
    known = to.constant(name)
    if known is not None:
        lengths = [int(one) for one in known]
        if min(lengths, default=0) < 0 or (whole is not None and sum(lengths) != whole):
            to.refuse(f"an axis of {whole} in parts of {lengths}")
        if not lengths:
            return []
        if whole is None:
            tf.debugging.assert_equal(tf.shape(x)[axis], sum(lengths), "parts of an axis")
        return list(tf.split(x, lengths, axis, num=len(lengths)))
    split = tf.cast(to.value(name), tf.int32)
    count = split.shape[0]
    if count is None:
        to.refuse("as many parts as only the run tells")
    tf.debugging.Assert(tf.reduce_all(split >= 0), ["parts of a negative length", split])
    tf.debugging.assert_equal(tf.shape(x)[axis], tf.reduce_sum(split), "parts of an axis")
    return list(tf.split(x, split, axis, num=count)) if count else []


@lowering("ConcatFromSequence", raw=True)
def concat_from_sequence(node: Node, to: Builder) -> Any:
    """Return the elements of a sequence in one tensor, along an axis of theirs or a new one."""
    sequence, axis = _sequence(to, node.inputs[0]), int(node.attributes["axis"])
    if not sequence:
        to.refuse("a sequence that is empty")
    if node.attributes.get("new_axis"):
        sequence = [tf.expand_dims(one, axis) for one in sequence]
    return tf.concat(sequence, axis)
