"""Arithmetic and logic: every version, element type and open length."""

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
    import_onnx,
    ran,
    run,
)
from tests.adapters.importers.refusals import refused
from xbench.errors import UnsupportedNodeError

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
            unknown = axis is not None and not openness.get("ranks", True)
            with refused("inputs of an unknown rank", when=unknown):
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
        for operator, exact in (("Div", np.floor_divide), ("Mod", np.remainder), ("Less", np.less),
                                ("Max", np.maximum), ("Mul", np.multiply)):  # fmt: skip
            same(given_by(node(operator, ["a", "b"], ["y"]), feeds)[0], exact(left, feeds["b"]))


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
        one, wanted = node("Div", ["a", "b"], ["y"]), np.array([low] * 5 + [-3], dtype)
        same(given_by(one, feeds)[0], wanted)
        known = {"b": feeds.pop("b")}
        same(ran(model([one], feeds, ["y"], known), feeds)[0], wanted)
        for fmod, left in ((0, -1), (1, 1)):
            one = node("Mod", ["a", "b"], ["y"], fmod=fmod)
            same(given_by(one, feeds | known)[0], np.array([0] * 5 + [left], dtype))


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
@examples(60)
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
    first = np.array([float(x) ** float(rows[0][1]) for x, _ in rows]).astype(base)
    scalar = {"n": feeds.pop("n")[0]}
    same(given_by(node("Pow", ["x", "n"], ["y"]), feeds | scalar)[0], first)
    whole = model([node("Pow", ["x", "n"], ["y"])], feeds, ["y"], scalar)
    same(ran(whole, feeds)[0], first)


def test_powers_of_whole_numbers_to_exponents_of_any_size() -> None:
    feeds = {"x": np.array([2, -1, 1, -1, 3]), "n": np.array([-1, -3, -2, -4, 2])}
    same(given_by(node("Pow", ["x", "n"], ["y"]), feeds)[0], np.array([0, -1, 1, 1, 9]))
    large = {"x": np.array([3, 2, -1]), "n": np.array([2**63 + 1, 2**63, 2**64 - 1], np.uint64)}
    wanted = [pow(int(x), int(n), 2**64) for x, n in zip(*large.values(), strict=True)]
    same(
        given_by(node("Pow", ["x", "n"], ["y"]), large)[0],
        np.array(wanted, np.uint64).view(np.int64),
    )


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
