"""Weights of few bits in blocks that share a scale, as language models are shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.lower.quantized_products import multiplied
from xbench_adapters.tensorflow.lower.quantized_scales import LIMITS, now, spread
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

MICROSOFT = "com.microsoft"

_BYTE = 8

Layout = tuple[int, int, int, int]
"""Input features, output features, length of a block, bits of an element."""

Places = tuple[int, int, int, int]
"""Axis to pick along, axis of the blocks, their length, bits of a packed element or 0."""


def unpacked(x: Any, bits: int, count: int) -> Any:
    """Return the first ``count`` numbers that each row of bytes holds, low bits first."""
    if _BYTE % bits == 0:
        shifts = tf.constant(list(range(0, _BYTE, bits)), tf.uint8)
        found = tf.bitwise.bitwise_and(
            tf.bitwise.right_shift(x[..., None], shifts), tf.constant(2**bits - 1, tf.uint8)
        )
        return _joined(found)[..., :count]
    places = tf.constant(list(range(_BYTE)), tf.uint8)
    stream = tf.bitwise.bitwise_and(
        tf.bitwise.right_shift(x[..., None], places), tf.constant(1, tf.uint8)
    )
    digits = _joined(stream)[..., : count * bits]
    rows = tf.reshape(digits, tf.concat([tf.shape(x)[:-1], [count, bits]], 0))
    powers = tf.constant([1 << place for place in range(bits)], tf.int32)
    return tf.cast(tf.reduce_sum(tf.cast(rows, tf.int32) * powers, -1), tf.uint8)


def _joined(x: Any) -> Any:
    """Return a tensor with its last two axes as one."""
    return tf.reshape(x, tf.concat([tf.shape(x)[:-2], [-1]], 0))


def block_weight(packed: Any, scales: Any, zeros: Any, layout: Layout) -> Any:
    """Return the weight of a product, inputs first, in the type of its scales."""
    inner, outer, block, bits = layout
    blocks = -(-inner // block)
    codes = tf.cast(unpacked(tf.reshape(packed, [outer, blocks, -1]), bits, block), tf.float32)
    if zeros is None:
        moved = codes - (1 << (bits - 1))
    elif zeros.dtype.is_floating:
        moved = codes - tf.cast(tf.reshape(zeros, [outer, blocks, 1]), tf.float32)
    else:
        whole = unpacked(tf.reshape(zeros, [outer, -1]), bits, blocks)
        moved = codes - tf.cast(whole, tf.float32)[..., None]
    factors = tf.cast(tf.reshape(scales, [outer, blocks, 1]), tf.float32)
    found = tf.reshape(tf.cast(moved * factors, scales.dtype), [outer, -1])
    return tf.transpose(found[:, :inner])


def gather_blocks(data: Any, indices: Any, scales: Any, zeros: Any, places: Places) -> Any:
    """Return slices along an axis as the floats that they stand for; zero beyond its ends."""
    axis, along, _, _ = places
    indices = tf.cast(indices, tf.int64)
    length = tf.shape(data, tf.int64)[axis]
    within = (indices >= -length) & (indices < length)
    front = tf.where(indices < 0, indices + length, indices)
    at = tf.where(within, front, tf.zeros_like(front))
    if axis == along:
        found = tf.gather(floats(data, scales, zeros, places), at, axis=axis)
    else:
        rows, factors = tf.gather(data, at, axis=axis), _picked(scales, at, axis)
        offsets = None if zeros is None else _picked(zeros, at, axis)
        moved = along if along < axis else along + indices.shape.rank - 1
        block = places[2] or data.shape[along]
        found = floats(rows, factors, offsets, (axis, moved, block, places[3]))
    after = [1] * (data.shape.rank - axis - 1)
    kept = tf.reshape(within, tf.concat([[1] * axis, tf.shape(within), after], 0))
    return tf.where(kept, found, tf.zeros_like(found))


def _picked(x: Any, at: Any, axis: int) -> Any:
    """Return slices along an axis, the only one where it is of length 1."""
    places = tf.where(tf.shape(x)[axis] == 1, tf.zeros_like(at), at)
    return tf.gather(x, places, axis=axis)


def floats(data: Any, scales: Any, zeros: Any, places: Places) -> Any:
    """Return what numbers in blocks stand for, in the type of their scales."""
    _, axis, block, bits = places
    if bits:
        data = unpacked(data, bits, data.shape[-1] * _BYTE // bits)
    found = tf.cast(data, tf.float32)
    if zeros is not None:
        whole = unpacked(zeros, bits, scales.shape[-1]) if bits else zeros
        found = found - spread(tf.cast(whole, tf.float32), data, axis, block)
    elif bits:
        found = found - (1 << (bits - 1))
    factors = spread(tf.cast(scales, tf.float32), data, axis, block or data.shape[axis])
    return tf.cast(found * factors, scales.dtype)


@lowering("MatMulNBits", 1, domain=MICROSOFT, raw=True)
def matmul_n_bits(node: Node, to: Builder) -> Any:
    """Return a product with a weight in blocks of few bits, which is unpacked once where known."""
    given = node.attributes
    if node.input(4) or given.get("weight_prepacked", 0):
        to.refuse("a weight in another order (g_idx, weight_prepacked)")
    bits = given.get("bits", 4)
    if not 2 <= bits <= _BYTE:
        to.refuse(f"{bits} bits")
    layout = (given["K"], given["N"], given["block_size"], bits)
    names = [node.input(place) for place in (1, 2, 3)]
    arrays = [to.constant(name) if name else None for name in names]
    if all(array is not None or not name for array, name in zip(arrays, names, strict=True)):
        weight = tf.constant(now(lambda b, s, z: block_weight(b, s, z, layout), *arrays))
    else:
        packed, scales, zeros = map(to.optional, names)
        weight = block_weight(packed, scales, zeros, layout)
    found = multiplied(to.value(node.inputs[0]), weight)
    return found + to.value(node.inputs[5]) if node.input(5) else found


@lowering("GatherBlockQuantized", 1, domain=MICROSOFT, raw=True)
def gather_block_quantized(node: Node, to: Builder) -> Any:
    """Return slices of a table in blocks of few bits, as floats."""
    given, dtype = node.attributes, to.graph.value(node.inputs[0]).dtype
    if dtype is None:
        to.refuse("the element type of its table must be known")
    rank = len(to.shape(node.inputs[0]))
    axis = to.axis(given.get("gather_axis", 0), rank)
    along = to.axis(given.get("quantize_axis", 1), rank)
    bits = given.get("bits", 4) if dtype.name == "uint8" else 0
    if bits and (_BYTE % bits or axis == along or along != rank - 1):
        to.refuse("bytes that are not packed along the last axis")
    block = given.get("block_size", 128)
    if block == 0 and dtype.name in LIMITS:
        to.refuse("a block_size of 0 for whole numbers")
    to.rank(node.inputs[1])
    data, indices, scales, zeros = (to.optional(node.input(place)) for place in range(4))
    return gather_blocks(data, indices, scales, zeros, (axis, along, block, bits))
