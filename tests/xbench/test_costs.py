"""What a node costs: right by hand for known shapes, unknown (and never 0) for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.xbench.graphs import BOOL, FLOAT, INT64, make, node, save
from xbench.adapter import BoundModel
from xbench.costs import NodeCost, intensity, node_costs, schema_version, total
from xbench.flops import count_flops, infer
from xbench.model import bind, read_model

LENGTHS = st.integers(1, 9)


def costs(path: Path, **shapes: tuple[int, ...]) -> dict[str, NodeCost]:
    """Return the cost of each node of a file, by the node's name."""
    found = node_costs(infer(bind(read_model(path), shapes=shapes)))
    return {one.name: one for one in found}


def weight(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


def test_a_convolution_moves_its_input_filters_bias_and_output(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("Conv", ["x", "w", "b"], ["c"], name="conv"), node("Relu", ["c"], ["y"])],
        {"x": (FLOAT, ["batch", 3, 8, 8])},
        {"y": (FLOAT, ["batch", 4, 6, 6])},
        {"w": weight(4, 3, 3, 3), "b": weight(4)},
    )
    found = costs(path, x=(2, 3, 8, 8))
    given_elements = 2 * 4 * 6 * 6
    conv = found["conv"]
    assert conv.flops == 2 * given_elements * 3 * 3 * 3
    assert conv.bytes == 4 * (2 * 3 * 8 * 8 + 4 * 3 * 3 * 3 + 4 + given_elements)
    assert (conv.operator, conv.domain, conv.version, conv.within) == ("Conv", "", 11, None)
    assert intensity(conv.flops, conv.bytes) == conv.flops / conv.bytes
    relu = found["y"]  # without a name of its own: its output's
    assert (relu.flops, relu.bytes, relu.unknown) == (0, 4 * 2 * given_elements, None)


@given(rows=LENGTHS, inner=LENGTHS, columns=LENGTHS)
def test_a_product_costs_what_its_shapes_say(rows: int, inner: int, columns: int) -> None:
    model = make(
        [node("MatMul", ["a", "b"], ["y"])],
        {"a": (FLOAT, [rows, inner]), "b": (FLOAT, [inner, columns])},
        {"y": (FLOAT, [rows, columns])},
    )
    [found] = node_costs(infer(unbound(), model))
    assert found.flops == 2 * rows * inner * columns
    assert found.bytes == 4 * (rows * inner + inner * columns + rows * columns)


def unbound() -> BoundModel:
    """Return a binding that decides nothing: for messages whose shapes are all lengths."""
    return BoundModel(Path("none"), (), (), {})


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (TensorProto.FLOAT, 4 * 6),
        (TensorProto.DOUBLE, 8 * 6),
        (TensorProto.BFLOAT16, 2 * 6),
        (TensorProto.INT4, 3),
        (TensorProto.BOOL, 6),
    ],
)
def test_elements_have_the_size_of_their_type(kind: int, size: int) -> None:
    model = make(
        [node("Identity", ["x"], ["y"])],
        {"x": (kind, [2, 3])},
        {"y": (kind, [2, 3])},
        opset=21,
        ir_version=10,
    )
    [found] = node_costs(infer(unbound(), model))
    assert found.bytes == 2 * size


def test_text_has_no_size_before_a_run() -> None:
    kind = TensorProto.STRING
    model = make([node("Identity", ["x"], ["y"])], {"x": (kind, [2])}, {"y": (kind, [2])})
    [found] = node_costs(infer(unbound(), model))
    assert (found.flops, found.bytes) == (0, None)
    assert found.unknown is not None


def test_a_value_that_is_taken_twice_is_moved_once() -> None:
    model = make([node("Mul", ["x", "x"], ["y"])], {"x": (FLOAT, [5])}, {"y": (FLOAT, [5])})
    [found] = node_costs(infer(unbound(), model))
    assert found.bytes == 4 * (5 + 5)


