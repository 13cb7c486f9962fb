"""Operators that exchange blocks in space for channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.lower.axes import as_told, in_last, length_of
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

_MODES = ("DCR", "CRD")


def into_space(x: Any, size: int, mode: str) -> Any:
    """Return channels laid out as blocks in space."""
    batch, channels, height, width = (length_of(x, axis) for axis in range(4))
    left = channels // size**2
    if mode == "CRD":
        apart = tf.reshape(x, _dims(batch, left, size, size, height, width))
        moved = tf.transpose(apart, [0, 1, 4, 2, 5, 3])
    else:
        apart = tf.reshape(x, _dims(batch, size, size, left, height, width))
        moved = tf.transpose(apart, [0, 3, 4, 1, 5, 2])
    return tf.reshape(moved, _dims(batch, left, height * size, width * size))


def into_depth(x: Any, size: int, mode: str) -> Any:
    """Return blocks in space laid out as channels."""
    batch, channels, height, width = (length_of(x, axis) for axis in range(4))
    parted = _dims(batch, channels, height // size, size, width // size, size)
    order = [0, 1, 3, 5, 2, 4] if mode == "CRD" else [0, 3, 5, 1, 2, 4]
    moved = tf.transpose(tf.reshape(x, parted), order)
    return tf.reshape(moved, _dims(batch, channels * size**2, height // size, width // size))


def _dims(*lengths: Any) -> Any:
    """Return lengths as `tf.reshape` takes them, some of which only the run tells."""
    if all(isinstance(one, int) for one in lengths):
        return lengths
    return tf.stack([tf.cast(one, tf.int64) for one in lengths])


def _into_space_last(x: Any, size: int) -> Any:
    """Return channels, which are last, laid out as blocks in space, in the mode CRD."""
    batch, height, width, channels = (length_of(x, axis) for axis in range(4))
    left = channels // size**2
    apart = tf.reshape(x, _dims(batch, height, width, left, size, size))
    moved = tf.transpose(apart, [0, 1, 4, 2, 5, 3])
    return tf.reshape(moved, _dims(batch, height * size, width * size, left))


def _into_depth_last(x: Any, size: int) -> Any:
    """Return blocks in space laid out as channels, which are last, in the mode CRD."""
    batch, height, width, channels = (length_of(x, axis) for axis in range(4))
    apart = tf.reshape(x, _dims(batch, height // size, size, width // size, size, channels))
    moved = tf.transpose(apart, [0, 1, 3, 5, 2, 4])
    return tf.reshape(moved, _dims(batch, height // size, width // size, channels * size**2))


def _blocks(node: Node, to: Builder) -> tuple[int, str]:
    size, mode = node.attributes["blocksize"], node.attributes.get("mode", "DCR")
    if size <= 0 or mode not in _MODES:
        to.refuse(f"blocks of {size} in mode {mode!r}")
    if to.rank(node.inputs[0]) != 4:
        to.refuse("it takes images of two axes of space")
    return size, mode


@lowering("DepthToSpace")
def depth_to_space(node: Node, to: Builder) -> Any:
    """Return channels laid out as blocks in space."""
    name, (size, mode) = node.inputs[0], _blocks(node, to)
    if not in_last(to, name):
        return as_told(to, node, into_space(to.value(name), size, mode))
    x = to.last(name)
    if size == 1:
        return Last(x)
    return Last(tf.nn.depth_to_space(x, size) if mode == "DCR" else _into_space_last(x, size))


@lowering("SpaceToDepth")
def space_to_depth(node: Node, to: Builder) -> Any:
    """Return blocks in space laid out as channels."""
    name, (size, mode) = node.inputs[0], _blocks(node, to)
    if not in_last(to, name):
        return as_told(to, node, into_depth(to.value(name), size, mode))
    x = to.last(name)
    if size == 1:
        return Last(x)
    return Last(tf.nn.space_to_depth(x, size) if mode == "DCR" else _into_depth_last(x, size))
