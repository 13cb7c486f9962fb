"""Weights: one copy of each, outside the graph, whoever compiles or converts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from onnx import helper

from tests.adapters.graphs import ints, model, normal
from tests.adapters.tensorflow.importer import agree, run
from tests.adapters.tensorflow.test_adapter import python
from xbench_adapters.tensorflow import import_onnx, unfolded
from xbench_adapters.tensorflow.xla import compile_module

if TYPE_CHECKING:
    from pathlib import Path

node = helper.make_node
IMAGE = {"x": normal(1, 32, 6, 6)}


def lstm(direction: str, states: int = 64) -> onnx.NodeProto:
    """Return a network whose matrices ``w`` and ``r`` lie outside of the graph."""
    return node("LSTM", ["x", "w", "r"], ["y"], hidden_size=states, direction=direction)


CASES: dict[str, tuple[onnx.NodeProto, dict[str, Any], dict[str, Any]]] = {
    "matmul": (node("MatMul", ["x", "w"], ["y"]), {"x": normal(2, 3, 80)}, {"w": normal(80, 80)}),
    "matmul from the left": (
        node("MatMul", ["w", "x"], ["y"]),
        {"x": normal(80, 3)},
        {"w": normal(80, 80)},
    ),
    "matmul of a batch": (
        node("MatMul", ["x", "w"], ["y"]),
        {"x": normal(3, 2, 40)},
        {"w": normal(3, 40, 60)},
    ),
    "gemm": (
        node("Gemm", ["x", "w", "b"], ["y"], transB=1, alpha=0.5, beta=2.0),
        {"x": normal(2, 80)},
        {"w": normal(90, 80), "b": normal(90)},
    ),
    "gather": (node("Gather", ["w", "x"], ["y"]), {"x": ints(3, 0)}, {"w": normal(500, 20)}),
    "conv": (node("Conv", ["x", "w"], ["y"]), IMAGE, {"w": normal(32, 32, 3, 3)}),
    "conv by groups": (
        node("Conv", ["x", "w"], ["y"], group=2),
        IMAGE,
        {"w": normal(128, 16, 3, 3)},
    ),
    "depthwise": (
        node("Conv", ["x", "w"], ["y"], group=32),
        IMAGE,
        {"w": normal(512, 1, 3, 3)},
    ),
    "conv transpose": (
        node("ConvTranspose", ["x", "w"], ["y"]),
        IMAGE,
        {"w": normal(32, 32, 3, 3)},
    ),
    "lstm": (
        lstm("bidirectional"),
        {"x": normal(5, 2, 32)},
        {"w": 0.1 * normal(2, 256, 32), "r": 0.1 * normal(2, 256, 64)},
    ),
    "lstm in a loop": (
        lstm("reverse"),
        {"x": normal(200, 1, 32)},
        {"w": 0.1 * normal(1, 256, 32), "r": 0.1 * normal(1, 256, 64)},
    ),
    "gru": (
        node("GRU", ["x", "w", "r"], ["y"], hidden_size=80),
        {"x": normal(5, 2, 32)},
        {"w": 0.1 * normal(1, 240, 32), "r": 0.1 * normal(1, 240, 80)},
    ),
}


def bytes_outside(module: Any) -> int:
    """Return the size of the tensors that the function takes from outside."""
    captures = module.call.get_concrete_function().graph.captures
    return sum(outer.numpy().nbytes for outer, _ in captures)


def bytes_within(module: Any) -> int:
    """Return the size of the largest constants that the graph holds itself."""
    whole = module.call.get_concrete_function().graph.as_graph_def()
    nodes = [*whole.node, *(one for each in whole.library.function for one in each.node_def)]
    return max(
        (one.attr["value"].tensor.ByteSize() for one in nodes if one.op == "Const"), default=0
    )


@pytest.mark.parametrize("case", CASES)
def test_each_weight_is_held_once_and_outside_the_graph(case: str) -> None:
    """However often a graph reads it, as a network that is written out does at every step."""
    one, feeds, weights = CASES[case]
    module = agree([one], feeds, ["y"], weights, rtol=1e-3, atol=1e-4)
    large = [array for array in weights.values() if array.nbytes >= unfolded.LARGE_BYTES]
    assert bytes_outside(module) == sum(array.nbytes for array in large)
    assert bytes_within(module) < unfolded.LARGE_BYTES


@pytest.mark.parametrize("case", ["conv", "depthwise", "conv transpose"])
def test_filters_are_constants_for_onednn(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lays them out anew, of what is no constant in every run."""
    monkeypatch.setattr(unfolded, "onednn_is_on", lambda: True)
    one, feeds, weights = CASES[case]
    module = agree([one], feeds, ["y"], weights, rtol=1e-3, atol=1e-4)
    assert bytes_outside(module) == 0


def test_what_is_widened_stays_in_the_graph() -> None:
    """Else it would be widened in every run."""
    weight = normal(80, 150).astype(np.float16)
    feeds = {"x": normal(2, 80).astype(np.float16)}
    module = agree([node("MatMul", ["x", "w"], ["y"])], feeds, ["y"], {"w": weight}, rtol=1e-2)
    assert bytes_outside(module) == 0


def two_layers() -> tuple[Any, dict[str, Any]]:
    """Return an imported convolution and matrix product, and what they are fed."""
    nodes = [
        node("Conv", ["x", "f"], ["c"]),
        node("Flatten", ["c"], ["r"]),
        node("MatMul", ["r", "w"], ["y"]),
    ]
    weights = {"f": normal(32, 32, 3, 3), "w": 0.1 * normal(512, 20)}
    module = import_onnx(model(nodes, IMAGE, ["y"], weights))
    assert bytes_outside(module) == sum(array.nbytes for array in weights.values())
    return module, IMAGE


def test_xla_compiles_it() -> None:
    module, feeds = two_layers()
    (found,) = compile_module(module)(tf.constant(feeds["x"]))
    np.testing.assert_allclose(found.numpy(), run(module, feeds)[0], rtol=1e-3, atol=1e-3)


def test_the_converter_to_litert_takes_the_weights_along() -> None:
    module, feeds = two_layers()
    concrete = module.call.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    interpreter = Interpreter(model_content=converter.convert(), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], feeds["x"])
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, run(module, feeds)[0], rtol=1e-3, atol=1e-3)


PEAK = """
import sys
import numpy as np
from xbench.adapter import Limits
from xbench_adapters.tensorflow import TensorFlowAdapter, import_onnx

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(one.split()[1]) for one in lines if one.startswith("VmHWM")) * 1024

TensorFlowAdapter().prepare(Limits(threads=1))
import tensorflow as tf
tf.function(lambda x: x @ x, autograph=False)(tf.eye(64))  # what any first run takes
before = peak()
import_onnx(sys.argv[1])(tf.zeros([1, 2048]))
print(peak() - before)
"""


def test_a_model_takes_little_more_memory_than_its_weights(tmp_path: Path) -> None:
    """The file, which is mapped, the one copy that is computed with, and another in the making."""
    side, layers = 2048, 8
    names = ["x", *(f"y{place}" for place in range(layers))]
    nodes = [
        node("MatMul", [names[place], f"w{place}"], [names[place + 1]]) for place in range(layers)
    ]
    weights = {f"w{place}": np.zeros((side, side), np.float32) for place in range(layers)}
    whole = model(nodes, {"x": np.zeros((1, side), np.float32)}, [names[-1]], weights)
    onnx.save(whole, tmp_path / "m.onnx")
    grown = int(python(PEAK, arguments=[str(tmp_path / "m.onnx")]).split()[-1])
    assert grown < 2.5 * layers * side * side * 4
