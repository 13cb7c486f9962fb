"""A small network in one of several element types, as a file of that precision has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.adapters.graphs import normal
from xbench.adapter import BoundModel, TensorSpec

KINDS: dict[str, tuple[int, Any]] = {
    "fp32": (TensorProto.FLOAT, np.float32),
    "fp16": (TensorProto.FLOAT16, np.float16),
    "bf16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
}
IMAGE = normal(1, 3, 16, 16)


def network(kind: str, last: str | None = None) -> onnx.ModelProto:
    """Return a convolution, a normalisation and a product, float32 at both edges.

    Args:
        kind: One of `KINDS`, for all that is computed.
        last: Another one, for the last product only.
    """
    first, wanted = KINDS[kind], KINDS[last or kind]
    weights = {
        "conv": normal(8, 3, 3, 3, seed=1) / 3,
        "scale": 1 + normal(8, seed=2) / 8,
        "shift": normal(8, seed=3),
        "mean": normal(8, seed=4),
        "var": np.abs(normal(8, seed=5)) + 1,
    }
    ends = {"w": normal(8, 5, seed=6), "b": normal(5, seed=7)}
    tensors = [_tensor(name, one, first) for name, one in weights.items()]
    tensors += [_tensor(name, one, wanted) for name, one in ends.items()]
    node = helper.make_node
    nodes = [
        node("Cast", ["x"], ["in"], to=first[0]),
        node("Conv", ["in", "conv"], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("GlobalAveragePool", ["r"], ["p"]),
        node("Flatten", ["p"], ["flat"]),
        node("Cast", ["flat"], ["f"], to=wanted[0]),
        node("Gemm", ["f", "w", "b"], ["g"]),
        node("Cast", ["g"], ["y"], to=TensorProto.FLOAT),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "narrow",
        [value("x", TensorProto.FLOAT, IMAGE.shape)],
        [value("y", TensorProto.FLOAT, [1, 5])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def _tensor(name: str, array: Any, kind: tuple[int, Any]) -> onnx.TensorProto:
    return numpy_helper.from_array(array.astype(kind[1]), name)


def saved(model: onnx.ModelProto, folder: Path, name: str = "m.onnx") -> BoundModel:
    """Return a network of this module as a file."""
    onnx.save(model, folder / name)
    specs = (TensorSpec("x", "float32", IMAGE.shape),)
    return BoundModel(folder / name, specs, ("y",), {})
