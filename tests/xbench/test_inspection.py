"""An inspection: what a file holds, and what each backend answers, asked in real workers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.xbench.graphs import BOOL, FLOAT, INT64, linear, linear_external, node, save
from xbench.acceptance import Answer, RefusedNode
from xbench.errors import ModelError, ShapeError, UnknownNameError
from xbench.inspection import SCHEMA, Inspection, Stored, Tensor, examine, inspect
from xbench.model import bind, read_model
from xbench.result import Status


def examined(path: Path, batch: int | None = None, **shapes: tuple[int, ...]) -> Inspection:
    model = read_model(path)
    return examine(model, bind(model, batch, shapes))


def weight(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


# What the file holds


def test_shapes_are_those_of_the_binding_and_the_file_keeps_its_own(tmp_path: Path) -> None:
    found = examined(linear(tmp_path), batch=3)
    assert found.inputs == (Tensor("x", "float32", (3, 4)),)
    assert found.outputs == (Tensor("y", "float32", (3, 8)),)
    assert found.lengths == {"batch": 3}
    assert found.model.inputs[0].shape == ("batch", 4)
    assert found.flops == found.model.flops == 2 * 3 * 4 * 8
    assert found.bytes == 4 * (3 * 4 + 4 * 8 + 3 * 8)


def test_an_output_that_depends_on_data_has_an_unknown_length(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("Compress", ["x", "c"], ["y"], axis=0)],
        {"x": (FLOAT, [8, 4]), "c": (BOOL, [8])},
        {"y": (FLOAT, ["some", 4])},
    )
    found = examined(path)
    assert found.outputs == (Tensor("y", "float32", (None, 4)),)
    assert (found.flops, found.bytes) == (0, None)


def test_parameters_stand_by_type_and_make_those_of_the_model(tmp_path: Path) -> None:
    """Constants with several elements count, as they do in the model; text has no size."""
    texts = numpy_helper.from_array(np.array(["a", "bc"], dtype=object), "texts")
    fours = helper.make_tensor("fours", onnx.TensorProto.INT4, [3], [1, 2, 3])
    constant = numpy_helper.from_array(weight(5))
    path = save(
        tmp_path,
        [
            node("Constant", [], ["c"], value=constant),
            node("Identity", ["texts"], ["t"]),
            node("Identity", ["fours"], ["f"]),
            node("Identity", ["n"], ["m"]),
            node("Add", ["x", "c"], ["y"]),
        ],
        {"x": (FLOAT, [5])},
        {
            "y": (FLOAT, [5]),
            "t": (onnx.TensorProto.STRING, [2]),
            "f": (onnx.TensorProto.INT4, [3]),
            "m": (INT64, [2]),
        },
        {"n": np.array([1, 2])},
        opset=21,
        ir_version=10,
    )
    proto = onnx.load(path)
    proto.graph.initializer.extend([texts, fours])
    onnx.save(proto, path)
    found = examined(path)
    assert found.parameters == (
        Stored("float32", 5, 20),
        Stored("int64", 2, 16),
        Stored("int4", 3, 2),
        Stored("object", 2, None),
    )
    assert sum(one.count for one in found.parameters) == found.model.parameters
    assert sum(one.bytes or 0 for one in found.parameters) == found.model.weights_bytes


def test_weights_beside_the_file_count_alike(tmp_path: Path) -> None:
    assert examined(linear_external(tmp_path), batch=1).parameters == (Stored("float32", 32, 128),)


def test_operators_are_grouped_by_version_and_the_heaviest_comes_first(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [
            node("Relu", ["x"], ["a"]),
            node("MatMul", ["a", "w"], ["b"]),
            node("Relu", ["b"], ["c"]),
            node("MatMul", ["c", "w"], ["y"]),
        ],
        {"x": (FLOAT, ["batch", 4])},
        {"y": (FLOAT, ["batch", 4])},
        {"w": weight(4, 4)},
    )
    found = examined(path, batch=2)
    product, relu = found.operators
    assert (product.operator, product.version, product.nodes) == ("MatMul", 13, 2)
    assert product.flops == 2 * (2 * 2 * 4 * 4)
    assert (relu.operator, relu.version, relu.nodes, relu.flops) == ("Relu", 14, 2, 0)
    assert relu.bytes == 2 * 2 * 4 * 2 * 4


def test_one_unknown_node_makes_its_operator_unknown_and_no_other(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [
            node("MatMul", ["x", "w"], ["y"]),
            node("Compress", ["x", "c"], ["some"], axis=0),
            node("MatMul", ["some", "w"], ["z"]),
            node("Relu", ["x"], ["r"]),
        ],
        {"x": (FLOAT, [8, 4]), "c": (BOOL, [8])},
        {"y": (FLOAT, [8, 2]), "z": (FLOAT, ["n", 2]), "r": (FLOAT, [8, 4])},
        {"w": weight(4, 2)},
    )
    found = examined(path)
    costs = {one.operator: (one.flops, one.bytes) for one in found.operators}
    assert costs == {"MatMul": (None, None), "Compress": (0, None), "Relu": (0, 4 * 2 * 8 * 4)}
    assert (found.flops, found.bytes) == (None, None)
    document = found.to_json()
    assert document["totals"] == {"nodes": 4, "flops": None, "bytes": None, "intensity": None}
    assert document["model"]["flops"] is None


def test_functions_of_the_model_are_replaced_by_what_they_compute(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("Twice", ["x"], ["y"], domain="local")],
        {"x": (FLOAT, ["b", 4, 4])},
        {"y": (FLOAT, ["b", 4, 4])},
    )
    model = onnx.load(path)
    model.opset_import.add(domain="local", version=1)
    body = [node("MatMul", ["x", "x"], ["m"]), node("Relu", ["m"], ["y"])]
    opsets = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("local", "Twice", ["x"], ["y"], body, opsets))
    onnx.save(model, path)
    found = examined(path, batch=1)
    assert [one.operator for one in found.operators] == ["MatMul", "Relu"]


def test_the_document_is_plain_and_has_a_schema(tmp_path: Path) -> None:
    document = json.loads(json.dumps(examined(linear(tmp_path), batch=2).to_json()))
    assert document["schema"] == SCHEMA == 1
    assert document["model"]["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}]
    assert document["inputs"] == [{"name": "x", "dtype": "float32", "shape": [2, 4]}]
    assert document["lengths"] == {"batch": 2}
    assert document["parameters"] == [{"dtype": "float32", "count": 32, "bytes": 128}]
    assert document["totals"]["flops"] == 128
    [product] = document["nodes"]
    assert product["intensity"] == product["flops"] / product["bytes"]
    assert {"domain", "operator", "version", "nodes"} <= document["operators"][0].keys()
    assert document["counted"].keys() == {"flops", "bytes"}


def test_the_page_names_every_field(tmp_path: Path) -> None:
    """docs/inspect.md is the schema: a field that is not in it is not promised."""
    page = (Path(__file__).parents[2] / "docs" / "inspect.md").read_text()
    refused = RefusedNode(name="n", operator="Op", version=None, detail="no")
    answer = Answer(backend="b", status=Status.UNSUPPORTED, node=refused)
    document = replace(examined(linear(tmp_path)), backends=(answer,)).to_json()
    for field, value in document.items():
        assert f"`{field}`" in page, field
        entries = value if isinstance(value, list) else [value]
        for entry in entries if field != "lengths" else ():  # whose keys are the model's own
            for own in entry if isinstance(entry, dict) else ():
                assert f"`{own}`" in page, (field, own)


# What is refused before anything is asked


def test_wrong_requests_are_refused_as_a_comparison_refuses_them(tmp_path: Path) -> None:
    path = linear(tmp_path)
    with pytest.raises(UnknownNameError, match="onnxruntime"):
        inspect(path, ["onnxruntme"])
    with pytest.raises(ShapeError, match="no input"):
        inspect(path, [], shapes={"z": (1, 4)})
    with pytest.raises(ModelError, match="no such file"):
        inspect(tmp_path / "nowhere.onnx", [])
    (tmp_path / "bad.onnx").write_bytes(b"\x00not a model\xff" * 100)
    with pytest.raises(ModelError, match="not an ONNX model"):
        inspect(tmp_path / "bad.onnx", [])


def test_lengths_that_stay_open_are_named_with_the_option_that_helps(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("Relu", ["ids"], ["y"])],
        {"ids": (FLOAT, ["batch", "sequence"])},
        {"y": (FLOAT, ["batch", "sequence"])},
    )
    with pytest.raises(ShapeError, match="--shape ids=1x128"):
        inspect(path, [])
    found = inspect(path, [], shapes={"ids": (2, 7)})
    assert found.lengths == {"batch": 2, "sequence": 7}
    assert (found.backends, found.exit_status) == ((), 0)
