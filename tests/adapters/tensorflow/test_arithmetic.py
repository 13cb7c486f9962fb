"""Arithmetic, logic and activations: every version, element type and layout."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.adapters.pytorch.graphs import (
    model,
    normal,
    same,
)
from tests.adapters.tensorflow.graphs import agree, given_by, run
from xbench.errors import UnsupportedNodeError
from xbench_adapters.tensorflow import import_onnx

few = settings(max_examples=15, deadline=None, derandomize=True)
node = helper.make_node


OLD = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power}


@pytest.mark.parametrize("operator", OLD)
@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_old_operands_lie_where_the_axis_says(operator: str, axis: int | None) -> None:
    x = np.abs(normal(2, 3, 4)) + 0.5
    shape = {0: (2,), 1: (3, 4), 2: (4,), None: (3, 4)}[axis]
    other = np.abs(normal(*shape, seed=1)) + 0.5
    where: dict[str, Any] = {} if axis is None else {"axis": axis}
    one = node(operator, ["x", "w"], ["y"], broadcast=1, **where)
    spread = other.reshape(shape + (1,) * (0 if axis is None else 3 - axis - len(shape)))
    for openness in ({}, {"lengths": False}):
        found = given_by(one, {"x": x, "w": other}, 6, **openness)
        same(found[0], OLD[operator](x, spread))


def test_old_logic_takes_the_axis_too() -> None:
    x, y = normal(2, 3) > 0, np.array([True, False])
    one = node("And", ["x", "y"], ["z"], broadcast=1, axis=0)
    same(given_by(one, {"x": x, "y": y}, 1)[0], x & y[:, None])


EDGES = [0, 1, 2, 3, 5, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1]
large = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**64 - 1))


@given(st.lists(st.tuples(large, large.filter(bool)), min_size=1, max_size=8))
@few
def test_quotients_and_remainders_of_64_bits_without_a_sign(pairs: list[tuple[int, int]]) -> None:
    left, right = (np.array(one, np.uint64) for one in zip(*pairs, strict=True))
    feeds = {"a": left, "b": right}
    for operator, exact in (("Div", np.floor_divide), ("Mod", np.remainder), ("Less", np.less),
                            ("Max", np.maximum), ("Mul", np.multiply)):  # fmt: skip
        same(given_by(node(operator, ["a", "b"], ["y"]), feeds)[0], exact(left, right))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int8", "int16", "int32"])
def test_narrow_whole_numbers(dtype: str) -> None:
    most = np.iinfo(dtype).max
    left, right = np.array([most, most - 1, 7, 0], dtype), np.array([1, most, 2, 5], dtype)
    for operator, exact in (("Div", np.floor_divide), ("Mod", np.remainder), ("Add", np.add),
                            ("Sub", np.subtract), ("Mul", np.multiply), ("Max", np.maximum),
                            ("Min", np.minimum), ("Less", np.less), ("Equal", np.equal),
                            ("BitwiseAnd", np.bitwise_and)):  # fmt: skip
        with np.errstate(over="ignore"):
            wanted = exact(left, right)
        same(given_by(node(operator, ["a", "b"], ["y"]), {"a": left, "b": right})[0], wanted)
    same(given_by(node("Sign", ["a"], ["y"]), {"a": left})[0], np.array([1, 1, 1, 0], dtype))
    same(given_by(node("Abs", ["a"], ["y"]), {"a": left})[0], left)


def test_the_lowest_number_by_minus_one_wraps_around() -> None:
    for dtype in ("int8", "int16", "int32", "int64"):
        low = np.iinfo(dtype).min
        feeds = {"a": np.array([low] * 5 + [7], dtype), "b": np.array([-1] * 5 + [-2], dtype)}
        wanted = np.array([low] * 5 + [-3], dtype)
        same(given_by(node("Div", ["a", "b"], ["y"]), feeds)[0], wanted)
        for fmod, left in ((0, -1), (1, 1)):
            one = node("Mod", ["a", "b"], ["y"], fmod=fmod)
            same(given_by(one, feeds)[0], np.array([0] * 5 + [left], dtype))


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
@settings(few, max_examples=25)
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


@given(
    st.sampled_from(["int32", "int64", "float16", "float32", "float64"]),
    st.sampled_from([*WIDTHS, "float16", "float32", "float64"]),
    st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 5)), min_size=1, max_size=6),
)
@few
def test_powers_have_the_type_of_the_base(base: str, exponent: str, rows: Any) -> None:
    left, right = (np.array(one) for one in zip(*rows, strict=True))
    feeds = {"x": left.astype(base), "n": right.astype(exponent)}
    wanted = np.array([float(x) ** float(n) for x, n in rows]).astype(base)
    same(given_by(node("Pow", ["x", "n"], ["y"]), feeds)[0], wanted)
    whole = model([node("Pow", ["x", "n"], ["y"])], {"x": feeds["x"]}, ["y"], {"n": feeds["n"][0]})
    first = np.array([float(x) ** float(rows[0][1]) for x, _ in rows]).astype(base)
    same(run(import_onnx(whole), {"x": feeds["x"]})[0], first)


def test_powers_of_whole_numbers_to_exponents_of_any_size() -> None:
    feeds = {"x": np.array([2, -1, 1, -1, 3]), "n": np.array([-1, -3, -2, -4, 2])}
    same(given_by(node("Pow", ["x", "n"], ["y"]), feeds)[0], np.array([0, -1, 1, 1, 9]))
    huge = {"x": np.array([3, 2, -1]), "n": np.array([2**63 + 1, 2**63, 2**64 - 1], np.uint64)}
    wanted = [pow(int(x), int(n), 2**64) for x, n in zip(*huge.values(), strict=True)]
    found = given_by(node("Pow", ["x", "n"], ["y"]), huge)[0]
    same(found, np.array(wanted, np.uint64).view(np.int64))


@pytest.mark.parametrize("layout", ["as it is", "channels last"])
def test_a_division_by_what_is_known_is_one(layout: str) -> None:
    """The graph's optimiser would multiply by a reciprocal, and floors would be others."""
    x = np.arange(4 * 3 * 50, dtype=np.float32).reshape(1, 4, 30, 5)
    parts = np.array([3, 7, 49, 4], np.float32).reshape(4, 1, 1)
    nodes = [node("Div", ["p", "w"], ["q"]), node("Floor", ["q"], ["y"])]
    if layout == "as it is":
        nodes.insert(0, node("Identity", ["x"], ["p"]))
    else:
        nodes.insert(0, node("MaxPool", ["x"], ["p"], kernel_shape=[1, 1]))
    whole = model(nodes, {"x": x}, ["q", "y"], {"w": parts})
    quotients, floors = run(import_onnx(whole), {"x": x})
    np.testing.assert_array_equal(quotients, x / parts)
    np.testing.assert_array_equal(floors, np.floor(x / parts))


