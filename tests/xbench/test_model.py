"""A model file is read whole and right."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.xbench.graphs import (
    FLOAT,
    INT64,
    linear,
    linear_external,
    make,
    node,
    refused,
    save,
)
from xbench.adapter import TensorSpec
from xbench.model import read_model


def test_a_model_is_read_as_its_file_says(tmp_path: Path) -> None:
    path = linear(tmp_path)

    model = read_model(path)

    assert model.name == "model"
    assert model.path == path
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (model.opset, model.opsets) == (18, {"": 18})
    assert model.inputs == (TensorSpec("x", "float32", ("batch", 4)),)
    assert model.outputs == (TensorSpec("y", "float32", ("batch", 8)),)
    assert (model.parameters, model.weights_bytes) == (32, 128)
    assert model.flops == 2 * 4 * 8
    assert model.producer is None
    assert read_model(path, "zoo name").name == "zoo name"


def test_the_document_has_what_the_contract_names(tmp_path: Path) -> None:
    document = read_model(linear(tmp_path)).to_json()

    contract = {"name", "sha256", "opset", "inputs", "outputs", "parameters", "flops"}
    assert contract <= document.keys()
    assert document["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}]


def test_every_open_dimension_has_a_symbol(tmp_path: Path) -> None:
    """Also those without a name, with a name that means none, and of negative length."""
    shape = ["batch", None, "?", 3, "height"]
    path = save(
        tmp_path,
        [node("Identity", ["x"], ["y"])],
        {"x": (FLOAT, shape)},
        {"y": (FLOAT, shape)},
    )
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[4].dim_value = -1
    path.write_bytes(model.SerializeToString())

    assert read_model(path).inputs[0].shape == ("batch", "x.1", "x.2", 3, "x.4")


def test_initialisers_that_old_files_list_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("MatMul", ["x", "w"], ["y"])],
        {"w": (FLOAT, [4, 8]), "x": (FLOAT, [2, 4])},
        {"y": (FLOAT, [2, 8])},
        {"w": np.ones((4, 8), np.float32)},
        opset=8,
        ir_version=3,
    )
    assert [spec.name for spec in read_model(path).inputs] == ["x"]


def test_weights_are_counted_wherever_they_are_kept(tmp_path: Path) -> None:
    """In a branch, and in a constant of several elements, as some exporters write them."""
    value = onnx.numpy_helper.from_array(np.ones((5, 2), np.float16))
    branch = helper.make_graph(
        [node("Identity", ["inner"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", FLOAT, [3])],
        [onnx.numpy_helper.from_array(np.ones(3, np.float32), "inner")],
    )
    nodes = [
        node("Constant", [], ["c"], value=value),
        node("Constant", [], ["one"], value_int=1),
        node("If", ["x"], ["y"], then_branch=branch, else_branch=branch),
    ]
    path = save(
        tmp_path, nodes, {"x": (onnx.TensorProto.BOOL, [])}, {"y": (FLOAT, [3])}, {"w": [1.0]}
    )
    model = read_model(path)

    assert model.parameters == 1 + 5 * 2 + 3 + 3
    assert model.weights_bytes == 8 + 20 + 12 + 12


def test_a_model_may_be_named_from_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absolute = read_model(linear_external(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert read_model("model.onnx").sha256 == absolute.sha256


def test_a_model_that_takes_or_gives_no_tensor_is_refused(tmp_path: Path) -> None:
    model = make(
        [node("SequenceConstruct", ["x"], ["y"])], {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])}
    )
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, [2]))
    model.graph.output[0].type.CopyFrom(kind)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    assert "'y' is a sequence" in refused(path)


def test_ids_know_the_table_that_they_index(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("Gather", ["table", "ids"], ["y"])],
        {"ids": (INT64, ["batch", "length"])},
        {"y": (FLOAT, ["batch", "length", 4])},
        {"table": np.ones((30, 4), np.float32)},
    )
    assert read_model(path).tables == {"ids": 30}
