"""The recurrent network of ONNX Runtime's quantiser: products of whole numbers in each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xbench_adapters.tensorflow.lower.quantized import quantize_by_range
from xbench_adapters.tensorflow.lower.quantized_attention import scaled_product
from xbench_adapters.tensorflow.lower.quantized_products import in_floats
from xbench_adapters.tensorflow.lower.quantized_scales import scale_of
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

MICROSOFT = "com.microsoft"

Weight = tuple[Any, Any]
"""By direction: a matrix less its zero point, and what it is to be multiplied by."""

_USUAL = ["Sigmoid", "Tanh", "Tanh"]


def dynamic_product(a: Any, b: Weight, place: int, bias: Any = None) -> Any:
    """Return a product with the matrix of a direction; the other is quantised by its own range."""
    whole, scale, zero = quantize_by_range(a)
    return scaled_product(whole, b[0][place], (zero, None), (scale, b[1][place]), bias)


def _steps(
    gates: Any, outer: Weight, place: int, lengths: Any, first: tuple[Any, Any]
) -> tuple[Any, Any, Any]:
    """Return the outputs of one direction, its last output and its last cell state.

    Args:
        gates: What the inputs give to the gates, by step and sample.
        outer: What the output of the step before is multiplied by.
        place: The direction.
        lengths: How many steps each sample has; None for all.
        first: The first output and cell state.
    """
    count = tf.shape(gates)[0]
    rows = tf.TensorArray(gates.dtype, count, element_shape=first[0].shape)

    def stepped(step: Any, state: Any, cell: Any, fed: Any, found: Any) -> tuple[Any, ...]:
        let_in, let_out, keep, new = tf.split(
            gates[step] + dynamic_product(fed, outer, place), 4, -1
        )
        later = tf.sigmoid(keep) * cell + tf.sigmoid(let_in) * tf.tanh(new)
        fed = tf.sigmoid(let_out) * tf.tanh(later)
        if lengths is None:
            state, cell = fed, later
        else:  # a sample that has ended adds nothing to the range of the next step's input
            runs = (step < lengths)[:, None]
            state, cell = tf.where(runs, fed, state), tf.where(runs, later, cell)
            fed = tf.where(runs, fed, tf.zeros_like(fed))
        return step + 1, state, cell, fed, found.write(step, fed)

    start = tf.zeros([], tf.int32)
    _, state, cell, _, rows = tf.while_loop(
        lambda step, *_: step < count, stepped, (start, *first, first[0], rows)
    )
    return rows.stack(), state, cell


def backwards_in_time(x: Any, lengths: Any) -> Any:
    """Return the steps of each sample backwards; those after its end stay where they are."""
    if lengths is None:
        return tf.reverse(x, [0])
    return tf.reverse_sequence(x, lengths, seq_axis=0, batch_axis=1)


@lowering("DynamicQuantizeLSTM", 1, domain=MICROSOFT, raw=True)
def dynamic_quantize_lstm(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the outputs of every step, the last output and the last cell state."""
    _usual(node, to)
    inner, outer = (_weight(node, to, place, scale) for place, scale in ((1, 8), (2, 10)))
    x, bias = to.value(node.inputs[0]), to.optional(node.input(3))
    lengths, states = to.optional(node.input(4)), [to.optional(node.input(at)) for at in (5, 6)]
    direction, size = node.attributes.get("direction", "forward"), outer[0].shape[1]
    found = []
    for place in range(2 if direction == "bidirectional" else 1):
        backwards = direction == "reverse" or place == 1
        added = None if bias is None else tf.reduce_sum(tf.reshape(bias[place], [2, -1]), 0)
        gates = dynamic_product(x, inner, place, added)
        gates = backwards_in_time(gates, lengths) if backwards else gates
        zeros = tf.zeros(tf.stack([tf.shape(x)[1], size]), gates.dtype)
        first = [zeros if one is None else zeros + one[place] for one in states]
        every, last, cell = _steps(gates, outer, place, lengths, (first[0], first[1]))
        found.append((backwards_in_time(every, lengths) if backwards else every, last, cell))
    outputs, lasts, cells = zip(*found, strict=True)
    return tf.stack(outputs, 1), tf.stack(lasts), tf.stack(cells)


def _weight(node: Node, to: Builder, place: int, scale: int) -> Weight:
    """Return a weight less its zero point, and its scale, which stands before the zero point."""
    name, zero = node.inputs[place], node.inputs[scale + 1]
    directions = to.shape(name)[0]
    array, offsets = to.constant(name), to.constant(zero)
    if array is None or offsets is None:
        wide = tf.cast(tf.reshape(to.value(zero), [directions, 1, -1]), tf.float64)
        less = tf.cast(to.value(name), tf.float64) - wide
    else:
        whole = array.astype(np.int64) - offsets.astype(np.int64).reshape(directions, 1, -1)
        less = tf.constant(in_floats(whole, (1,)))
    return less, scale_of(to, node.inputs[scale])


def _usual(node: Node, to: Builder) -> None:
    """Refuse gates other than the usual ones."""
    given = node.attributes
    if given.get("clip") or given.get("input_forget", 0):
        to.refuse("clip or input_forget")
    if given.get("activation_alpha") or given.get("activation_beta"):
        to.refuse("activation_alpha or activation_beta")
    names = [one.capitalize() for one in given.get("activations") or []]
    directions = 2 if given.get("direction", "forward") == "bidirectional" else 1
    if names and names != _USUAL * directions:
        to.refuse(f"activations {names}")
    if node.input(7) and np.any(to.need(node.inputs[7], "peephole weights")):
        to.refuse("peepholes")
