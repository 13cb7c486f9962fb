"""Functions are written out, graphs within nodes are evaluated with what is known around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.parser
import pytest

from xbench.errors import ModelError
from xbench.graph.evaluate import evaluate
from xbench.graph.plain import Graph, Node

if TYPE_CHECKING:
    from pathlib import Path


def parsed(body: str, domains: str = '"" : 20, "own" : 1') -> onnx.ModelProto:
    return onnx.parser.parse_model(f"<ir_version: 10, opset_import: [{domains}]> {body}")


def operators(graph: Graph) -> list[str]:
    return [node.operator for node in graph.nodes]


def test_an_operator_that_the_model_defines_is_written_out_with_its_attributes() -> None:
    text = """
    g (float[2, 3] x) => (float[2, 3] y) {
        a = own.Twice <slope = 0.25> (x)
        y = own.Twice(a)
    }
    <opset_import: ["" : 20], domain: "own">
    Twice <slope: float = 0.5> (x) => (y) {
        a = LeakyRelu <alpha: float = @slope> (x)
        y = Add(a, a)
    }
    """
    graph = evaluate(parsed(text))
    assert operators(graph) == ["LeakyRelu", "Add", "LeakyRelu", "Add"]
    assert [graph.nodes[place].attributes["alpha"] for place in (0, 2)] == [0.25, 0.5]
    assert graph.value(graph.results[0]).static == (2, 3)
    assert len({name for node in graph.nodes for name in node.outputs}) == 4


def test_a_function_may_be_written_in_another_operator_set_than_the_model() -> None:
    text = """
    g (float[2, 3] x) => (float[2] y) { y = own.Total(x) }
    <opset_import: ["" : 11], domain: "own">
    Total (x) => (y) { y = ReduceSum <axes = [1], keepdims = 0> (x) }
    """
    graph = evaluate(parsed(text))
    assert [(node.operator, node.version) for node in graph.nodes] == [("ReduceSum", 11)]
    assert graph.value(graph.results[0]).static == (2,)


def test_functions_that_call_functions_and_hold_branches() -> None:
    text = """
    g (bool c, float[2] x) => (float[2] y) { y = own.Outer(c, x) }
    <opset_import: ["" : 20, "own" : 1], domain: "own">
    Outer (c, x) => (y) {
        h = own.Inner(x)
        y = If(c) <
            then_branch = t () => (o) { k = own.Inner(h) o = Mul(k, x) },
            else_branch = e () => (o) { o = Neg(h) }
        >
    }
    <opset_import: ["" : 20], domain: "own">
    Inner (x) => (y) { y = Relu(x) }
    """
    graph = evaluate(parsed(text))
    assert operators(graph) == ["Relu", "If"]
    branch = graph.nodes[1].attributes["then_branch"]
    assert operators(branch) == ["Relu", "Mul"]
    assert graph.nodes[1].captures == (graph.nodes[0].outputs[0], "x")
    assert graph.value(graph.results[0]).static == (2,)


def without(*names: str) -> object:
    def handles(node: Node) -> bool:
        return node.operator not in names

    return handles


def test_an_operator_that_onnx_defines_as_a_function_is_written_out_if_it_cannot_be_lowered() -> (
    None
):
    text = "g (float[2, 3] x) => (float[2, 3] y) { y = HardSwish(x) }"
    assert operators(evaluate(parsed(text))) == ["HardSwish"]
    graph = evaluate(parsed(text), handles=without("HardSwish"))  # type: ignore[arg-type] # a stand-in
    assert operators(graph) == ["HardSigmoid", "Mul"]
    assert graph.nodes[0].attributes["alpha"] == pytest.approx(1 / 6)
    assert graph.value(graph.results[0]).static == (2, 3)


def test_a_function_that_depends_on_its_inputs_is_made_for_them() -> None:
    text = "g (float[2, 3] x, float[3] s) => (float[2, 3] y) { y = LayerNormalization(x, s) }"
    graph = evaluate(parsed(text), handles=without("LayerNormalization"))  # type: ignore[arg-type] # a stand-in
    assert "LayerNormalization" not in operators(graph)
    assert graph.value(graph.results[0]).static == (2, 3)


CAPTURING = """
g (bool c, float[2] x) => (float[2] y) <float[2] w = {1, 2}, float[2] v = {3, 4}> {
    r = Relu(x)
    alias = Identity(r)
    sum = Add(w, v)
    y = If(c) <
        then_branch = t () => (float[2] o) { o = Mul(alias, sum) },
        else_branch = e () => (float[2] o) { o = Mul(x, w) }
    >
}
"""


def test_graphs_within_nodes_use_what_is_known_around_them() -> None:
    graph = evaluate(parsed(CAPTURING))
    assert operators(graph) == ["Relu", "If"]
    node = graph.nodes[1]
    yes, no = node.attributes["then_branch"], node.attributes["else_branch"]
    assert yes.captures == ("r",)
    assert no.captures == ("x",)
    assert node.captures == ("r", "x")
    assert yes.constants["sum"].tolist() == [4, 6]
    assert graph.value("y").static == (2,)
    assert not graph.constants


def test_a_value_that_only_a_branch_uses_is_kept() -> None:
    graph = evaluate(parsed(CAPTURING))
    assert graph.uses()["r"] == 1


def test_a_known_condition_leaves_its_branch_alone() -> None:
    text = """
    g (float[2] x) => (float[2] z) <bool yes = {1}> {
        y = If(yes) <
            then_branch = t () => (float[2] o) <float[2] w = {2, 3}> { o = Mul(x, w) },
            else_branch = e () => (float[2] o) { o = Neg(x) }
        >
        z = If(yes) <
            then_branch = t () => (float[2] o) <float[2] w = {4, 5}> { o = Mul(y, w) },
            else_branch = e () => (float[2] o) { o = Neg(x) }
        >
    }
    """
    graph = evaluate(parsed(text))
    assert operators(graph) == ["Mul", "Mul"]
    weights = [graph.constants[node.inputs[1]].tolist() for node in graph.nodes]
    assert weights == [[2, 3], [4, 5]]


def loop(step: str, count: str = "n", start: str = "x") -> Graph:
    text = f"""
    g (int64 n, float[2, 3] x) => (y, rows) <int64 four = {{4}}, float[1, 3] w = {{1, 2, 3}}> {{
        y, rows = Loop({count}, "", {start}) <body = b (int64 i, bool c, s) => (again, t, row) {{
            again = Identity(c)
            t = {step}
            row = Neg(t)
        }}>
    }}
    """
    return evaluate(parsed(text))


def test_what_a_loop_keeps_is_known_in_its_body_and_behind_it() -> None:
    graph = loop("Mul(s, w)")
    body = graph.nodes[0].attributes["body"]
    assert body.value(body.inputs[2]).static == (2, 3)
    assert graph.value("y").static == (2, 3)
    assert graph.value("rows").shape == (None, 2, 3)
    assert graph.value("rows").dtype == np.float32


def test_what_a_loop_changes_is_not_known() -> None:
    graph = loop("Concat <axis = 0> (s, w)")
    body = graph.nodes[0].attributes["body"]
    assert body.value(body.inputs[2]).shape == (None, 3)
    assert graph.value("y").shape == (None, 3)


def test_the_rows_of_a_known_count_are_known() -> None:
    assert loop("Mul(s, w)", "four").value("rows").static == (4, 2, 3)


def test_a_body_with_other_inputs_than_its_loop_is_malformed() -> None:
    with pytest.raises(ModelError, match="body"):
        loop("Mul(s, w)", start="x, x")


def test_scans_know_their_slices() -> None:
    text = """
    g (float[5] s, float[2, 7, 5] x) => (y, z) <int64[1] axis = {0}> {
        y, z = Scan <
            num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1],
            body = b (si, xi) => (so, zo) { so = ReduceMax <keepdims = 0> (xi, axis) zo = Neg(xi) }
        > (s, x)
    }
    """
    graph = evaluate(parsed(text))
    assert graph.value("y").static == (5,)
    assert graph.value("z").static == (2, 5, 7)


def test_elements_of_a_sequence_share_no_symbols() -> None:
    """Two elements of ``seq(float[n])`` may differ in length: neither has the shape of both."""
    text = """
    g (seq(float[n]) s) => (float[m] y) <int64 zero = {0}, int64 one = {1}> {
        a = SequenceAt(s, zero)
        b = SequenceAt(s, one)
        shape = Shape(b)
        y = Reshape(a, shape)
    }
    """
    graph = evaluate(parsed(text))
    assert graph.value("a").shape == (None,)
    reshape = graph.nodes[-1]
    assert reshape.inputs[1] not in graph.constants or graph.constants[reshape.inputs[1]][0] != 0


def test_a_known_function_of_the_model_hides_one_of_onnx() -> None:
    text = """
    g (float[2] x) => (float[2] y) { y = own.Relu(x) }
    <opset_import: ["" : 20], domain: "own">
    Relu (x) => (y) { y = Neg(x) }
    """
    assert operators(evaluate(parsed(text))) == ["Neg"]


def test_weights_of_inner_graphs_may_lie_in_files(tmp_path: Path) -> None:
    text = """
    g (bool c, float[2] x) => (float[2] y) {
        y = If(c) <
            then_branch = t () => (float[2] o) <float[2] w = {2, 3}> { o = Mul(x, w) },
            else_branch = e () => (float[2] o) {
                v = Constant <value = float[2] {4, 5}> ()
                o = Mul(x, v)
            }
        >
    }
    """
    model = parsed(text)
    branches = model.graph.node[0].attribute
    inner = [branches[0].g.initializer[0], branches[1].g.node[0].attribute[0].t]
    for tensor in inner:
        tensor.raw_data = np.array(tensor.float_data, np.float32).tobytes()
        tensor.ClearField("float_data")
    path = tmp_path / "model.onnx"
    onnx.save_model(
        model,
        path,
        save_as_external_data=True,
        size_threshold=0,
        convert_attribute=True,
        location="model.data",
    )
    assert (tmp_path / "model.data").stat().st_size >= 16
    node = evaluate(path).nodes[0]
    found = [node.attributes[name].constants for name in ("then_branch", "else_branch")]
    assert [next(iter(one.values())).tolist() for one in found] == [[2, 3], [4, 5]]
