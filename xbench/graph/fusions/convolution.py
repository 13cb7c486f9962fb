"""What stands around a convolution and can be part of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xbench.graph.fusions.view import Rewrite, View

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node


def batch_norm(node: Node, view: View) -> Rewrite | None:
    """Return a `Conv` with the normalisation that follows it in its weights."""
    if node.operator != "BatchNormalization" or node.domain or node.version < 7:
        return None
    conv = view.maker(node.inputs[0], "Conv")
    arrays = [view.constant(name) for name in node.inputs[1:]]
    extra = any(node.wants(place) for place in range(1, 5))
    if conv is None or extra or node.attributes.get("training_mode", 0):
        return None
    weight, bias = view.constant(conv.inputs[1]), view.constant(conv.input(2))
    known = [array for array in arrays if array is not None]
    if weight is None or (conv.input(2) and bias is None) or len(known) != 4:
        return None
    if node.attributes.get("spatial", 1) != 1 or weight.dtype.kind != "f":
        return None
    folded = _folded(weight, bias, known, node.attributes["epsilon"])
    names = (f"{node.outputs[0]}/weight", f"{node.outputs[0]}/bias")
    joined = replace(conv, inputs=(conv.inputs[0], *names), outputs=node.outputs[:1])
    return Rewrite((joined,), dict(zip(names, folded, strict=True)))


def _folded(
    weight: Array, bias: Array | None, statistics: list[Array], epsilon: float
) -> tuple[Array, Array]:
    """Return weight and bias with the normalisation in them, computed in float64."""
    scale, shift, mean, variance = (array.astype(np.float64) for array in statistics)
    factor = scale / np.sqrt(variance + epsilon)
    start = 0.0 if bias is None else bias.astype(np.float64)
    wide = weight * factor.reshape((-1,) + (1,) * (weight.ndim - 1))
    return wide.astype(weight.dtype), ((start - mean) * factor + shift).astype(weight.dtype)


def padding(node: Node, view: View) -> Rewrite | None:
    """Return a `Conv` with the zeros that a `Pad` puts around its input."""
    if node.operator != "Conv" or node.domain:
        return None
    pad = view.maker(node.inputs[0], "Pad")
    if pad is None or node.attributes.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    ends = _zeros_around(pad, view)
    if ends is None:
        return None
    axes = len(ends) - 2
    before, after = ([one[place] for one in ends[2:]] for place in (0, 1))
    own = node.attributes.get("pads") or [0] * (2 * axes)
    pads = [mine + more for mine, more in zip(own, before + after, strict=True)]
    inputs = (pad.inputs[0], *node.inputs[1:])
    return Rewrite((replace(node, inputs=inputs, attributes={**node.attributes, "pads": pads}),))


def _zeros_around(pad: Node, view: View) -> list[tuple[int, int]] | None:
    """Return the padding of each axis, if it is zeros around spatial axes alone."""
    rank = view.rank(pad.inputs[0])
    if rank is None or pad.attributes["mode"] != "constant" or pad.version < 11:
        return None
    lengths, axes = view.constant(pad.inputs[1]), view.constant(pad.input(3))
    if lengths is None or (pad.input(3) and axes is None):
        return None
    if pad.input(2) and view.number(pad.inputs[2]) != 0:
        return None
    places = range(rank) if axes is None else [int(one) % rank for one in axes.reshape(-1)]
    ends = [(0, 0)] * rank
    pairs = lengths.reshape(2, -1).T
    for place, (before, after) in zip(places, pairs, strict=True):
        ends[place] = (int(before), int(after))
    plain = ends[:2] == [(0, 0)] * 2 and all(min(pair) >= 0 for pair in ends)
    return ends if plain else None
