"""What XLA lacks is put in other words."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from onnx import helper

from tests.adapters.graphs import model, normal, onnxruntime_says
from xbench_adapters.tensorflow import import_onnx
from xbench_adapters.tensorflow.xla import compile_module

node = helper.make_node


@pytest.mark.parametrize("after", ["Relu", "Neg"])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [1, 0, 0, 1]])
def test_a_pooling_with_any_padding_compiles(after: str, ceil: int, pads: list[int]) -> None:
    """Also where what it pools is below zero, which zeros around it would win over."""
    nodes = [
        node(after, ["x"], ["r"]),
        node(
            "MaxPool", ["r"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=pads, ceil_mode=ceil
        ),
    ]
    feeds = {"x": np.abs(normal(2, 3, 11, 12)).astype(np.float32)}
    made = model(nodes, feeds, ["y"], {})
    (found,) = compile_module(import_onnx(made))(tf.constant(feeds["x"]))
    np.testing.assert_array_equal(found.numpy(), onnxruntime_says(made, feeds)[0])
