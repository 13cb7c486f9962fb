"""What graphs that run in turns have in common: how turns are taken, and their rows put together.

A few turns whose number is known are written out one by one; else TensorFlow's own loop takes
them, through which only tensors go, of one type and of shapes that every turn keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.structures import NOTHING
from xbench_adapters.tensorflow.tensors import tf_dtype

if TYPE_CHECKING:
    from xbench.graph.plain import Graph, Value
    from xbench_adapters.tensorflow.builder import Builder

NODES = 256
"""How many nodes a body that is written out may come to, over all turns."""

WEIGHTS = 1 << 18
"""How many elements its weights may come to: each turn has constants of its own."""

MOST = 1024
"""How many turns are written out at most where nothing else can take them."""

Step = Callable[[Any, list[Any]], tuple[Any, list[Any], list[Any]]]
"""The turn's number, what is carried → whether to go on, what is carried, a row of each stack."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A value that each turn gives, stacked.

    Attributes:
        dtype: Its element type.
        shape: Its shape in one turn, None where a length is open; None where the rank is.
    """

    dtype: tf.DType
    shape: tuple[int | None, ...] | None


def open_shape(value: Value) -> tuple[int | None, ...] | None:
    """Return a shape with None for lengths that are open."""
    if value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else None for dim in value.shape)


def rows_of(body: Graph, names: Sequence[str], to: Builder) -> list[Rows]:
    """Return how results of a body are stacked."""
    found = []
    for name in names:
        dtype = tf_dtype(body.value(name).dtype)
        if dtype is None:
            to.refuse(f"the type of {name!r}, which each turn gives, must be known")
        found.append(Rows(dtype, open_shape(body.value(name))))
    return found


def few(body: Graph, turns: int) -> bool:
    """Return whether a body is small enough to be written out for each turn."""
    weights = sum(int(np.size(one)) for one in body.constants.values())
    return turns * len(body.nodes) <= NODES and turns * weights <= WEIGHTS


def one_by_one(step: Step, carried: list[Any], rows: Sequence[Rows], turns: int) -> list[Any]:
    """Return what is carried at the end and the stacks, every turn written out."""
    taken: list[list[Any]] = [[] for _ in rows]
    for turn in range(turns):
        _, carried, found = step(tf.constant(turn, tf.int64), carried)
        for some, one in zip(taken, found, strict=True):
            some.append(one)
    pairs = zip(rows, taken, strict=True)
    return [*carried, *(_joined(some) if some else _none(one) for one, some in pairs)]


def in_a_loop(
    step: Step,
    carried: list[Any],
    shapes: Sequence[Any],
    rows: Sequence[Rows],
    turns: Any,
    *,
    going: Any = True,
    asks: bool = False,
) -> list[Any]:
    """Return what is carried at the end and the stacks, by a loop of TensorFlow's.

    Args:
        step: What is done in a turn.
        carried: The tensors that the first turn is given.
        shapes: Their shapes in all turns.
        rows: What is stacked.
        turns: How many turns there are at most; None for no such limit.
        going: Whether the first turn is taken.
        asks: Whether a turn may be the last one before that.
    """
    known = isinstance(turns, int) and 0 <= turns < 1 << 31
    most = turns if known and going is True and not asks else -1
    limit = tf.constant(turns, tf.int64) if isinstance(turns, int) else turns
    lists = [_empty(one, most) for one in rows]

    def goes_on(turn: Any, again: Any, _carried: Any, _lists: Any) -> Any:
        return again if limit is None else tf.logical_and(again, turn < tf.cast(limit, tf.int64))

    def body(turn: Any, _: Any, carried: list[Any], lists: list[Any]) -> Any:
        again, carried, found = step(turn, list(carried))
        longer = [
            tf.raw_ops.TensorListPushBack(input_handle=some, tensor=one)
            for some, one in zip(lists, found, strict=True)
        ]
        kept = [tf.ensure_shape(*pair) for pair in zip(carried, shapes, strict=True)]
        return [turn + 1, tf.reshape(again, []), kept, longer]

    first = tf.reshape(tf.convert_to_tensor(going), [])
    start = [tf.constant(0, tf.int64), first, list(carried), lists]
    one = tf.TensorShape([])
    kept_shapes = [one, one, list(map(tf.TensorShape, shapes)), [one] * len(lists)]
    found = tf.while_loop(goes_on, body, start, kept_shapes, parallel_iterations=1)
    count, _, carried, lists = found
    return [*carried, *(_stack(*pair, count) for pair in zip(rows, lists, strict=True))]


def _shape(rows: Rows) -> Any:
    if rows.shape is None:
        return tf.constant(-1)
    return tf.constant([-1 if one is None else one for one in rows.shape], tf.int32)


def _empty(rows: Rows, most: int) -> Any:
    """Return a list of no rows, which grows.

    Not a `tf.TensorArray`: XLA takes one of no fixed length for one of its first length, and
    what it computes is wrong; of a list that has no limit it says that it cannot compile it.
    """
    return tf.raw_ops.EmptyTensorList(
        element_shape=_shape(rows), max_num_elements=most, element_dtype=rows.dtype
    )


def _stack(rows: Rows, some: Any, count: Any) -> Any:
    """Return a stack of rows; of none there is a shape too, its open lengths 0."""

    def stack() -> Any:
        return tf.raw_ops.TensorListStack(
            input_handle=some, element_shape=_shape(rows), element_dtype=rows.dtype
        )

    if rows.shape is None or None not in rows.shape:
        return stack()
    return tf.cond(tf.equal(count, 0), lambda: _none(rows), stack)


def _none(rows: Rows) -> Any:
    """Return a stack of no rows."""
    if rows.shape is None:
        raise ValueError("no turn is taken, and the shape of what one gives is not known")
    return tf.zeros([0, *(length or 0 for length in rows.shape)], rows.dtype)


def _joined(rows: Sequence[Any]) -> Any:
    # Not `tf.stack`, which has no kernels for some types.
    return tf.concat([tf.expand_dims(one, 0) for one in rows], 0)


def plain(values: Sequence[Any]) -> bool:
    """Return whether values are tensors, and no sequences or empty optionals."""
    return not any(isinstance(one, list) or one is NOTHING for one in values)


def known_truth(x: Any) -> bool | None:
    """Return what a condition is, if that is known while the graph is traced."""
    found = tf.get_static_value(x)
    if found is not None:
        return bool(np.reshape(found, -1)[0])
    made_by: Any = getattr(x, "op", None)
    kind = None if made_by is None else made_by.type
    if kind == "LogicalNot":
        inner = known_truth(made_by.inputs[0])
        return None if inner is None else not inner
    return known_truth(made_by.inputs[0]) if kind in ("Identity", "Reshape", "Squeeze") else None


def known_number(to: Builder, name: str) -> Any:
    """Return a whole number, as one where tracing tells it, else as a tensor of no axes."""
    array = to.constant(name)
    found = tf.get_static_value(to.raw(name)) if array is None else array
    return to.number(name) if found is None else int(np.reshape(found, -1)[0])
