"""What no method of computing a model saves: the ground of every `does not fit`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from tests.xbench.graphs import FLOAT, INT64, make, node
from tests.xbench.sizing.made import NPU, device
from xbench.flops import infer
from xbench.following import follow_shapes
from xbench.model import bind, read_model
from xbench.sizing.least import Least, least_flops, least_of


def bound_least(model: ModelProto, folder: Path) -> Least:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return least_of(bind(read_model(path)))


def convolution(kernel: int) -> ModelProto:
    weights = {"w": np.ones((8, 4, kernel, kernel), np.float32)}
    nodes = [node("Conv", ["x", "w"], ["y"], pads=[kernel // 2] * 4)]
    shape = (FLOAT, (1, 4, 16, 16))
    return make(nodes, {"x": shape}, {"y": (FLOAT, (1, 8, 16, 16))}, weights)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution_counts_one_product_for_each_output_and_channel(
    kernel: int, tmp_path: Path
) -> None:
    """Winograd's and Fourier's methods save products of the filter's taps, and no others."""
    least = bound_least(convolution(kernel), tmp_path)
    assert least.flops == 2 * 8 * 16 * 16 * 4
    assert least.work.flops == 2 * 8 * 16 * 16 * 4 * kernel**2


def test_a_product_counts_whole(tmp_path: Path) -> None:
    weights = {"w": np.ones((32, 10), np.float32)}
    model = make(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, (4, 32))},
        {"y": (FLOAT, (4, 10))},
        weights,
    )
    assert bound_least(model, tmp_path).flops == 2 * 4 * 32 * 10


def test_what_is_computed_once_or_never_counts_nothing(tmp_path: Path) -> None:
    """A product of constants is folded when a runtime loads; a result nobody takes is dropped."""
    weights = {"a": np.ones((8, 8), np.float32), "b": np.ones((8, 8), np.float32)}
    nodes = [
        node("MatMul", ["a", "b"], ["folded"]),
        node("MatMul", ["x", "folded"], ["y"]),
        node("MatMul", ["y", "b"], ["nobody"]),
    ]
    model = make(nodes, {"x": (FLOAT, (1, 8))}, {"y": (FLOAT, (1, 8))}, weights)
    assert bound_least(model, tmp_path).flops == 2 * 8 * 8


def test_what_depends_on_data_counts_nothing_rather_than_a_guess() -> None:
    """A loop of unknown length is at least no work, and what stands beside it still counts."""
    body = make(
        [node("MatMul", ["v", "w"], ["next"]), node("Identity", ["go"], ["on"])],
        {"i": (INT64, ()), "go": (9, ()), "v": (FLOAT, (1, 8))},
        {"on": (9, ()), "next": (FLOAT, (1, 8))},
    ).graph
    nodes = [
        node("Loop", ["n", "", "x"], ["looped"], body=body),
        node("MatMul", ["looped", "w"], ["y"]),
    ]
    weights = {"w": np.ones((8, 8), np.float32)}
    model = make(
        nodes,
        {"x": (FLOAT, (1, 8)), "n": (INT64, ())},
        {"y": (FLOAT, (1, 8))},
        weights,
    )
    assert least_flops(model, {"x", "n"}) in (0.0, 2 * 8 * 8)


def test_the_floor_is_never_above_the_one_that_counts_all(tmp_path: Path) -> None:
    least = bound_least(convolution(3), tmp_path)
    profile = device(gflops=1.0, gbytes=1.0, accelerators=(NPU,))
    floor_s = least.floor_s(profile, "fp32")
    assert least.work.flops is not None
    assert floor_s is not None
    assert floor_s == pytest.approx(least.flops / 1e9)
    assert floor_s < least.work.flops / 1e9
    assert least.floor_s(profile, "int8", "NPU") == pytest.approx(least.flops / 1e12)
    assert least.floor_s(profile, "fp16") is None  # nobody told its peak there


def test_shapes_are_followed_before_anything_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "open.onnx"
    model = make(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, ("batch", 8))},
        {"y": (FLOAT, ("batch", 8))},
        {"w": np.ones((8, 8), np.float32)},
    )
    path.write_bytes(model.SerializeToString())
    bound = bind(read_model(path), 16)
    assert (
        least_of(bound).flops == least_flops(follow_shapes(infer(bound)), {"x"}) == 2 * 16 * 8 * 8
    )
