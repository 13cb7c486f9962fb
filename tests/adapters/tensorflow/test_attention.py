"""Attention in TensorFlow: what is fused to it, and what masks take."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import helper

from tests.adapters.graphs import Arrays, close, model, normal, reference_says
from tests.adapters.tensorflow.importer import run
from xbench_adapters.tensorflow import import_onnx
from xbench_adapters.tensorflow.lower import attend

node = helper.make_node


def spelled_out(rank: int, mask: bool, scale: float) -> tuple[onnx.ModelProto, Arrays]:
    """Return attention as exporters spell it out, which is fused to one operator."""
    shape = (2, 3, 5, 4)[-rank:]
    feeds = {name: normal(*shape, seed=place) for place, name in enumerate("qkv")}
    turn = [*range(rank - 2), rank - 1, rank - 2]
    nodes = [
        node("Transpose", ["k"], ["t"], perm=turn),
        node("MatMul", ["q", "t"], ["p"]),
        node("Mul", ["p", "f"], ["s"]),
        *([node("Add", ["s", "m"], ["a"])] if mask else []),
        node("Softmax", ["a" if mask else "s"], ["w"], axis=-1),
        node("MatMul", ["w", "v"], ["y"]),
    ]
    weights: dict[str, Any] = {"f": np.float32(scale)}
    weights |= {"m": np.triu(np.full((5, 5), -np.inf, np.float32), 1)} if mask else {}
    return model(nodes, feeds, ["y"], weights, opset=20), feeds


def test_attention_that_is_spelled_out() -> None:
    for rank, mask in ((3, False), (4, False), (4, True)):
        whole, feeds = spelled_out(rank, mask, 0.3)
        module = import_onnx(whole)
        close(run(module, feeds), reference_says(whole, feeds))
        assert [one.operator for one in module.graph.nodes] == ["ScaledDotProductAttention"]


def test_long_causal_masks_are_not_held() -> None:
    short = attend.causal_bias(4, 6, tf.float32)
    np.testing.assert_array_equal(short == 0, np.tri(4, 6, dtype=bool))
    assert attend.causal_bias(1200, 1200, tf.float16).dtype == tf.float16
