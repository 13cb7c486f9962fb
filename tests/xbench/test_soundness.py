"""A model that is damaged or breaks a rule is refused with one line, wherever the damage is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.xbench.graphs import (
    FLOAT,
    INT64,
    linear,
    make,
    node,
    refused,
    save,
)
from xbench.errors import XbenchError
from xbench.flops import output_specs
from xbench.inputs import seeded_feeds
from xbench.model import bind, read_model
from xbench.weights import weights_health


def embedding(folder: Path) -> Path:
    """Return a file with a table, a shape, a constant and arithmetic in a dimension's name."""
    return save(
        folder,
        [
            node("Add", ["ids", "two"], ["shifted"]),
            node("Gather", ["table", "shifted"], ["rows"]),
            node(
                "Constant", [], ["w"], value=onnx.numpy_helper.from_array(np.eye(4, 3, dtype="f4"))
            ),
            node("MatMul", ["rows", "w"], ["product"]),
            node("Reshape", ["product", "to"], ["y"]),
        ],
        {"ids": (INT64, ["batch", "past + new"]), "x": (FLOAT, ["batch", "past"])},
        {"y": (FLOAT, ["batch", "rest"])},
        {"two": np.array(2), "table": np.ones((9, 4), np.float32), "to": np.array([1, -1])},
    )


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
@given(data=st.data())
def test_a_damaged_model_is_refused_or_read_and_nothing_worse(
    tmp_path: Path, data: st.DataObject
) -> None:
    """Wherever the damage is: the message, or the first thing that is asked of what was read."""
    content = bytearray(embedding(tmp_path).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    with suppress(XbenchError):
        model = read_model(path)
        assert model.outputs
        weights_health(path)
        bound = bind(model, 2, defaults={"past": 3, "new": 1})
        output_specs(bound)
        seeded_feeds(model, bound, 0, 1)


def damaged(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """Rewrite a file with a change to its message."""
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_damage_that_no_rule_of_onnx_looks_at_is_refused(tmp_path: Path) -> None:
    def cut(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].raw_data = b"1234"

    def cut_values(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].ClearField("raw_data")
        model.graph.initializer[0].float_data.append(1.0)

    def mistype(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].data_type = 99

    def mistype_input(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.elem_type = 99

    assert "has not as many values as it says" in refused(damaged(linear(tmp_path), cut))
    assert "has not as many values as it says" in refused(damaged(linear(tmp_path), cut_values))
    assert "a tensor of no known type" in refused(damaged(linear(tmp_path), mistype))
    assert "'x' is of no known element type" in refused(damaged(linear(tmp_path), mistype_input))
    path = linear(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"batch", b"bat\xff\xfe"))
    assert "a name that is no text" in refused(path)


@pytest.mark.parametrize(
    "kind",
    [
        *(onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE),
        *(onnx.TensorProto.INT4, onnx.TensorProto.UINT4, onnx.TensorProto.FLOAT4E2M1),
        *(onnx.TensorProto.FLOAT8E4M3FN, onnx.TensorProto.BOOL, onnx.TensorProto.INT8),
        *(onnx.TensorProto.COMPLEX64, onnx.TensorProto.UINT64, onnx.TensorProto.STRING),
    ],
)
@pytest.mark.parametrize("raw", [False, True])
def test_weights_of_every_type_and_spelling_are_whole(tmp_path: Path, kind: int, raw: bool) -> None:
    """What ONNX itself writes is never taken for damage; an odd count fills no last byte."""
    text = kind == onnx.TensorProto.STRING
    values: Any = ["a", "b", "c", "d", "e"] if text else [0, 1, 0, 1, 1]
    tensor = helper.make_tensor("w", kind, [5], values)
    if raw and not text:
        tensor = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), "w")
        assert tensor.HasField("raw_data")
    model = make(
        [node("Identity", ["x"], ["y"])],
        {"x": (FLOAT, [1])},
        {"y": (FLOAT, [1])},
        opset=23,
        ir_version=11,
    )
    model.graph.initializer.append(tensor)
    onnx.save(model, tmp_path / "model.onnx")
    assert read_model(tmp_path / "model.onnx").parameters == 5


def test_sparse_weights_are_counted_and_their_rules_checked(tmp_path: Path) -> None:
    values = helper.make_tensor("w", FLOAT, [3], [1.0, 2.0, 3.0])
    indices = helper.make_tensor("at", INT64, [3], [0, 5, 9])
    sparse = helper.make_sparse_tensor(values, indices, [100])
    model = make([node("Identity", ["x"], ["y"])], {"x": (FLOAT, [1])}, {"y": (FLOAT, [1])})
    model.graph.sparse_initializer.append(sparse)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    assert read_model(path).parameters == 3
    model.graph.sparse_initializer[0].indices.int64_data[2] = 100
    onnx.save(model, path)
    assert "breaks the rules of ONNX" in refused(path)


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ([node("MatMul", ["x", "nowhere"], ["y"])], "nowhere"),
        ([node("NoSuchOperator", ["x"], ["y"])], "NoSuchOperator"),
        ([node("Relu", ["x", "x"], ["y"])], "Relu"),
        ([], "y"),
    ],
)
def test_what_the_checker_refuses_is_refused_with_its_reason(
    tmp_path: Path, nodes: list[onnx.NodeProto], found: str
) -> None:
    path = save(tmp_path, nodes, {"x": (FLOAT, [2, 2])}, {"y": (FLOAT, [2, 2])})
    reason = refused(path)
    assert "breaks the rules of ONNX" in reason
    assert found in reason


def test_a_model_from_the_future_is_refused(tmp_path: Path) -> None:
    path = linear(tmp_path)
    model = onnx.load(path)
    model.ir_version = 99
    path.write_bytes(model.SerializeToString())
    assert "ir_version" in refused(path)