def test_what_is_looked_up_counts_as_far_as_it_is_read(tmp_path: Path) -> None:
    """A vocabulary of which a few rows are taken must not count as a whole."""
    path = save(
        tmp_path,
        [
            node("Gather", ["table", "ids"], ["rows"], name="gather"),
            node("Slice", ["rows", "from", "to"], ["y"], name="slice"),
            node("Shape", ["rows"], ["s"], name="shape"),
            node("Size", ["rows"], ["n"], name="size"),
        ],
        {"ids": (INT64, [3])},
        {"y": (FLOAT, [2, 4]), "s": (INT64, [2]), "n": (INT64, [])},
        {"table": weight(1000, 4), "from": np.array([0]), "to": np.array([2])},
    )
    found = costs(path)
    rows, ids = 4 * 3 * 4, 8 * 3
    assert found["gather"].bytes == 2 * rows + ids
    assert found["slice"].bytes == 2 * (4 * 2 * 4) + 8 + 8
    assert (found["shape"].bytes, found["size"].bytes) == (8 * 2, 8)


def test_a_constant_moves_nothing_and_who_takes_it_does() -> None:
    value = onnx.numpy_helper.from_array(weight(7))
    model = make(
        [node("Constant", [], ["c"], value=value), node("Add", ["x", "c"], ["y"])],
        {"x": (FLOAT, [7])},
        {"y": (FLOAT, [7])},
    )
    constant, add = node_costs(infer(unbound(), model))
    assert (constant.flops, constant.bytes) == (0, 0)
    assert add.bytes == 4 * 3 * 7


def test_what_depends_on_data_is_unknown_with_the_reason(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [
            node("Compress", ["x", "c"], ["some"], name="compress", axis=0),
            node("MatMul", ["some", "w"], ["y"], name="product"),
            node("Relu", ["x"], ["z"], name="relu"),
        ],
        {"x": (FLOAT, [8, 4]), "c": (BOOL, [8])},
        {"y": (FLOAT, ["some", 2]), "z": (FLOAT, [8, 4])},
        {"w": weight(4, 2)},
    )
    found = costs(path)
    assert (found["compress"].flops, found["compress"].bytes) == (0, None)
    assert (found["product"].flops, found["product"].bytes) == (None, None)
    assert found["product"].unknown == "the shape of 'y' is not known before a run"
    assert (found["relu"].bytes, found["relu"].unknown) == (2 * 4 * 8 * 4, None)
    assert total(one.bytes for one in found.values()) is None


def test_a_length_of_minus_one_is_no_length(tmp_path: Path) -> None:
    """Some exporters write it for "open"; a count must not become negative."""
    path = save(
        tmp_path,
        [node("Compress", ["x", "c"], ["s"], axis=0), node("MatMul", ["s", "w"], ["y"], name="m")],
        {"x": (FLOAT, [8, 4]), "c": (BOOL, [8])},
        {"y": (FLOAT, [-1, 2])},
        {"w": weight(4, 2)},
    )
    assert (costs(path)["m"].flops, costs(path)["m"].bytes) == (None, None)


def branch(operator: str, name: str) -> onnx.GraphProto:
    return helper.make_graph(
        [node(operator, ["x", "x"], [f"{name}_out"], name=name)],
        name,
        [],
        [helper.make_tensor_value_info(f"{name}_out", FLOAT, [3, 3])],
    )


def test_nodes_in_a_branch_name_who_carries_them_and_run_nobody_knows_how_often(
    tmp_path: Path,
) -> None:
    branches = {"then_branch": branch("MatMul", "a"), "else_branch": branch("Add", "b")}
    path = save(
        tmp_path,
        [node("If", ["c"], ["y"], name="choice", **branches)],
        {"c": (BOOL, []), "x": (FLOAT, [3, 3])},
        {"y": (FLOAT, [3, 3])},
    )
    found = costs(path)
    assert next(iter(found)) == "choice"  # who carries them comes before
    assert {one.name: one.within for one in found.values()} == {
        "choice": None,
        "a": "choice",
        "b": "choice",
    }
    assert (found["choice"].flops, found["choice"].bytes) == (0, 1 + 4 * 9)
    assert (found["a"].flops, found["a"].bytes) == (None, None)
    assert (found["b"].flops, found["b"].bytes) == (0, None)  # however often: none of it contracts
    assert "'choice'" in (found["a"].unknown or "")


