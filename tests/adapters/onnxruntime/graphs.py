"""Small models in the arithmetic that files of a precision have, as `xbench.graph` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from ml_dtypes import bfloat16
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from xbench.adapter import BoundModel, TensorSpec

FLOAT, HALF, BFLOAT = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
NUMPY: dict[int, Any] = {FLOAT: np.float32, HALF: np.float16, BFLOAT: bfloat16}
SHAPE = (1, 4, 8, 8)


def normal(*shape: int, seed: int = 0) -> Any:
    """Return seeded normal floats."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def feeds(seed: int = 7) -> dict[str, Any]:
    """Return inputs of every model here."""
    return {"x": normal(*SHAPE, seed=seed)}


def written(
    folder: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, Any],
    shape: tuple[int, ...] = SHAPE,
    kind: int = FLOAT,
) -> BoundModel:
    """Return a file from input ``x`` to output ``y``."""
    graph = make_graph(
        nodes,
        "g",
        [make_tensor_value_info("x", FLOAT, shape)],
        [make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    path = folder / "model.onnx"
    model = make_model(graph, opset_imports=[make_opsetid("", 22)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return BoundModel(path, (TensorSpec("x", "float32", shape),), ("y",), {})


def floats(folder: Path, kind: int, *, cast: bool = True) -> BoundModel:
    """Return a convolution and a product with weights of one type, and casts at both ends."""
    inner = ("cx", "cy") if cast else ("x", "y")
    nodes = [
        make_node("Conv", [inner[0], "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        make_node("Relu", ["c"], ["r"]),
        make_node("GlobalAveragePool", ["r"], ["p"]),
        make_node("Flatten", ["p"], ["f"]),
        make_node("MatMul", ["f", "m"], [inner[1]], name="matmul"),
    ]
    if cast:
        before = make_node("Cast", ["x"], ["cx"], to=kind)
        nodes = [before, *nodes, make_node("Cast", ["cy"], ["y"], to=FLOAT)]
    dtype = NUMPY[kind]
    weights = {"w": normal(8, 4, 3, 3), "m": normal(8, 5, seed=1)}
    return written(folder, nodes, {name: one.astype(dtype) for name, one in weights.items()})


def quantised(folder: Path, *, whole: bool) -> BoundModel:
    """Return a convolution and a product between QuantizeLinear and DequantizeLinear.

    Unless ``whole``, the product has float32 inputs, as one that no tool has quantised.
    """
    nodes: list[onnx.NodeProto] = []

    def around(name: str, scale: str) -> str:
        zero = "zero"
        nodes.append(make_node("QuantizeLinear", [name, scale, zero], [f"{name}_q"]))
        nodes.append(make_node("DequantizeLinear", [f"{name}_q", scale, zero], [f"{name}_d"]))
        return f"{name}_d"

    x = around("x", "scale")
    nodes.append(make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_d"], axis=0))
    nodes.append(make_node("Conv", [x, "w_d"], ["c"], name="conv", pads=[1, 1, 1, 1]))
    c = around("c", "scale")
    nodes.append(make_node("GlobalAveragePool", [c], ["p"]))
    p = around("p", "scale")
    nodes.append(make_node("Flatten", [p], ["f"]))
    f = around("f", "scale") if whole else "f"
    weights = {
        "scale": np.float32(0.05),
        "zero": np.int8(0),
        "w": (normal(8, 4, 3, 3) * 20).astype(np.int8),
        "w_scale": np.full(8, 0.01, np.float32),
        "w_zero": np.zeros(8, np.int8),
    }
    if whole:
        nodes.append(make_node("DequantizeLinear", ["m", "scale", "zero"], ["m_d"]))
        nodes.append(make_node("MatMul", [f, "m_d"], ["z"], name="matmul"))
        nodes.append(make_node("Identity", [around("z", "scale")], ["y"]))
        weights["m"] = (normal(8, 5, seed=1) * 20).astype(np.int8)
    else:
        nodes.append(make_node("MatMul", [f, "m"], ["y"], name="matmul"))
        weights["m"] = normal(8, 5, seed=1)
    return written(folder, nodes, {name: np.asarray(one) for name, one in weights.items()})


def biased(folder: Path) -> BoundModel:
    """Return a quantised product whose bias is float32, as TensorRT wants it."""
    nodes = [
        make_node("QuantizeLinear", ["x", "scale", "zero"], ["x_q"]),
        make_node("DequantizeLinear", ["x_q", "scale", "zero"], ["x_d"]),
        make_node("DequantizeLinear", ["m", "scale", "zero"], ["m_d"]),
        make_node("MatMul", ["x_d", "m_d"], ["z"], name="matmul"),
        make_node("Add", ["z", "b"], ["y"]),
    ]
    weights = {
        "scale": np.array(0.03, np.float32),
        "zero": np.array(0, np.int8),
        "m": (normal(8, 5, seed=1) * 20).astype(np.int8),
        "b": normal(5, seed=2),
    }
    return written(folder, nodes, weights)


def counted(folder: Path) -> BoundModel:
    """Return a model whose data decides the shape of its output."""
    node = make_node("NonZero", ["x"], ["y"], name="nonzero")
    return written(folder, [node], {}, (4,), TensorProto.INT64)
