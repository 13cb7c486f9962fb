"""Arithmetic and reductions: every version, element type and open length."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.pytorch.graphs import (
    built,
    few,
    given_by,
    model,
    normal,
    onnxruntime_says,
    same,
)
from xbench.errors import UnsupportedNodeError
from xbench_adapters.pytorch import import_onnx

node = helper.make_node


OLD = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power}


@pytest.mark.parametrize("opset", [1, 6])
@pytest.mark.parametrize("operator", OLD)
@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_old_operands_lie_where_the_axis_says(operator: str, opset: int, axis: int | None) -> None:
    x = np.abs(normal(2, 3, 4)) + 0.5
    shape = {0: (2,), 1: (3, 4), 2: (4,), None: (3, 4)}[axis]
    other = np.abs(normal(*shape, seed=1)) + 0.5
    where: dict[str, Any] = {} if axis is None else {"axis": axis}
    one = node(operator, ["x", "w"], ["y"], broadcast=1, **where)
    spread = other.reshape(shape + (1,) * (0 if axis is None else 3 - axis - len(shape)))
    for feeds in ({"x": x, "w": other}, {"x": x, "w": np.float32(2)}):
        wanted = OLD[operator](x, spread if feeds["w"].ndim else feeds["w"])
        for openness in ({}, {"lengths": False}, {"ranks": False}):
            same(given_by(one, feeds, opset, **openness)[0], wanted)


def test_old_logic_takes_the_axis_too() -> None:
    x, y = normal(2, 3) > 0, np.array([True, False])
    one = node("And", ["x", "y"], ["z"], broadcast=1, axis=0)
    same(given_by(one, {"x": x, "y": y}, 1)[0], x & y[:, None])


@pytest.mark.parametrize(
    "operator", ["Abs", "Exp", "Neg", "Relu", "Sigmoid", "Tanh", "Elu", "Selu"]
)
def test_first_versions_say_what_may_be_overwritten_and_that_changes_nothing(operator: str) -> None:
    feeds = {"x": normal(3, 4)}
    old = given_by(node(operator, ["x"], ["y"], consumed_inputs=[0]), feeds, 1)[0]
    attributes: dict[str, Any] = {"alpha": 1.6732, "gamma": 1.0507} if operator == "Selu" else {}
    same(old, onnxruntime_says(built(node(operator, ["x"], ["y"], **attributes), feeds), feeds)[0])


EDGES = [0, 1, 2, 3, 5, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1]
large = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**64 - 1))


@given(st.lists(st.tuples(large, large.filter(bool)), min_size=1, max_size=8))
@few
def test_quotients_and_remainders_of_64_bits_without_a_sign(pairs: list[tuple[int, int]]) -> None:
    left, right = (np.array(one, np.uint64) for one in zip(*pairs, strict=True))
    for feeds in ({"a": left, "b": right}, {"a": left, "b": right[:1]}):
        for operator, exact in (("Div", np.floor_divide), ("Mod", np.remainder)):
            same(given_by(node(operator, ["a", "b"], ["y"]), feeds)[0], exact(left, feeds["b"]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_narrower_numbers_without_a_sign(dtype: str) -> None:
    most = np.iinfo(dtype).max
    left, right = np.array([most, most - 1, 7, 0], dtype), np.array([1, most, 2, 5], dtype)
    for operator, exact in (("Div", np.floor_divide), ("Mod", np.remainder), ("Add", np.add),
                            ("Sub", np.subtract), ("Mul", np.multiply), ("Max", np.maximum),
                            ("Less", np.less), ("Equal", np.equal)):  # fmt: skip
        same(given_by(node(operator, ["a", "b"], ["y"]), {"a": left, "b": right})[0],
             exact(left, right))  # fmt: skip
    same(given_by(node("Sign", ["a"], ["y"]), {"a": left})[0], np.array([1, 1, 1, 0], dtype))
    same(given_by(node("Abs", ["a"], ["y"]), {"a": left})[0], left)


def test_the_lowest_number_by_minus_one_wraps_around() -> None:
    for dtype in ("int8", "int16", "int32", "int64"):
        low = np.iinfo(dtype).min
        feeds = {"a": np.array([low] * 5 + [7], dtype), "b": np.array([-1] * 5 + [-2], dtype)}
        same(given_by(node("Div", ["a", "b"], ["y"]), feeds)[0], np.array([low] * 5 + [-3], dtype))
        module = import_onnx(
            model([node("Div", ["a", "b"], ["y"])], {"a": feeds["a"]}, ["y"], {"b": feeds["b"]})
        )
        same(module(torch.from_numpy(feeds["a"]))[0].numpy(), np.array([low] * 5 + [-3], dtype))


WIDTHS = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]


def shifted(x: int, by: int, left: bool, dtype: str) -> int:
    width = np.dtype(dtype).itemsize * 8
    if not 0 <= by < width:
        return -1 if not left and x < 0 else 0
    if not left:
        return x >> by
    found: int = (x << by) % 2**width
    return found - 2**width if dtype[0] == "i" and found >= 2 ** (width - 1) else found


@given(st.sampled_from(WIDTHS), st.data())
@settings(few, max_examples=60)
def test_shifts_of_every_width_by_any_number(dtype: str, data: st.DataObject) -> None:
    limits = np.iinfo(dtype)
    numbers = st.one_of(
        st.integers(limits.min, limits.max), st.sampled_from([limits.min, limits.max])
    )
    shifts = st.integers(max(-3, limits.min), 8 * np.dtype(dtype).itemsize + 1)
    rows = data.draw(st.lists(st.tuples(numbers, shifts), min_size=1, max_size=6))
    feeds = {
        name: np.array(one, dtype) for name, one in zip("xn", zip(*rows, strict=True), strict=True)
    }
    for direction in ("LEFT", "RIGHT"):
        one = node("BitShift", ["x", "n"], ["y"], direction=direction)
        wanted = [shifted(*row, direction == "LEFT", dtype) for row in rows]
        same(given_by(one, feeds, 28)[0], np.array(wanted, dtype))


TYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@given(
    st.sampled_from(["int32", "int64", "float16", "float32", "float64"]),
    st.sampled_from([*TYPES, "float16", "float32", "float64"]),
    st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 5)), min_size=1, max_size=6),
)
@few
def test_powers_have_the_type_of_the_base(base: str, exponent: str, rows: Any) -> None:
    left, right = (np.array(one) for one in zip(*rows, strict=True))
    feeds = {"x": left.astype(base), "n": right.astype(exponent)}
    wanted = np.array([float(x) ** float(n) for x, n in rows]).astype(base)
    same(given_by(node("Pow", ["x", "n"], ["y"]), feeds)[0], wanted)
    same(given_by(node("Pow", ["x", "n"], ["y"]), feeds | {"n": feeds["n"][0]})[0],
         np.array([float(x) ** float(rows[0][1]) for x, _ in rows]).astype(base))  # fmt: skip


def test_powers_of_whole_numbers_to_exponents_of_any_size() -> None:
    feeds = {"x": np.array([2, -1, 1, -1, 3]), "n": np.array([-1, -3, -2, -4, 2])}
    same(given_by(node("Pow", ["x", "n"], ["y"]), feeds)[0], np.array([0, -1, 1, 1, 9]))
    large = {"x": np.array([3, 2, -1]), "n": np.array([2**63 + 1, 2**63, 2**64 - 1], np.uint64)}
    wanted = [pow(int(x), int(n), 2**64) for x, n in zip(*large.values(), strict=True)]
    same(
        given_by(node("Pow", ["x", "n"], ["y"]), large)[0],
        np.array(wanted, np.uint64).view(np.int64),
    )


def test_a_floored_remainder_of_floats_has_the_divisors_sign_even_as_zero() -> None:
    feeds = {"a": np.array([-0.0, 0.0, 4.0, -7.5, 1.0], np.float32),
             "b": np.array([2.0, -2.0, -2.0, 2.0, -np.inf], np.float32)}  # fmt: skip
    (found,) = given_by(node("Mod", ["a", "b"], ["y"], fmod=0), feeds, 28)
    same(found, np.mod(*feeds.values()))
    assert np.array_equal(np.signbit(found), np.signbit(np.mod(*feeds.values())))
    with pytest.raises(UnsupportedNodeError, match="before version 28"):
        given_by(node("Mod", ["a", "b"], ["y"], fmod=0), feeds, 20)


def test_texts_are_compared_and_chosen() -> None:
    left, right = np.array(["a", "b"], object), np.array([["a"], ["b"]], object)
    whole = built(node("Equal", ["a", "b"], ["y"]), {"a": left, "b": right})
    assert import_onnx(whole)(left, right)[0].tolist() == [[True, False], [False, True]]
    held = {"c": np.array([True, False]), "a": left, "b": left[::-1].copy()}
    whole = built(node("Where", ["c", "a", "b"], ["y"]), held)
    assert import_onnx(whole)(torch.tensor([True, False]), left, left[::-1])[0].tolist() == [
        "a",
        "a",
    ]


@pytest.mark.parametrize(
    "dtype", [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.bfloat16]
)
def test_narrow_floats_are_asked_what_they_are(dtype: Any) -> None:
    x = np.array([1.5, -np.inf, np.inf, np.nan, -2.0]).astype(dtype)
    same(given_by(node("IsNaN", ["x"], ["y"]), {"x": x})[0], np.isnan(x.astype(np.float32)))
    wide = x.astype(np.float32)
    same(given_by(node("IsInf", ["x"], ["y"]), {"x": x})[0], np.isinf(wide))
    up = node("IsInf", ["x"], ["y"], detect_negative=0)
    same(given_by(up, {"x": x})[0], np.isposinf(wide))


def test_bounds_that_cross_and_bounds_of_first_versions() -> None:
    x = np.array([-9, 0, 3, 9], np.int8)
    feeds = {"x": x, "low": np.int8(5), "high": np.int8(-2)}
    same(given_by(node("Clip", ["x", "low", "high"], ["y"]), feeds)[0], np.full(4, -2, np.int8))
    del feeds["low"]
    same(given_by(node("Clip", ["x", "", "high"], ["y"]), feeds)[0], np.minimum(x, -2))
    floats = x.astype(np.float32)
    same(given_by(node("Clip", ["x"], ["y"], max=2.0), {"x": floats}, 1)[0], np.minimum(floats, 2))
    same(given_by(node("Clip", ["x"], ["y"]), {"x": floats.astype(np.float16)}, 6)[0],
         floats.astype(np.float16))  # fmt: skip


def test_whole_numbers_shrink_and_turn_binary() -> None:
    feeds = {"x": np.array([-3, -1, 0, 1, 3, 2**40], np.int64)}
    (found,) = given_by(node("Shrink", ["x"], ["y"], bias=1.5, lambd=1.5), feeds)
    same(found, np.array([-1, 0, 0, 0, 1, 2**40 - 2]))
    one = node("Binarizer", ["x"], ["y"], domain="ai.onnx.ml", threshold=0.5)
    same(given_by(one, feeds)[0], np.array([0, 0, 0, 1, 1, 1]))


def test_a_slope_for_each_channel_in_first_versions() -> None:
    x, slope = normal(2, 3, 3), np.array([0.1, 0.2, 0.3], np.float32)
    wanted = np.where(x < 0, x * slope[:, None], x)
    same(given_by(node("PRelu", ["x", "s"], ["y"]), {"x": x, "s": slope}, 6)[0], wanted)


@given(st.sampled_from(["Softmax", "LogSoftmax", "Hardmax"]), st.integers(-3, 2), st.booleans())
@few
def test_softmax_with_open_lengths(operator: str, axis: int, ranks: bool) -> None:
    feeds = {"x": normal(2, 3, 4)}
    one = node(operator, ["x"], ["y"], axis=axis)
    for opset in (11, 13):
        wanted = onnxruntime_says(built(one, feeds, opset), feeds)[0]
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
@settings(few, max_examples=40)
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


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8", "uint32", "uint64", "bool"])
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
    (known,) = import_onnx(model([one], {}, ["y"], feeds, opset))()
    (computed,) = given_by(one, feeds, opset)
    same(known.numpy(), computed)
    same(given_by(one, feeds, opset, ranks=False)[0], computed)