def test_a_floored_remainder_of_floats_has_the_divisors_sign_even_as_zero() -> None:
    feeds = {"a": np.array([-0.0, 0.0, 4.0, -7.5, 1.0], np.float32),
             "b": np.array([2.0, -2.0, -2.0, 2.0, -np.inf], np.float32)}  # fmt: skip
    (found,) = given_by(node("Mod", ["a", "b"], ["y"], fmod=0), feeds, 28)
    same(found, np.mod(*feeds.values()))
    assert np.array_equal(np.signbit(found), np.signbit(np.mod(*feeds.values())))
    with pytest.raises(UnsupportedNodeError, match="before version 28"):
        given_by(node("Mod", ["a", "b"], ["y"], fmod=0), feeds, 20)


@pytest.mark.parametrize(
    "dtype", [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.bfloat16, np.float64]
)
def test_narrow_floats_are_asked_what_they_are(dtype: Any) -> None:
    x = np.array([1.5, -np.inf, np.inf, np.nan, -2.0]).astype(dtype)
    wide = x.astype(np.float32)
    same(given_by(node("IsNaN", ["x"], ["y"]), {"x": x})[0], np.isnan(wide))
    same(given_by(node("IsInf", ["x"], ["y"]), {"x": x})[0], np.isinf(wide))
    up = node("IsInf", ["x"], ["y"], detect_negative=0)
    same(given_by(up, {"x": x})[0], np.isposinf(wide))