def test_an_operator_of_another_domain_has_the_version_of_its_set(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [node("FusedThing", ["x"], ["y"], name="fused", domain="com.example")],
        {"x": (FLOAT, [2, 2])},
        {"y": (FLOAT, [2, 2])},
    )
    model = onnx.load(path)
    model.opset_import.add(domain="com.example", version=3)
    onnx.save(model, path)
    found = costs(path)["fused"]
    assert (found.domain, found.version, found.flops) == ("com.example", 3, None)
    assert found.bytes == 2 * 4 * 4  # its shapes are declared
    assert found.unknown == "what FusedThing computes is not counted"


@pytest.mark.parametrize(
    ("operator", "domain", "opset", "version"),
    [("Relu", "", 13, 13), ("Relu", "", 18, 14), ("Cast", "", 8, 6), ("Nonsense", "a.b", 5, 5)],
)
def test_a_version_is_that_of_the_schema_which_holds(
    operator: str, domain: str, opset: int, version: int
) -> None:
    assert schema_version(operator, domain, opset) == version


def test_shapes_that_do_not_fit_are_no_crash() -> None:
    """An equation with more indices than its input has axes."""
    model = make(
        [node("Einsum", ["a", "a"], ["y"], equation="ijk,jk->i")],
        {"a": (FLOAT, [2, 2])},
        {"y": (FLOAT, [2])},
    )
    [found] = node_costs(infer(unbound(), model))
    assert found.flops is None


@st.composite
def chains(draw: st.DrawFn) -> onnx.ModelProto:
    """Draw a chain of nodes of which some contract, some do not, and some are unknown."""
    kinds = draw(st.lists(st.sampled_from(["MatMul", "Relu", "Compress", "If"]), max_size=6))
    nodes, last, size = [], "x", 3
    for place, kind in enumerate(kinds):
        out = f"v{place}"
        if kind == "If":
            inner = draw(st.sampled_from(["MatMul", "Add"]))
            pair = (branch(inner, f"{out}_a"), branch(inner, f"{out}_b"))
            nodes.append(node("If", ["c"], [out], then_branch=pair[0], else_branch=pair[1]))
        elif kind == "MatMul":
            nodes.append(node("MatMul", [last, "w"], [out]))
        elif kind == "Compress":
            nodes.append(node("Compress", [last, "some"], [out], axis=0))
        else:
            nodes.append(node("Relu", [last], [out]))
        last = out
    nodes.append(node("Identity", [last], ["y"]))
    return make(
        nodes,
        {"x": (FLOAT, [size, size]), "c": (BOOL, []), "some": (BOOL, [size])},
        {"y": (FLOAT, ["rows", size])},
        {"w": weight(size, size)},
    )


@given(chains())
def test_the_nodes_make_what_the_model_makes(model: onnx.ModelProto) -> None:
    """Node by node or in one: the same count, and unknown in the same cases."""
    found = node_costs(infer(unbound(), model))
    assert total(one.flops for one in found) == count_flops(unbound(), model)
    for one in found:
        assert (one.unknown is None) == (one.flops is not None and one.bytes is not None)
        assert one.flops is None or one.flops >= 0
        assert one.bytes is None or one.bytes >= 0


@given(st.lists(st.none() | st.integers(0, 2**60)))
def test_a_sum_is_known_if_all_of_it_is(counts: list[int | None]) -> None:
    known = [count for count in counts if count is not None]
    assert total(counts) == (sum(known) if len(known) == len(counts) else None)


def test_no_intensity_is_made_of_nothing() -> None:
    assert intensity(None, 8) is None
    assert intensity(8, None) is None
    assert intensity(8, 0) is None
    assert intensity(0, 8) == 0
