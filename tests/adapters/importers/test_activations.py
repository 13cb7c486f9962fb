"""Activations, bounds and choices: every version and element type."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import helper

from tests.adapters.graphs import (
    model,
    normal,
    same,
)
from tests.adapters.importers.chosen import (
    agree,
    given_by,
    import_onnx,
    run,
    said,
)

node = helper.make_node


def test_texts_are_compared_and_chosen() -> None:
    feeds = {"a": np.array(["a", "b"], object), "b": np.array([["a"], ["b"]], object)}
    found = said([node("Equal", ["a", "b"], ["y"])], feeds)
    assert found.tolist() == [[True, False], [False, True]]
    left = feeds["a"]
    feeds = {"c": np.array([True, False]), "a": left, "b": left[::-1].copy()}
    assert said([node("Where", ["c", "a", "b"], ["y"])], feeds).tolist() == ["a", "a"]


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
    del feeds["low"]
    same(given_by(node("Clip", ["x", "", "high"], ["y"]), feeds)[0], np.minimum(x, -2))
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
