"""What LiteRT has in another form only, in other words, before it is lowered.

Each rewrite computes the same. An operator of which LiteRT would compute something else is
refused; what it does not have at all the converter refuses, by the node's name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xbench.graph.plain import Graph, Node, Value
from xbench_adapters.tensorflow.draft import Draft, Rewrite, refused, rewritten
from xbench_adapters.tensorflow.padded import conv_transpose, max_pool

ERF_ODD = (
    *(-1.60960333262415e-02, -2.95459980854025e-03, -7.34990630326855e-04, -5.69250639462346e-05),
    *(-2.10102402082508e-06, 2.77068142495902e-08, -2.72614225801306e-10),
)
ERF_EVEN = (
    *(-1.42647390514189e-02, -7.37332916720468e-03, -1.68282697438203e-03, -2.13374055278905e-04),
    -1.45660718464996e-05,
)
"""Of a rational function that is erf to float32's last digits up to 4: Eigen's and XLA's own."""


def fit(graph: Graph) -> Graph:
    """Return a graph whose nodes LiteRT has, as far as other words help; graphs within as well."""
    return rewritten(graph, REWRITES)


# Each returns whether it has rewritten the node


def compare(node: Node, draft: Draft) -> bool:
    """Compare integers that LiteRT does not compare as those that it does."""
    values = [draft.values.get(name, Value()) for name in node.inputs]
    kinds = {one.dtype.name if one.dtype is not None else "" for one in values}
    wide = WIDE.get(kinds.pop()) if len(kinds) == 1 else None
    if wide is None:
        return False
    names = [
        draft.add(
            node, "Cast", [name], Value(np.dtype(wide), one.shape), to=TYPES[wide], saturate=1
        )
        for name, one in zip(node.inputs, values, strict=True)
    ]
    draft.end(node, node.operator, names, **node.attributes)
    return True


def erf(node: Node, draft: Draft) -> bool:
    """Compute the error function by products and sums; LiteRT has it only within Gelu."""
    value = draft.values.get(node.inputs[0], Value())
    if value.dtype != np.float32:
        return False

    def series(square: str, factors: Sequence[float]) -> str:
        total = draft.number(factors[-1])
        for factor in reversed(factors[:-1]):
            product = draft.add(node, "Mul", [total, square], value)
            total = draft.add(node, "Add", [product, draft.number(factor)], value)
        return total

    x = draft.add(node, "Clip", [node.inputs[0], draft.number(-4), draft.number(4)], value)
    square = draft.add(node, "Mul", [x, x], value)
    odd = draft.add(node, "Mul", [x, series(square, ERF_ODD)], value)
    draft.end(node, "Div", [odd, series(square, ERF_EVEN)])
    return True


def mish(node: Node, draft: Draft) -> bool:
    """Compute x * tanh(log(1 + e^x)) without the logarithm, which for few loses half the digits."""
    return _mish(node, draft, node.inputs[0])


def mish_written_out(node: Node, draft: Draft) -> bool:
    """Do the same where it is written as three nodes, of which this is the last."""
    for place, name in enumerate(node.inputs):
        tanh = draft.maker(name, "Tanh")
        soft = tanh and draft.maker(tanh.inputs[0], "Softplus")
        if soft and soft.inputs[0] == node.inputs[1 - place]:
            return _mish(node, draft, soft.inputs[0])
    return False


def _mish(node: Node, draft: Draft, x: str) -> bool:
    value = draft.values.get(x, Value())
    if value.dtype != np.float32:
        return False
    low, high, two = (draft.number(one) for one in (-np.inf, 20.0, 2.0))  # above 20 it is x
    e = draft.add(node, "Exp", [draft.add(node, "Clip", [x, low, high], value)], value)
    top = draft.add(node, "Mul", [e, draft.add(node, "Add", [e, two], value)], value)
    share = draft.add(node, "Div", [top, draft.add(node, "Add", [top, two], value)], value)
    draft.end(node, "Mul", [x, share])
    return True


def extreme(node: Node, draft: Draft) -> bool:
    """Refuse the extreme of nothing: it is infinite in ONNX, and the largest float in LiteRT."""
    value = draft.values.get(node.inputs[0], Value())
    if value.dtype is not None and value.dtype.kind == "f" and 0 in (value.shape or ()):
        raise refused(node, "LiteRT has no infinite extreme of no elements")
    return False


def suppression(node: Node, draft: Draft) -> bool:  # noqa: ARG001 -- a rewrite takes both
    """Refuse a choice whose length the run tells."""
    raise refused(node, "LiteRT gives as many boxes as may be kept, whatever is kept")


def fourier(node: Node, draft: Draft) -> bool:
    """Refuse lengths that LiteRT refuses only in a run, or may."""
    told = draft.constants.get(node.input(1))
    shape = draft.values.get(node.inputs[0], Value()).static
    axes = draft.constants.get(node.input(2)) if node.input(2) else None
    axis = node.attributes.get("axis", -2 if node.version >= 20 else 1) if axes is None else axes
    known = axes is not None or not node.input(2)
    length = int(told) if told is not None else shape[int(axis)] if shape and known else 0
    if (node.input(1) and told is None) or length < 1 or length & (length - 1):
        raise refused(node, "LiteRT has transforms of powers of two only")
    return False


WIDE = {**dict.fromkeys(("int8", "uint8", "int16", "uint16"), "int32"), "uint32": "int64"}
TYPES = {"int32": 6, "int64": 7}  # as ONNX numbers them

REWRITES: dict[str, Rewrite] = {
    "ConvTranspose": conv_transpose,
    "DFT": fourier,
    "Equal": compare,
    "Erf": erf,
    "Greater": compare,
    "GreaterOrEqual": compare,
    "Less": compare,
    "LessOrEqual": compare,
    "MaxPool": max_pool,
    "Mish": mish,
    "Mul": mish_written_out,
    "NonMaxSuppression": suppression,
    "ReduceMax": extreme,
    "ReduceMin": extreme,
}
