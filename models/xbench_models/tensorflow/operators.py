"""Operations of TensorFlow that the converter to ONNX leaves out, and that ONNX has parts for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

HALF_ROOT = 1 / math.sqrt(2)


def _erfc(graph: Any, node: Any, name: str, _args: Any) -> None:
    """Replace the complementary error function by one plus the error function of the negative.

    TensorFlow's GELU is x / 2 * erfc(-x * sqrt(1/2)). Runtimes know it by x / sqrt(2), so where
    that is what it is of, that is what is written.
    """
    dtype, shape = graph.get_dtype(node.output[0]), graph.get_shape(node.output[0])
    negative, output = _negative(graph, node), node.output[0]
    graph.remove_node(node.name)
    found = graph.make_node("Erf", [negative], name=f"{name}_erf", dtypes=[dtype], shapes=[shape])
    one = _constant(graph, f"{name}_one", 1.0, dtype)
    graph.make_node(
        "Add", [found.output[0], one], outputs=[output], name=name, dtypes=[dtype], shapes=[shape]
    )


def _negative(graph: Any, node: Any) -> str:
    """Return the name of the negative of the node's input."""
    dtype, shape = graph.get_dtype(node.input[0]), graph.get_shape(node.input[0])
    ends = {"dtypes": [dtype], "shapes": [shape]}
    product = node.inputs[0]
    factors = product.inputs if product.type == "Mul" else []
    for one, other in (factors, reversed(factors)) if factors else ():
        if one.type == "Neg" and other.is_const():
            if math.isclose(float(other.get_tensor_value(as_list=False)), HALF_ROOT, rel_tol=1e-3):
                root = _constant(graph, f"{node.name}_root", math.sqrt(2), dtype)
                made = graph.make_node("Div", [one.input[0], root], **ends)
            else:
                made = graph.make_node("Mul", [one.input[0], other.output[0]], **ends)
            return str(made.output[0])
    return str(graph.make_node("Neg", [node.input[0]], **ends).output[0])


def _constant(graph: Any, name: str, value: float, dtype: int) -> str:
    import onnx

    array = np.array(value, onnx.helper.tensor_dtype_to_np_dtype(dtype))
    return str(graph.make_const(name, array).output[0])


HANDLERS: Final[Mapping[str, tuple[Callable[..., None], list[Any]]]] = {"Erfc": (_erfc, [])}
"""What ``tf2onnx.convert`` takes as its custom handlers."""
