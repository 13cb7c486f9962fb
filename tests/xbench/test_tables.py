"""An id is drawn below the length of every table that it may index, however it gets there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from tests.xbench.graphs import FLOAT, INT64, node, save
from xbench.inputs import seeded_feeds
from xbench.model import bind, read_model

TABLE = np.arange(120, dtype=np.float32).reshape(30, 4)

# Nodes from "ids" to "to", with what they need; and what the ids must then stay below.
ROUTES: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], int]] = {
    "direct": ([node("Identity", ["ids"], ["to"])], {}, 30),
    "narrowed": ([node("Cast", ["ids"], ["to"], to=onnx.TensorProto.INT32)], {}, 30),
    "reshaped": ([node("Reshape", ["ids", "flat"], ["to"])], {"flat": np.array([-1])}, 30),
    "shifted": ([node("Add", ["two", "ids"], ["to"])], {"two": np.array(2)}, 28),
    "shifted back": (
        [node("Add", ["ids", "two"], ["up"]), node("Sub", ["up", "two"], ["to"])],
        {"two": np.array([2])},
        30,
    ),
    "joined": (
        [
            node(
                "Constant",
                [],
                ["start"],
                value=onnx.numpy_helper.from_array(np.zeros((2, 1), np.int64)),
            ),
            node("Concat", ["start", "ids"], ["to"], axis=1),
        ],
        {},
        30,
    ),
}


@pytest.mark.parametrize("route", ROUTES)
def test_ids_are_followed_to_their_table_and_run_in_a_real_runtime(
    tmp_path: Path, route: str
) -> None:
    nodes, weights, limit = ROUTES[route]
    path = save(
        tmp_path,
        [*nodes, node("Gather", ["table", "to"], ["y"])],
        {"ids": (INT64, [2, 400])},
        {"y": (FLOAT, ["a", "b", "c"][: 2 if route == "reshaped" else 3])},
        {"table": TABLE, **weights},
    )
    model = read_model(path)
    assert model.tables == {"ids": limit}

    (feeds,), info = seeded_feeds(model, bind(model), 0, 1)
    assert info.doubts == ()
    assert feeds["ids"].max() == limit - 1  # every row is reached, the last one too
    ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds)


def test_the_shortest_of_several_tables_counts(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [
            node("Gather", ["table", "ids"], ["first"]),
            node("Gather", ["wide", "ids"], ["second"], axis=-1),
        ],
        {"ids": (INT64, ["n"])},
        {"first": (FLOAT, ["n", 4]), "second": (FLOAT, [3, "n"])},
        {"table": TABLE, "wide": np.ones((3, 7), np.float32)},
    )
    assert read_model(path).tables == {"ids": 7}


def test_a_table_may_be_computed(tmp_path: Path) -> None:
    """Quantised tables are decoded first; inference of shapes says how long they are."""
    path = save(
        tmp_path,
        [
            node("DequantizeLinear", ["table", "scale"], ["decoded"]),
            node("Gather", ["decoded", "ids"], ["y"]),
        ],
        {"ids": (INT64, ["n"])},
        {"y": (FLOAT, ["n", 4])},
        {"table": np.ones((2000, 4), np.int8), "scale": np.float32(0.1)},
    )
    assert read_model(path).tables == {"ids": 2000}


def test_ids_are_followed_into_branches_and_functions(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [node("Gather", ["table", "ids"], ["row"])],
        "branch",
        [],
        [helper.make_tensor_value_info("row", FLOAT, ["n", 4])],
    )
    path = save(
        tmp_path,
        [
            node("If", ["c"], ["y"], then_branch=inner, else_branch=inner),
            node("Look", ["table", "more"], ["z"], domain="local"),
        ],
        {"c": (onnx.TensorProto.BOOL, []), "ids": (INT64, ["n"]), "more": (INT64, ["n"])},
        {"y": (FLOAT, ["n", 4]), "z": (FLOAT, ["n", 4])},
        {"table": TABLE},
    )
    model = onnx.load(path)
    model.opset_import.add(domain="local", version=1)
    body = [node("Gather", ["t", "i"], ["o"])]
    opsets = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("local", "Look", ["t", "i"], ["o"], body, opsets))
    onnx.save(model, path)
    assert read_model(path).tables == {"ids": 30, "more": 30}


def test_what_indexes_nothing_has_no_table(tmp_path: Path) -> None:
    """The data that is looked up in is no index, nor is a product of ids."""
    path = save(
        tmp_path,
        [
            node("Gather", ["rows", "at"], ["y"]),
            node("Mul", ["n", "n"], ["square"]),
            node("Gather", ["table", "square"], ["z"]),
        ],
        {"rows": (INT64, [5, 4]), "n": (INT64, ["k"])},
        {"y": (INT64, [4]), "z": (FLOAT, ["k", 4])},
        {"at": np.array(0), "table": TABLE},
    )
    assert read_model(path).tables == {}
