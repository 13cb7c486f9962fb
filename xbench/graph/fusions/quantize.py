"""A quantisation that is undone at once, as models with simulated quantisation have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xbench.graph.fusions.view import Rewrite, View, made

if TYPE_CHECKING:
    from xbench.graph.plain import Node

_TYPES = ("int8", "uint8", "int16", "uint16")


def simulated(node: Node, view: View) -> Rewrite | None:
    """Return `FakeQuantize` (input, scale) in place of QuantizeLinear and DequantizeLinear.

    Its ``low`` and ``high`` are the bounds of the type, less the zero point: what lies
    between them, in whole multiples of the scale, is what the pair lets through.
    """
    if node.operator != "DequantizeLinear" or node.domain or node.attributes.get("output_dtype"):
        return None
    pair = view.maker(node.inputs[0], "QuantizeLinear")
    if pair is None or pair.attributes.get("precision") or not _same(pair, node, view):
        return None
    scale, zero = view.constant(pair.inputs[1]), view.constant(pair.input(2))
    dtype = view.graph.value(pair.outputs[0]).dtype
    floats = view.graph.value(pair.inputs[0]).dtype
    if scale is None or scale.size != 1 or scale.dtype != np.float32 or floats != np.float32:
        return None
    if dtype is None or dtype.name not in _TYPES or (pair.input(2) and zero is None):
        return None
    shift = 0 if zero is None else int(zero.reshape(-1)[0])
    low, high = (float(bound - shift) for bound in (np.iinfo(dtype).min, np.iinfo(dtype).max))
    inputs = (pair.inputs[0], pair.inputs[1])
    return Rewrite((made(node, "FakeQuantize", inputs, low=low, high=high),))


def _same(pair: Node, node: Node, view: View) -> bool:
    """Return whether both have the same scale and zero point, known or by name."""
    for place in (1, 2):
        first, second = pair.input(place), node.input(place)
        if first == second:
            continue
        one, other = view.constant(first), view.constant(second)
        if one is None or other is None or not np.array_equal(one, other):
            return False
    return True
