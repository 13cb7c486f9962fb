"""What is put into other words for LiteRT computes the same, and what it gets wrong is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.adapters.graphs import model, normal
from tests.adapters.litert.graphs import agree, close, session
from xbench.errors import UnsupportedNodeError
from xbench.testing.conformance import infer

INFINITE = np.array([np.inf, -np.inf, 0, np.nan, 3e38, -1], np.float32)


def own_kernels(made: Any) -> str:
    options = made.facts().options
    return str(options["own_kernels"])


@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 1, 1]])
def test_a_pooling_is_padded_beforehand(pads: list[int], ceil: int, tmp_path: Path) -> None:
    """Where negative numbers come in, padding never wins."""
    pool = helper.make_node(
        "MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=pads, ceil_mode=ceil
    )
    agree([pool], {"x": normal(1, 4, 9, 10) - 5}, ["y"], tmp_path)


def test_a_pooling_after_what_is_never_negative_is_xnnpacks_alone(tmp_path: Path) -> None:
    """XNNPACK pads by zero only, which does as well there."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node(
            "MaxPool", ["r"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
        ),
    ]
    weights = {"w": normal(6, 4, 3, 3)}
    made = agree(nodes, {"x": normal(1, 4, 12, 12)}, ["y"], tmp_path, weights, atol=1e-5)
    assert "PAD" not in own_kernels(made)


@pytest.mark.parametrize("extra", [[0, 0], [1, 1]])
def test_a_transposed_convolution_is_cut_afterwards(extra: list[int], tmp_path: Path) -> None:
    """With a bias, which also stands where the result is made longer."""
    node = helper.make_node(
        "ConvTranspose", ["x", "w", "b"], ["y"], strides=[2, 2], pads=[1, 0, 1, 1],
        output_padding=extra,
    )  # fmt: skip
    weights = {"w": normal(4, 5, 3, 3), "b": normal(5, seed=1)}
    agree([node], {"x": normal(1, 4, 6, 7)}, ["y"], tmp_path, weights, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "uint32"])
@pytest.mark.parametrize("operator", ["Equal", "Less", "GreaterOrEqual"])
def test_integers_of_any_width_are_compared(operator: str, dtype: str, tmp_path: Path) -> None:
    ends = np.iinfo(dtype)
    x = np.array([ends.min, ends.max, 1, 2, 3], dtype)
    feeds = {"x": x, "y": np.array([ends.max, ends.max, 1, 3, 2], dtype)}
    node = helper.make_node(operator, ["x", "y"], ["z"])
    found = infer(session(model([node], feeds, ["z"]), feeds, tmp_path), feeds)["z"]
    told = {"Equal": np.equal, "Less": np.less, "GreaterOrEqual": np.greater_equal}
    np.testing.assert_array_equal(found, told[operator](feeds["x"], feeds["y"]))


def test_the_error_function_is_exact_to_a_few_last_digits(tmp_path: Path) -> None:
    feeds = {"x": np.linspace(-6, 6, 4001, dtype=np.float32)}
    agree([helper.make_node("Erf", ["x"], ["y"])], feeds, ["y"], tmp_path, rtol=1e-6, atol=1e-9)


def test_mish_keeps_its_digits_far_below_zero(tmp_path: Path) -> None:
    """As its logarithm of a number near one would not."""
    nodes = [
        helper.make_node("Softplus", ["x"], ["s"]),
        helper.make_node("Tanh", ["s"], ["t"]),
        helper.make_node("Mul", ["x", "t"], ["y"]),
    ]
    x = np.linspace(-15, 90, 2001, dtype=np.float32)
    found = infer(session(model(nodes, {"x": x}, ["y"]), {"x": x}, tmp_path), {"x": x})["y"]
    wide = x.astype(np.float64)
    close(found, wide * np.tanh(np.log1p(np.exp(wide))), rtol=2e-6)


def test_infinities_stay_what_they_are(tmp_path: Path) -> None:
    """The converter would make the largest float of those among the weights."""
    nodes = [
        helper.make_node("IsInf", ["x"], ["infinite"]),
        helper.make_node("IsInf", ["x"], ["below"], detect_positive=0),
        helper.make_node("Where", ["mask", "x", "low"], ["masked"]),
    ]
    feeds = {"x": INFINITE, "mask": np.array([1, 1, 0, 1, 0, 1], bool)}
    weights = {"low": np.array(-np.inf, np.float32)}
    agree(nodes, feeds, ["infinite", "below", "masked"], tmp_path, weights)


def test_scalars_and_empty_results_have_their_shapes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("Slice", ["v", "zero", "zero"], ["none"]),
    ]
    feeds = {"x": np.array(1.5, np.float32), "v": normal(3, 2)}
    agree(nodes, feeds, ["twice", "none"], tmp_path, {"zero": np.array([0])})


REFUSED = {
    "NonMaxSuppression": (
        helper.make_node("NonMaxSuppression", ["b", "s", "most"], ["y"], name="odd"),
        {"b": normal(1, 6, 4), "s": normal(1, 1, 6), "most": np.array([3])},
    ),
    "ReduceMax": (
        helper.make_node("ReduceMax", ["x"], ["y"], name="odd"),
        {"x": np.zeros((2, 0, 4), np.float32)},
    ),
    "DFT": (
        helper.make_node("DFT", ["x"], ["y"], name="odd", onesided=1),
        {"x": normal(1, 10, 1)},
    ),
}


@pytest.mark.parametrize("operator", REFUSED)
def test_what_litert_gets_wrong_is_refused_by_name(operator: str, tmp_path: Path) -> None:
    node, feeds = REFUSED[operator]
    with pytest.raises(UnsupportedNodeError, match="LiteRT") as raised:
        session(model([node], feeds, ["y"]), feeds, tmp_path)
    assert (raised.value.node, raised.value.operator) == ("odd", operator)


def test_an_element_type_that_litert_has_not_is_refused_by_the_nodes_name(tmp_path: Path) -> None:
    node = helper.make_node("Cast", ["x"], ["y"], name="odd", to=17)
    feeds = {"x": normal(3)}
    with pytest.raises(UnsupportedNodeError, match="element type") as raised:
        session(model([node], feeds, ["y"]), feeds, tmp_path)
    assert raised.value.node == "odd"
