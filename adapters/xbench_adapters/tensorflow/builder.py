"""What a lowering builds with: values of the graph in, TensorFlow tensors out.

A lowering runs while a `tf.function` is traced, so what it calls becomes the graph. Images are the
exception to ONNX's layout: TensorFlow's convolutions on CPUs want their channels last. A value
may exist in either layout or in both; it is turned only where somebody asks for the other
one, and what nobody uses, TensorFlow prunes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import tensorflow as tf

from xbench.errors import UnsupportedNodeError
from xbench.graph.stand_ins import way
from xbench_adapters.tensorflow.stand_in import StandIn, stand_in
from xbench_adapters.tensorflow.tensors import held, tf_dtype
from xbench_adapters.tensorflow.unfolded import gpu_is_on, weight_of

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Graph, Node


_WHOLE_BYTES = 4
"""Elements of fewer bytes may be widened before they are computed with."""

_HALVES = ("float16", "bfloat16")
"""Those that GPUs need not widen."""


@dataclass(frozen=True, slots=True)
class Last:
    """A result with its channels last: batch, axes of space, channels."""

    tensor: Any


class Builder:
    """The tensors of a graph, made while its nodes are lowered in order."""

    def __init__(
        self, graph: Graph, inner: Callable[[Graph, Sequence[Any]], Sequence[Any]]
    ) -> None:
        self.graph = graph
        self.inner = inner
        self.node: Node | None = None
        self._first: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._weights: dict[str, Any] = {}
        self._in_last: int | None = None
        self._stand_ins: dict[str, StandIn] = {}

    # What is known of the values

    def refuse(self, detail: str) -> NoReturn:
        """Say that the node at hand cannot be run as ONNX defines it."""
        node = self.node
        assert node is not None
        spelled = f"{node.domain}::{node.operator}" if node.domain else node.operator
        raise UnsupportedNodeError(node.name, spelled, node.version, detail)

    def constant(self, name: str) -> Array | None:
        """Return the value of ``name`` if it is known before the first run."""
        return self.graph.constants.get(name)

    def need(self, name: str, what: str) -> Array:
        """Return the value of ``name``, or refuse the node because it is not known."""
        array = self.constant(name)
        if array is None:
            self.refuse(f"its {what} must be known before the first run (give input shapes)")
        return array

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a shape that must be known."""
        shape = self.graph.value(name).static
        if shape is None and name not in self.graph.constants:
            found = self.raw(name).shape
            shape = tuple(found.as_list()) if found.is_fully_defined() else None
        if shape is None:
            self.refuse(f"the shape of {name!r} must be known (give input shapes)")
        return shape

    def rank(self, name: str) -> int:
        """Return a number of dimensions that must be known."""
        rank = self.graph.value(name).rank
        if rank is None:
            rank = self.raw(name).shape.rank
        if rank is None:
            self.refuse(f"the rank of {name!r} must be known (give input shapes)")
        return rank

    def dtype(self, name: str) -> tf.DType:
        """Return an element type that must be known: the one that is computed with."""
        if name in self._stand_ins:
            return self._stand_ins[name].dtype
        dtype = tf_dtype(self.graph.value(name).dtype)
        if dtype is None:
            self.refuse(f"the element type of {name!r} must be known")
        return dtype

    def floating(self, name: str) -> bool:
        """Return whether the elements of ``name`` are floats."""
        return bool(self.dtype(name).is_floating)

    def axis(self, axis: int, rank: int) -> int:
        """Return an axis counted from the front, or refuse one that is out of range."""
        if not -rank <= axis < max(rank, 1):
            self.refuse(f"axis {axis} is out of range for rank {rank}")
        return axis % rank if rank else 0

    # What is built

    def value(self, name: str) -> Any:
        """Return the value of ``name`` as ONNX lays it out, or in the layout at hand."""
        found = self.raw(name) if self._in_last is None else self._beside(name, self._in_last)
        standing = self._stand_ins.get(name)
        return found if standing is None else standing.into(found)

    def raw(self, name: str) -> Any:
        """Return the value of ``name`` as ONNX lays it out, in the type that holds it."""
        if name not in self._first:
            if name in self._last:
                self._first[name] = to_first(self._last[name])
            else:
                array = self.constant(name)
                assert array is not None, name
                self._first[name] = tf.constant(held(array))
        return self._first[name]

    def weight(self, name: str) -> Any:
        """Return the value of ``name`` for an operation that reads it as it is, if it is known.

        Nothing may be left to work out of it, or each run would: what is held in another type
        than it is computed in, and floats of 16 bits, which are widened, stay within the graph.
        """
        array = self.constant(name)
        if array is None or name in self._stand_ins or not _as_it_is(array):
            return self.value(name)
        if name not in self._weights:
            self._weights[name] = weight_of(held(array))
        return self._weights[name]

    def last(self, name: str) -> Any:
        """Return the value of ``name`` with its channels last."""
        if name not in self._last:
            array = self.constant(name)
            if array is not None:
                self._last[name] = tf.constant(held(np.moveaxis(array, 1, -1)))
            else:
                self._last[name] = to_last(self.raw(name))
        return self._last[name]

    def has_last(self, name: str) -> bool:
        """Return whether the value of ``name`` exists with its channels last."""
        return name in self._last and self.constant(name) is None

    def optional(self, name: str) -> Any:
        """Return the value of ``name``, or None for an input that is absent."""
        return self.value(name) if name else None

    def numbers(self, name: str) -> list[int] | Any:
        """Return whole numbers: those of a constant as a list, or a tensor of one axis."""
        array = self.constant(name)
        if array is not None:
            return [int(one) for one in array.reshape(-1)]
        return tf.reshape(self.raw(name), [-1])

    def number(self, name: str) -> int | Any:
        """Return a whole number: that of a constant, or a tensor of no axes."""
        array = self.constant(name)
        return int(array.reshape(-1)[0]) if array is not None else tf.reshape(self.raw(name), [])

    def define(self, name: str, found: Any) -> None:
        """Take a tensor, or a result with its channels last, as the value of ``name``."""
        if isinstance(found, Last):
            self._last[name] = found.tensor
        else:
            self._first[name] = found

    def give(self, name: str, found: Any) -> None:
        """Take what the node at hand computes as the value of ``name``."""
        standing = self._stand_ins.get(name)
        if standing is None:
            self.define(name, found)
        elif isinstance(found, Last):
            self.define(name, Last(standing.back(found.tensor)))
        else:
            self.define(name, standing.back(found))

    def begin(self, node: Node, *, raw: bool = False, anywhere: bool = False) -> bool:
        """Take ``node`` as the one that is lowered now; return whether in channels last.

        Args:
            node: The node.
            raw: Whether it is given every element type as it is held, without stand-ins.
            anywhere: Whether it works element by element, in either layout.
        """
        self.node, self._in_last, self._stand_ins = node, None, {}
        for name in (*node.inputs, *node.outputs):
            dtype = self.graph.value(name).dtype
            if raw or not name or dtype is None:
                continue
            found = way(dtype.name, node.operator)
            if found is None:
                self.refuse(f"TensorFlow has no such arithmetic for {dtype.name}")
            if (standing := stand_in(dtype.name, found)) is not None:
                self._stand_ins[name] = standing
        if anywhere and any(self.has_last(name) for name in node.inputs if name):
            ranks = [self.graph.value(name).rank for name in node.inputs if name]
            if all(rank is not None for rank in ranks):
                self._in_last = max(rank for rank in ranks if rank is not None)
        return self._in_last is not None

    def _beside(self, name: str, rank: int) -> Any:
        """Return an operand that broadcasts against values of ``rank`` with channels last."""
        own = self.rank(name)
        if own == 0:
            return self.raw(name)
        if own == rank:
            return self.last(name)
        array = self.constant(name)
        widened = (1,) * (rank - own)
        if array is not None:
            return tf.constant(held(np.moveaxis(array.reshape(widened + array.shape), 1, -1)))
        value = self.raw(name)
        return to_last(tf.reshape(value, tf.concat([widened, tf.shape(value)], 0)))


def _as_it_is(array: Array) -> bool:
    """Return whether an array's elements are computed with in the type that they have."""
    if array.dtype.name in _HALVES:
        return gpu_is_on()
    return bool(array.dtype.itemsize >= _WHOLE_BYTES)


def to_last(x: Any) -> Any:
    """Return a tensor with its second axis moved to the end."""
    return turned(x, [0, *range(2, x.shape.rank), 1])


def to_first(x: Any) -> Any:
    """Return a tensor with its last axis moved to the second place."""
    rank = x.shape.rank
    return turned(x, [0, rank - 1, *range(1, rank - 1)])


def turned(x: Any, order: Sequence[int]) -> Any:
    """Return a tensor with its axes in another order: a mere shape where no element moves."""
    lengths = [x.shape[axis] for axis in order]
    kept = [axis for axis in order if x.shape[axis] != 1]
    if kept == sorted(kept) and lengths.count(None) <= 1 and 0 not in lengths:
        return tf.reshape(x, [-1 if one is None else one for one in lengths])
    return tf.transpose(x, order)
