"""Reductions: every element type, axes and lengths that only the run brings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.graphs import (
    built,
    model,
    normal,
    onnxruntime_says,
    same,
)
from tests.adapters.importers.chosen import (
    examples,
    few,
    given_by,
    ran,
)
from tests.adapters.importers.refusals import refused
from xbench.errors import UnsupportedNodeError

node = helper.make_node


@given(st.sampled_from(["Softmax", "LogSoftmax", "Hardmax"]), st.integers(-3, 2), st.booleans())
@few
def test_softmax_with_open_lengths(operator: str, axis: int, ranks: bool) -> None:
    feeds = {"x": normal(2, 3, 4)}
    one = node(operator, ["x"], ["y"], axis=axis)
    for opset in (11, 13):
        wanted = onnxruntime_says(built(one, feeds, opset), feeds)[0]
        unsure = operator == "Hardmax" and not ranks and opset == 13
        with refused("inputs of an unknown rank", when=unsure):
            same(given_by(one, feeds, opset, lengths=False, ranks=ranks)[0], wanted)


REDUCED = {
    "ReduceL1": lambda x, a: np.abs(x).sum(a, keepdims=True),
    "ReduceMax": lambda x, a: x.max(a, keepdims=True),
    "ReduceMin": lambda x, a: x.min(a, keepdims=True),
    "ReduceMean": lambda x, a: np.trunc(x.mean(a, keepdims=True)),
    "ReduceProd": lambda x, a: x.prod(a, keepdims=True),
    "ReduceSum": lambda x, a: x.sum(a, keepdims=True),
    "ReduceSumSquare": lambda x, a: (x * x).sum(a, keepdims=True),
    "ReduceL2": lambda x, a: np.trunc(np.sqrt((x * x).sum(a, keepdims=True))),
}


@given(
    st.sampled_from(sorted(REDUCED)),
    st.sampled_from(["uint32", "uint64", "int32", "int64"]),
    st.sampled_from([[0], [-1], [0, 2], [1, -1], []]),
    st.booleans(),
)
@examples(40)
def test_reductions_of_whole_numbers_over_axes_known_at_run_time(
    operator: str, dtype: str, axes: list[int], ranks: bool
) -> None:
    x = np.random.default_rng(len(axes)).integers(0 if dtype[0] == "u" else -5, 5, (2, 3, 4))
    wanted = REDUCED[operator](x, tuple(axes) or None).astype(dtype)
    feeds = {"x": x.astype(dtype), "a": np.array(axes, np.int64)}
    same(given_by(node(operator, ["x", "a"], ["y"]), feeds, ranks=ranks)[0], wanted)


@pytest.mark.parametrize(
    "operator", ["ReduceMax", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceProd"]
)
def test_reductions_of_the_largest_numbers_without_a_sign(operator: str) -> None:
    x = np.array([[2**64 - 1, 0], [2**63, 3]], np.uint64)
    alone = given_by(node(operator, ["x"], ["y"], noop_with_empty_axes=1), {"x": x[:, 1]})[0]
    same(alone, x[:, 1])
    rows = [[int(one) for one in row] for row in (x // 2**33 if operator == "ReduceL2" else x)]
    exact: Any = {
        "ReduceMax": max,
        "ReduceMean": lambda row: sum(row) // 2,
        "ReduceL1": sum,
        "ReduceL2": lambda row: int(sum(one * one for one in row) ** 0.5),
        "ReduceProd": lambda row: row[0] * row[1] % 2**64,
    }[operator]
    feeds = {"x": np.array(rows, np.uint64), "a": np.array([1])}
    one = node(operator, ["x", "a"], ["y"], keepdims=0)
    same(given_by(one, feeds)[0], np.array([exact(row) for row in rows], np.uint64))


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "int32", "uint8", "uint32", "uint64", "bool"]
)
def test_extremes_of_nothing_are_the_ends_of_the_type(dtype: str) -> None:
    feeds = {"x": np.zeros((2, 0, 3), dtype), "a": np.array([1])}
    kind = np.dtype(dtype).kind
    ends = (-np.inf, np.inf) if kind == "f" else (False, True)
    if kind in "iu":
        ends = np.iinfo(dtype).min, np.iinfo(dtype).max
    for operator, end in zip(("ReduceMax", "ReduceMin"), ends, strict=True):
        for openness in ({}, {"ranks": False}):
            (found,) = given_by(node(operator, ["x", "a"], ["y"]), feeds, **openness)
            assert found.dtype == dtype
            assert (found == np.full((2, 1, 3), end, dtype)).all()


def test_sums_of_many_halves_lose_nothing_on_the_way() -> None:
    x = np.full((4, 5000), 1.0, np.float16)
    for operator, wanted in (("ReduceSum", 5000), ("ReduceMean", 1), ("ReduceL1", 5000)):
        one = node(operator, ["x", "a"], ["y"], keepdims=0)
        same(given_by(one, {"x": x, "a": np.array([1])})[0], np.full(4, wanted, np.float16))
    ones = {"a": x, "b": np.ascontiguousarray(x.T)}
    same(given_by(node("MatMul", ["a", "b"], ["y"]), ones)[0], np.full((4, 4), 5000, np.float16))


def test_logarithms_of_whole_sums_are_refused() -> None:
    for operator in ("ReduceLogSum", "ReduceLogSumExp"):
        with pytest.raises(UnsupportedNodeError, match="whole numbers"):
            given_by(node(operator, ["x"], ["y"]), {"x": np.ones((2, 2), np.int32)})


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
def test_places_of_extremes_with_open_lengths(last: int, axis: int) -> None:
    feeds = {"x": np.random.default_rng(0).integers(0, 3, (4, 5)).astype(np.float32)}
    for operator in ("ArgMax", "ArgMin"):
        one = node(operator, ["x"], ["y"], axis=axis, select_last_index=last, keepdims=0)
        wanted = onnxruntime_says(built(one, feeds), feeds)[0]
        same(given_by(one, feeds, lengths=False, ranks=False)[0], wanted)


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceL2", "ReduceMean", "ReduceLogSumExp"])
def test_no_axes_may_mean_that_nothing_is_reduced(operator: str) -> None:
    feeds = {"x": normal(2, 3), "a": np.zeros(0, np.int64)}
    wanted = np.abs(feeds["x"]) if operator == "ReduceL2" else feeds["x"]
    one = node(operator, ["x", "a"], ["y"], noop_with_empty_axes=1, keepdims=0)
    for openness in ({}, {"lengths": False}, {"ranks": False}):
        same(given_by(one, feeds, **openness)[0], wanted)
    one = node(operator, ["x"], ["y"], noop_with_empty_axes=1)
    same(given_by(one, {"x": feeds["x"]})[0], wanted)


KNOWN = [
    (node("Add", ["x", "c"], ["y"], broadcast=1, axis=0), 6),
    (node("LRN", ["x"], ["y"], size=3, alpha=1.0), 13),
    (node("LpNormalization", ["x"], ["y"], p=1), 1),
    (node("PRelu", ["x", "c"], ["y"]), 6),
    (node("BatchNormalization", ["x", "c", "c", "c", "c"], ["y"]), 9),
    (node("Softmax", ["x"], ["y"], axis=1), 11),
    (node("Hardmax", ["x"], ["y"], axis=0), 11),
]


@pytest.mark.parametrize(("one", "opset"), KNOWN)
def test_what_is_worked_out_beforehand_is_what_would_be_computed(one: Any, opset: int) -> None:
    values = {"x": normal(3, 3, 3), "c": np.array([0.1, 0.2, 0.3], np.float32)}
    feeds = {name: values[name] for name in one.input}
    (known,) = ran(model([one], {}, ["y"], feeds, opset), {})
    (computed,) = given_by(one, feeds, opset)
    same(known, computed)
    with refused("inputs of an unknown rank", when=one.op_type not in ("Softmax", "Hardmax")):
        same(given_by(one, feeds, opset, ranks=False)[0], computed)
