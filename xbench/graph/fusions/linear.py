"""A product with a known matrix and the addition of a known vector, as one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbench.graph.fusions.view import Rewrite, View, made

if TYPE_CHECKING:
    from xbench.graph.plain import Node


def linear(node: Node, view: View) -> Rewrite | None:
    """Return `Linear` (input, weight with inputs first, bias) in place of MatMul and Add."""
    if node.operator != "Add" or node.domain:
        return None
    for place, name in enumerate(node.inputs):
        product, bias = view.maker(name, "MatMul"), node.inputs[1 - place]
        if product is not None and _fits(product, bias, view):
            return Rewrite((made(node, "Linear", (*product.inputs, bias)),))
    return None


def _fits(product: Node, bias: str, view: View) -> bool:
    weight, vector = view.constant(product.inputs[1]), view.constant(bias)
    rank = view.rank(product.outputs[0])
    if weight is None or vector is None or rank is None or weight.ndim != 2:
        return False
    known = view.constant(product.inputs[0]) is not None
    flat = vector.size == weight.shape[1] == vector.shape[-1:][0] if vector.ndim else False
    return flat and vector.ndim <= rank and weight.dtype.kind == "f" and not known
