"""Partial evaluation: what is known is worked out, and nothing else changes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from xbench.errors import ModelError, ShapeError
from xbench.graph.evaluate import evaluate

if TYPE_CHECKING:
    from pathlib import Path

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: list[str],
    weights: dict[str, Any] | None = None,
    opset: int = 20,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, *one) for name, one in inputs.items()],
        [helper.make_tensor_value_info(name, 0, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(one), name) for name, one in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def flattening(batch: int | str) -> onnx.ModelProto:
    """Reshape to (batch, -1) by way of Shape, Gather, Unsqueeze and Concat."""
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Shape", ["y"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["length"], axis=0),
        helper.make_node("Unsqueeze", ["length", "axes"], ["lengths"]),
        helper.make_node("Concat", ["lengths", "rest"], ["aim"], axis=0),
        helper.make_node("Reshape", ["y", "aim"], ["z"]),
    ]
    weights = {"zero": np.int64(0), "axes": np.array([0]), "rest": np.array([-1])}
    return model(nodes, {"x": (FLOAT, [batch, 3, 4])}, ["z"], weights)


def test_shape_arithmetic_is_folded_when_shapes_are_given() -> None:
    graph = evaluate(flattening("batch"), {"x": (5, 3, 4)})
    assert [node.operator for node in graph.nodes] == ["Relu", "Reshape"]
    assert graph.constants[graph.nodes[1].inputs[1]].tolist() == [5, -1]
    assert graph.value("z").static == (5, 12)


def test_shape_arithmetic_is_followed_through_open_dimensions() -> None:
    graph = evaluate(flattening("batch"))
    assert [node.operator for node in graph.nodes] == ["Relu", "Reshape"]
    aim = graph.constants[graph.nodes[1].inputs[1]].tolist()
    assert aim == [0, -1]
    assert graph.value("y").shape == ("batch", 3, 4)


def test_a_length_that_depends_on_the_data_is_left_to_the_run() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Shape", ["places"], ["shape"]),
    ]
    graph = evaluate(model(nodes, {"x": (FLOAT, [3])}, ["shape"]))
    assert [node.operator for node in graph.nodes] == ["NonZero", "Shape"]


def test_schema_versions_and_defaults_are_those_of_the_imported_operator_set() -> None:
    node = helper.make_node("Softmax", ["x"], ["y"])
    for opset, version, axis in ((12, 11, 1), (13, 13, -1)):
        graph = evaluate(model([node], {"x": (FLOAT, [2, 3])}, ["y"], opset=opset))
        assert (graph.nodes[0].version, graph.nodes[0].attributes["axis"]) == (version, axis)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Expand", ["one", "far"], ["y"]),
        helper.make_node("ConstantOfShape", ["far"], ["y"]),
        helper.make_node("Tile", ["one", "far"], ["y"]),
        helper.make_node("Range", ["start", "end", "step"], ["y"]),
    ],
)
def test_a_value_that_would_fill_memory_is_not_folded(node: onnx.NodeProto) -> None:
    weights = {
        "one": np.ones((1, 1), np.float32),
        "far": np.array([2**20, 2**20]),
        "start": np.int64(0),
        "end": np.int64(2**50),
        "step": np.int64(1),
    }
    graph = evaluate(model([node], {"x": (FLOAT, [1])}, ["y"], weights))
    assert [one.operator for one in graph.nodes] == [node.op_type]


def test_a_slice_whose_axes_are_left_out_is_not_taken_for_one_without_steps() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "start", "end", "", "step"], ["y"]),
    ]
    weights = {"start": np.array([0]), "end": np.array([4]), "step": np.array([2])}
    inputs: dict[str, tuple[int, list[Any]]] = {"x": (FLOAT, [2, "n", 5, 7])}
    graph = evaluate(model(nodes, inputs, ["y"], weights))
    assert "y" not in graph.constants or graph.constants["y"].tolist() == [2, 5]


def test_a_length_with_two_axes_more_is_a_matrix() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["length"]),
        helper.make_node("Unsqueeze", ["length", "axes"], ["y"]),
    ]
    weights = {"zero": np.int64(0), "axes": np.array([0, 1])}
    graph = evaluate(model(nodes, {"x": (FLOAT, [3, 4])}, ["y"], weights))
    assert graph.value("y").static == (1, 1)
    np.testing.assert_array_equal(graph.constants["y"], [[3]])


@pytest.mark.parametrize(
    ("node", "opset", "value"),
    [
        (helper.make_node("Unsqueeze", ["v"], ["y"], axes=[-2, -1]), 11, [1, 2]),
        (helper.make_node("Unique", ["v"], ["y"], sorted=0), 11, [2, 1]),
        (helper.make_node("OneHot", ["place", "depth", "v"], ["y"]), 11, [0, -np.inf]),
        (helper.make_node("GatherElements", ["column", "places"], ["y"], axis=0), 11, [0]),
    ],
)
def test_what_the_reference_gets_wrong_is_not_folded(
    node: onnx.NodeProto, opset: int, value: list[float]
) -> None:
    weights = {"v": np.array(value, np.float32), "place": np.array([1]), "depth": np.int64(3)}
    weights |= {"column": np.arange(70.0).reshape(-1, 1), "places": np.zeros((70, 1), np.int64)}
    graph = evaluate(model([node], {"x": (FLOAT, [1])}, ["y"], weights, opset=opset))
    assert [one.operator for one in graph.nodes] == [node.op_type]


def test_a_negative_length_is_an_open_one() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    whole = model([node], {"x": (FLOAT, [-1, 3])}, ["y"])
    assert evaluate(whole).value("y").shape == (None, 3)
    assert evaluate(whole, {"x": (5, 3)}).value("y").static == (5, 3)


def test_sizes_whose_number_is_open_fit() -> None:
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest")
    inputs: dict[str, tuple[int, list[Any]]] = {"x": (FLOAT, [1, 1, 2, 2]), "sizes": (INT64, ["n"])}
    value = evaluate(model([node], inputs, ["y"])).value("y")
    assert (value.dtype, value.shape) == (np.dtype(np.float32), None)


@pytest.mark.parametrize(
    ("operator", "axes", "shape"),
    [("Unsqueeze", [0, -1], (1, 2, 1, 4, 1)), ("Unsqueeze", [-1], (2, 1, 4, 1)),
     ("Squeeze", [-2], (2, 4))],
)  # fmt: skip
def test_axes_from_the_end_are_followed_in_first_versions_too(
    operator: str, axes: list[int], shape: tuple[int, ...]
) -> None:
    """They did not allow them, and exporters write them all the same."""
    node = helper.make_node(operator, ["x"], ["y"], axes=axes)
    graph = evaluate(model([node], {"x": (FLOAT, [2, 1, 4])}, ["y"], opset=9))
    assert graph.value("y").static == shape


def test_what_is_drawn_at_random_is_not_folded() -> None:
    nodes = [
        helper.make_node("RandomNormal", [], ["r"], shape=[2]),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    graph = evaluate(model(nodes, {"x": (FLOAT, [2])}, ["y"]))
    assert [node.operator for node in graph.nodes] == ["RandomNormal", "Add"]


def test_nodes_that_do_nothing_or_that_nobody_needs_are_taken_out() -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["a"]),
        helper.make_node("Dropout", ["a"], ["b"]),
        helper.make_node("Exp", ["b"], ["unused"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Identity", ["c"], ["y"]),
    ]
    graph = evaluate(model(nodes, {"x": (FLOAT, [2])}, ["y"]))
    assert [(node.operator, node.inputs) for node in graph.nodes] == [("Relu", ("x",))]
    assert (graph.outputs, graph.results) == (("y",), ("c",))


def branching(condition: list[str]) -> list[onnx.NodeProto]:
    branches = {
        name: helper.make_graph(
            [helper.make_node(operator, ["x"], [f"{name}_y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", FLOAT, None)],
        )
        for name, operator in (("then_branch", "Exp"), ("else_branch", "Neg"))
    }
    return [helper.make_node("If", condition, ["y"], **branches)]


@pytest.mark.parametrize(("taken", "operator"), [(True, "Exp"), (False, "Neg")])
def test_a_branch_whose_condition_is_known_is_inlined(taken: bool, operator: str) -> None:
    weights = {"c": np.array(taken)}
    graph = evaluate(model(branching(["c"]), {"x": (FLOAT, [2])}, ["y"], weights))
    assert [node.operator for node in graph.nodes] == [operator]


def test_a_value_that_only_a_subgraph_uses_is_kept() -> None:
    nodes = [helper.make_node("Identity", ["w"], ["x"]), *branching(["c"])]
    graph = evaluate(model(nodes, {"w": (FLOAT, [2]), "c": (TensorProto.BOOL, [])}, ["y"]))
    assert [node.operator for node in graph.nodes] == ["If"]
    assert graph.nodes[0].captures == ("w",)  # of which "x" is but another name


def test_functions_of_the_model_are_inlined() -> None:
    opsets = [helper.make_opsetid("", 20)]
    body = [helper.make_node("Neg", ["a"], ["t"]), helper.make_node("Exp", ["t"], ["b"])]
    function = helper.make_function("own", "F", ["a"], ["b"], body, opsets)
    node = helper.make_node("F", ["x"], ["y"], domain="own")
    whole = model([node], {"x": (FLOAT, [2])}, ["y"])
    whole.functions.append(function)
    whole.opset_import.append(helper.make_opsetid("own", 1))
    assert [one.operator for one in evaluate(whole).nodes] == ["Neg", "Exp"]


def test_the_model_passed_in_is_left_as_it_was() -> None:
    whole = flattening("batch")
    before = whole.SerializeToString(deterministic=True)
    evaluate(whole, {"x": (5, 3, 4)})
    assert whole.SerializeToString(deterministic=True) == before


def arithmetic(draw: st.DrawFn) -> tuple[onnx.ModelProto, list[int]]:
    """A chain of operators on whole vectors that starts at the shape of the input."""
    shape = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    nodes = [helper.make_node("Shape", ["x"], ["v0"])]
    weights: dict[str, Any] = {"axes": np.array([0])}
    length = len(shape)
    for step in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["Gather", "Slice", "Concat", "Add", "Mul", "Sub", "Cast"]))
        old, new, own = f"v{step}", f"v{step + 1}", f"w{step}"
        if kind == "Gather":
            places = draw(st.lists(st.integers(-length, length - 1), min_size=1, max_size=4))
            weights[own], length = np.array(places), len(places)
            nodes.append(helper.make_node("Gather", [old, own], [new]))
        elif kind == "Slice":
            start = draw(st.integers(-length - 1, length - 1))
            weights[own], weights[f"{own}e"] = np.array([start]), np.array([2**62])
            length = len(range(length)[start:])
            nodes.append(helper.make_node("Slice", [old, own, f"{own}e", "axes"], [new]))
        elif kind == "Concat":
            weights[own] = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=2)))
            length += len(weights[own])
            nodes.append(helper.make_node("Concat", [old, own], [new], axis=0))
        elif kind == "Cast":
            nodes.append(helper.make_node("Cast", [old], [new], to=INT64))
        else:
            weights[own] = np.array([draw(st.integers(-3, 3))])
            nodes.append(helper.make_node(kind, [old, own], [new]))
    nodes.append(helper.make_node("Identity", [f"v{len(nodes) - 1}"], ["y"]))
    names: list[Any] = [f"d{place}" for place in range(len(shape))]
    return model(nodes, {"x": (FLOAT, names)}, ["y"], weights), shape


@given(st.composite(arithmetic)())
@settings(max_examples=60, deadline=None)
def test_folded_arithmetic_agrees_with_the_reference(
    drawn: tuple[onnx.ModelProto, list[int]],
) -> None:
    whole, shape = drawn
    (want,) = ReferenceEvaluator(whole).run(None, {"x": np.zeros(shape, np.float32)})
    bound = evaluate(whole, {"x": tuple(shape)})
    assert not bound.nodes
    assert bound.constants[bound.results[0]].tolist() == np.asarray(want).tolist()
    half = evaluate(whole)
    if not half.nodes:  # known although the dimensions are open: then it must be the same
        assert half.constants[half.results[0]].tolist() == np.asarray(want).tolist()


def test_shapes_that_do_not_fit_are_refused() -> None:
    whole = flattening("batch")
    with pytest.raises(ShapeError, match="no input 'z'"):
        evaluate(whole, {"z": (1,)})
    with pytest.raises(ShapeError, match="batchx3x4"):
        evaluate(whole, {"x": (5, 3, 5)})
    with pytest.raises(ShapeError, match="batchx3x4"):
        evaluate(whole, {"x": (5, 3)})


def test_a_symbol_has_one_length_in_all_inputs() -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    whole = model(nodes, {"a": (FLOAT, ["n", 2]), "b": (FLOAT, ["n", 2])}, ["y"])
    assert evaluate(whole, {"a": (3, 2)}).value("b").static == (3, 2)
    with pytest.raises(ShapeError, match="'b'"):
        evaluate(whole, {"a": (3, 2), "b": (4, 2)})


def test_inputs_that_do_not_fit_together_are_a_model_error_that_names_the_node() -> None:
    nodes = [helper.make_node("MatMul", ["a", "b"], ["y"], name="product")]
    whole = model(nodes, {"a": (FLOAT, [2, 3]), "b": (FLOAT, [4, 5])}, ["y"])
    with pytest.raises(ModelError, match="'product'"):
        evaluate(whole)


def test_names_that_nothing_defines_are_a_model_error() -> None:
    with pytest.raises(ModelError, match="'ghost'"):
        evaluate(model([helper.make_node("Relu", ["ghost"], ["y"])], {}, ["y"]))
    with pytest.raises(ModelError, match="'ghost'"):
        evaluate(model([], {"x": (FLOAT, [1])}, ["ghost"]))


def test_importing_the_package_loads_nothing_heavy_and_evaluating_no_framework() -> None:
    light = "import sys, xbench.graph; assert not {'numpy', 'onnx'} & set(sys.modules)"
    lean = (
        "import sys, xbench.graph.evaluate, xbench.graph.fusions; assert 'torch' not in sys.modules"
    )
    for code in (light, lean):
        subprocess.run([sys.executable, "-c", code], check=True)


def external(folder: Path, location: str = "weights.bin") -> Path:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    whole = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": (FLOAT, [1, 2])}, ["y"])
    whole.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    tensor = whole.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "8"), ("length", "24")):
        tensor.external_data.add(key=key, value=value)
    (folder / "weights.bin").write_bytes(b"\0" * 8 + weight.tobytes())
    path = folder / "model.onnx"
    path.write_bytes(whole.SerializeToString())
    return path


def test_external_weights_are_mapped_not_read(tmp_path: Path) -> None:
    weight = evaluate(external(tmp_path)).constants["w"]
    assert isinstance(weight, np.memmap)
    assert weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    weight[0, 0] = 9  # the importer may; the file must not change
    assert evaluate(tmp_path / "model.onnx").constants["w"][0, 0] == 0


def test_external_weights_outside_the_folder_missing_or_cut_off_are_refused(
    tmp_path: Path,
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    external(tmp_path)
    with pytest.raises(ModelError, match="leaves its folder"):
        evaluate(external(inner, "../weights.bin"))
    path = external(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 31)
    with pytest.raises(ModelError, match="ends before"):
        evaluate(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match="missing"):
        evaluate(path)


def test_files_that_are_no_model_are_refused(tmp_path: Path) -> None:
    for content in (b"not a model", b""):
        path = tmp_path / "broken.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"broken\.onnx"):
            evaluate(path)
    with pytest.raises(ModelError, match="cannot be read"):
        evaluate(tmp_path / "none.onnx")
