"""Small ONNX files for tests, a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from xbench.errors import ModelError
from xbench.model import read_model

FLOAT, INT64, BOOL, UINT8 = (
    TensorProto.FLOAT,
    TensorProto.INT64,
    TensorProto.BOOL,
    TensorProto.UINT8,
)

Values = Mapping[str, tuple[int, Sequence[int | str | None]]]
node = helper.make_node


def make(
    nodes: Sequence[onnx.NodeProto],
    inputs: Values,
    outputs: Values,
    weights: Mapping[str, Any] | None = None,
    *,
    opset: int = 18,
    ir_version: int = 9,
    **others: Any,
) -> onnx.ModelProto:
    """Return a model of the nodes; values are ``name: (type, shape)``, weights are arrays."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [
            helper.make_tensor_value_info(name, kind, shape)
            for name, (kind, shape) in inputs.items()
        ],
        [
            helper.make_tensor_value_info(name, kind, shape)
            for name, (kind, shape) in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, **others)


def save(folder: Path, *arguments: Any, name: str = "model.onnx", **others: Any) -> Path:
    """Return the path of a new file with the model that `make` makes."""
    path = folder / name
    onnx.save(make(*arguments, **others), path)
    return path


def linear(
    folder: Path, batch: int | str | None = "batch", *, large: int = 8, name: str = "model.onnx"
) -> Path:
    """Return a file with one matrix product: ``x`` of batch x 4, ``y`` of batch x large."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((4, large), np.float32)}
    return save(
        folder,
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, [batch, 4])},
        {"y": (FLOAT, [batch, large])},
        weights,
        name=name,
    )


def linear_external(folder: Path, location: str = "weights.bin") -> Path:
    """Return a file like `linear`'s whose weights lie in another file."""
    path = linear(folder)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)
    return path


def point_elsewhere(path: Path, **entries: str) -> None:
    """Rewrite what a file says of the place of its external data."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        kept = {item.key: item.value for item in tensor.external_data} | entries
        tensor.ClearField("external_data")
        for key, value in kept.items():
            tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def refused(path: Path) -> str:
    """Return the line with which a file is refused."""
    with pytest.raises(ModelError) as caught:
        read_model(path)
    error = caught.value
    assert error.fix
    assert "\n" not in str(error)
    assert len(error.reason) < 500 + len(str(path))
    return error.reason
