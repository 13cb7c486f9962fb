"""Files of a narrower arithmetic than float32, through the default variant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.adapters.graphs import model, normal, onnxruntime_says
from tests.adapters.litert.graphs import LIMITS, bound
from tests.adapters.narrow import halved, quantised
from xbench.errors import UnsupportedNodeError
from xbench.testing.conformance import infer
from xbench_adapters.litert import LiteRtAdapter
from xbench_adapters.litert.flatbuffer import QDQ, flatbuffer, read

FEEDS = {"x": normal(1, 8, 8, 8)}
SETS = [{"x": normal(1, 8, 8, 8, seed=seed)} for seed in range(7, 11)]
WEIGHTS = {
    "k": normal(16, 8, 3, 3, seed=1) / 8,
    "d": normal(16, 1, 3, 3, seed=2) / 3,
    "w": normal(16 * 16, 10, seed=5) / 16,
}
NODES = [
    helper.make_node("Conv", ["x", "k"], ["c"]),
    helper.make_node("Relu", ["c"], ["r"]),
    helper.make_node("Conv", ["r", "d"], ["e"], group=16),
    helper.make_node("Flatten", ["e"], ["f"]),
    helper.make_node("MatMul", ["f", "w"], ["y"]),
]


def load(whole: onnx.ModelProto, folder: Path, precision: str) -> Any:
    adapter = LiteRtAdapter()
    adapter.prepare(LIMITS)
    return adapter.load(bound(whole, FEEDS, folder / "m.onnx"), LIMITS, precision)


def of(tensors: Any, name: str) -> np.ndarray[Any, Any]:
    return next(numpy_helper.to_array(one) for one in tensors if one.name == name)


def test_a_quantised_file_is_computed_in_int8_by_its_own_scales(tmp_path: Path) -> None:
    """LiteRT's own kernels multiply the file's own numbers, and agree with who simulates them."""
    made = quantised(model(NODES, FEEDS, ["y"], WEIGHTS, 21), SETS)
    session = load(made, tmp_path, "int8")
    facts = session.facts()
    assert facts.precision == "int8"
    assert facts.options["weights"] == "int8"
    interpreter = session._interpreter
    tensors = interpreter.get_tensor_details()
    kernel = next(one for one in tensors if list(one["shape"]) == [16, 3, 3, 8])
    found = interpreter.get_tensor(kernel["index"]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(found, of(made.graph.initializer, "k_quantized"))
    scales = [one["quantization_parameters"]["scales"] for one in tensors]
    wanted = of(made.graph.initializer, "x_scale")
    assert any(len(one) == 1 and np.isclose(one[0], wanted, rtol=1e-6) for one in scales)
    (right,) = onnxruntime_says(made, FEEDS)
    step = float(of(made.graph.initializer, "y_scale"))
    off = np.abs(infer(session, FEEDS)["y"] - right)
    assert off.max() < 2.5 * step  # what is halfway is rounded in two ways, thrice in a row


def test_at_fp32_a_quantised_file_is_simulated_in_float32(tmp_path: Path) -> None:
    """Whoever brings such a file and asks for fp32 gets its values, to float32's last digits."""
    made = quantised(model(NODES, FEEDS, ["y"], WEIGHTS, 21), SETS)
    session = load(made, tmp_path, "fp32")
    assert session.facts().precision == "fp32"
    (right,) = onnxruntime_says(made, FEEDS)
    step = float(of(made.graph.initializer, "y_scale"))
    assert np.abs(infer(session, FEEDS)["y"] - right).max() < 1.5 * step


def test_what_the_file_does_not_quantise_stays_float32() -> None:
    """No weight is quantised that the file has in float32, whether others are or not."""
    made = quantised(model(NODES[:1], FEEDS, ["c"], {"k": WEIGHTS["k"]}, 21), SETS)
    more = [
        helper.make_node("Flatten", ["c"], ["f"]),
        helper.make_node("MatMul", ["f", "big"], ["y"]),
    ]
    made.graph.node.extend(more)
    big = normal(16 * 36, 64, seed=6)
    made.graph.initializer.append(numpy_helper.from_array(big, "big"))
    made.graph.output[0].CopyFrom(onnx.ValueInfoProto(name="y"))
    plain = model(NODES, FEEDS, ["y"], WEIGHTS, 21)
    for whole, weight in ((made, big), (plain, WEIGHTS["w"])):
        found = flatbuffer(read(whole, {}), QDQ)
        assert np.ascontiguousarray(weight.T).tobytes() in found


def test_halves_of_a_product_are_multiplied_in_float32_and_it_says_so(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    whole = halved([node], FEEDS, ["y"], {"w": normal(8, 4)}, "fp16")
    session = load(whole, tmp_path, "fp16")
    assert session.facts().precision == "fp32"
    found: Any = infer(session, FEEDS)["y"]
    np.testing.assert_allclose(found, onnxruntime_says(whole, FEEDS)[0], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("precision", "type_"), [("fp16", "float16"), ("bf16", "bfloat16")])
def test_an_operator_that_it_has_only_in_float32_is_refused_by_name(
    tmp_path: Path, precision: str, type_: str
) -> None:
    whole = halved(NODES, FEEDS, ["y"], WEIGHTS, precision)
    with pytest.raises(UnsupportedNodeError, match=f"LiteRT has no .* in {type_}"):
        load(whole, tmp_path, precision)
