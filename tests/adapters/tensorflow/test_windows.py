"""Convolutions in TensorFlow: their layout, and what oneDNN would end over."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import helper

from tests.adapters.graphs import normal
from tests.adapters.importers.test_windows import sums_in_32_bits
from tests.adapters.tensorflow.importer import agree, kinds_of

node = helper.make_node


def test_images_stay_as_they_are_between_convolutions() -> None:
    """One turn at the start and one at the end."""
    weights = {"w": normal(4, 3, 3, 3), "v": normal(4, 1, 3, 3), "b": normal(4)}
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("MaxPool", ["r"], ["m"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        node("Conv", ["m", "v"], ["c"], group=4, pads=[1] * 4),
        node("Add", ["m", "c"], ["s"]),
        node("AveragePool", ["s"], ["y"], kernel_shape=[2, 2]),
    ]
    module = agree(nodes, {"x": normal(2, 3, 9, 9)}, ["y"], weights)
    kinds = kinds_of(module)
    assert kinds.count("Transpose") == 2
    assert {"Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool"} <= set(kinds)
    assert not any("Pad" in kind for kind in kinds)


def test_convolutions_of_each_channel_are_not_padded_by_their_kernel() -> None:
    """With oneDNN, TensorFlow ends the process over such padding beside a bias."""
    weights = {"w": normal(4, 1, 3, 3), "b": normal(4)}
    one = node("Conv", ["x", "w", "b"], ["y"], group=4, pads=[1] * 4, strides=[2, 2])
    module = agree([one], {"x": normal(2, 4, 8, 8)}, ["y"], weights)
    for part in module.call.get_concrete_function().graph.get_operations():
        if part.type == "DepthwiseConv2dNative":
            assert part.get_attr("padding") != b"EXPLICIT"


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_transposed_convolutions_in_16_bits_are_summed_in_32(dtype: Any) -> None:
    """PyTorch's own kernel sums in 16."""
    sums_in_32_bits(node("ConvTranspose", ["x", "w"], ["y"], group=2), dtype)