def test_bounds_that_cross_and_bounds_of_first_versions() -> None:
    x = np.array([-9, 0, 3, 9], np.int8)
    feeds = {"x": x, "low": np.int8(5), "high": np.int8(-2)}
    same(given_by(node("Clip", ["x", "low", "high"], ["y"]), feeds)[0], np.full(4, -2, np.int8))
    floats = x.astype(np.float32)
    same(given_by(node("Clip", ["x"], ["y"], max=2.0), {"x": floats}, 1)[0], np.minimum(floats, 2))
    half = {"x": floats.astype(np.float16)}
    same(given_by(node("Clip", ["x"], ["y"]), half, 6)[0], half["x"])
    for bounds in ((0.0, 6.0), (0.0, None), (-1.0, 2.0), (3.0, 1.0)):
        weights = {n: np.float32(b) for n, b in zip("lh", bounds, strict=True) if b is not None}
        names = ["x", *(name if name in weights else "" for name in "lh")]
        agree([node("Clip", names, ["y"])], {"x": floats}, ["y"], weights)


NOT_NUMBERS = [
    node("Relu", ["x"], ["y"]), node("Max", ["x", "x"], ["y"]), node("Min", ["x", "x"], ["y"]),
    node("Clip", ["x"], ["y"]), node("ReduceMax", ["x"], ["y"]), node("ReduceMin", ["x"], ["y"]),
    node("LeakyRelu", ["x"], ["y"]), node("Softplus", ["x"], ["y"]), node("Elu", ["x"], ["y"]),
    node("HardSwish", ["x"], ["y"]), node("Selu", ["x"], ["y"]), node("Gelu", ["x"], ["y"]),
    node("Round", ["x"], ["y"]), node("Tanh", ["x"], ["y"]), node("Sigmoid", ["x"], ["y"]),
]  # fmt: skip


@pytest.mark.parametrize("one", NOT_NUMBERS, ids=lambda one: one.op_type)
def test_what_is_no_number_stays_none(one: Any) -> None:
    x = np.array([np.nan, np.nan, 1, -1, np.nan] * 7, np.float32)
    found = given_by(one, {"x": x})[0]
    assert np.isnan(found).sum() in (np.isnan(x).sum(), found.size)
    if one.op_type in ("Relu", "Clip"):
        weights = {"l": np.float32(0), "h": np.float32(6)}
        whole = model([node("Clip", ["x", "l", "h"], ["y"])], {"x": x}, ["y"], weights)
        assert np.isnan(run(import_onnx(whole), {"x": x})[0]).sum() == np.isnan(x).sum()


ACTIVATIONS: dict[str, dict[str, Any]] = {
    "Celu": {"alpha": 0.7}, "Elu": {"alpha": 1.3}, "HardSigmoid": {"alpha": 0.3},
    "HardSwish": {}, "LeakyRelu": {"alpha": 1.5}, "Mish": {}, "Selu": {}, "Softplus": {},
    "Softsign": {}, "ThresholdedRelu": {"alpha": 0.5}, "Gelu": {}, "Erf": {}, "Sigmoid": {},
    "Shrink": {"bias": 0.2, "lambd": 0.4}, "Sign": {}, "Asinh": {}, "Atan": {}, "Round": {},
}  # fmt: skip


@pytest.mark.parametrize("operator", ACTIVATIONS)
def test_activations_from_end_to_end(operator: str) -> None:
    x = np.concatenate([normal(40) * 4, np.array([-100, -30, -0.0, 0, 30, 85], np.float32)])
    agree([node(operator, ["x"], ["y"], **ACTIVATIONS[operator])], {"x": x}, ["y"], atol=2e-6)


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
