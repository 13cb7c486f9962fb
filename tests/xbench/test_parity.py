"""Agreement of outputs with a reference's, and outputs on which it means nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from xbench.parity import TOLERANCE, agreement, compare_outputs, dead_outputs, degenerate
from xbench.result import Parity

Outputs = Mapping[str, NDArray[np.generic]]

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal((64, 100)).astype(np.float32)


def status(reference: NDArray[np.generic], found: NDArray[np.generic], precision: str) -> str:
    return compare_outputs({"y": reference}, {"y": found}, precision).status


# A real model by real runtimes


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small convolutional network with random weights: deep enough to lose digits."""
    rng = np.random.default_rng(7)
    nodes, weights, name, channels = [], [], "x", 3
    for layer in range(8):
        shape = (24, channels, 3, 3)
        scale = np.sqrt(2 / (channels * 9))
        values = (scale * rng.standard_normal(shape)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{layer}"))
        nodes.append(helper.make_node("Conv", [name, f"w{layer}"], [f"c{layer}"], pads=[1] * 4))
        name = f"r{layer}" if layer < 7 else "y"
        nodes.append(helper.make_node("LeakyRelu", [f"c{layer}"], [name]))
        channels = 24
    sizes = {"x": [1, 3, 24, 24], "y": [1, 24, 24, 24]}
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in sizes.items()]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    path = tmp_path_factory.mktemp("parity") / "network.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def by_onnxruntime(path: Path, x: NDArray[np.float32], level: str) -> Outputs:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return {"y": session.run(["y"], {"x": x})[0]}


def by_openvino(path: Path, x: NDArray[np.float32]) -> Outputs:
    import openvino as ov

    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = ov.Core().compile_model(str(path), "CPU", hints)
    return {"y": np.array(compiled({"x": x})[0])}


def by_torch(path: Path, x: NDArray[np.float32], dtype: str) -> Outputs:
    """Return what the same layers, written by hand, give in a precision of torch's."""
    import torch

    kind = getattr(torch, dtype)
    value = torch.from_numpy(x).to(kind)
    for tensor in onnx.load(path).graph.initializer:
        weight = torch.from_numpy(numpy_helper.to_array(tensor).copy()).to(kind)
        value = torch.nn.functional.conv2d(value, weight, padding=1)
        value = torch.nn.functional.leaky_relu(value, 0.01)
    return {"y": value.float().numpy()}


def test_runtimes_at_fp32_agree_and_bfloat16_does_not(network: Path) -> None:
    """With room to a factor of five on both sides."""
    x = RNG.standard_normal((1, 3, 24, 24)).astype(np.float32)
    reference = by_onnxruntime(network, x, "ORT_DISABLE_ALL")
    honest = [
        by_onnxruntime(network, x, "ORT_ENABLE_ALL"),
        by_openvino(network, x),
        by_torch(network, x, "float32"),
    ]
    for outputs in honest:
        found = compare_outputs(reference, outputs, "fp32")
        assert found.status == "agrees"
        assert found.max_rel is None or found.max_rel < TOLERANCE["fp32"] / 5
    half = by_torch(network, x, "bfloat16")
    found = compare_outputs(reference, half, "fp32")
    assert found.status == "disagrees"
    assert (found.max_rel or 0) > TOLERANCE["fp32"] * 5
    assert compare_outputs(reference, half, "bf16").status == "agrees"


# One output


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_side=0), elements=st.floats(width=32)),
    st.sampled_from(sorted(TOLERANCE)),
)
def test_an_output_agrees_with_itself(values: NDArray[np.float32], precision: str) -> None:
    """Whatever is in it: zeros, infinities, not-a-numbers, nothing."""
    found = compare_outputs({"y": values}, {"y": values.copy()}, precision)
    assert (found.status, found.max_abs, found.max_rel) == ("agrees", 0.0, 0.0)
    assert found.cosine == pytest.approx(1.0)


@given(st.integers(0, NORMAL.size - 1), st.floats(0.05, 1e6), st.booleans())
def test_one_wrong_element_is_found_wherever_it_is(place: int, by: float, up: bool) -> None:
    wrong = NORMAL.copy()
    wrong.flat[place] += by if up else -by
    assert status(NORMAL, wrong, "fp32") == "disagrees"


def test_one_wrong_element_among_a_million_is_found() -> None:
    reference = RNG.standard_normal(1_000_003).astype(np.float32)
    for place in (0, 131_072, 1_000_002):
        wrong = reference.copy()
        wrong[place] += 0.05
        found = compare_outputs({"y": reference}, {"y": wrong}, "fp32")
        assert found.status == "disagrees"
        assert found.cosine is not None
        assert found.cosine > 0.999_999  # which is why the cosine alone is no test


@pytest.mark.parametrize("huge", [1e2, 1e3, -3.4e38, np.inf, -np.inf])
def test_a_few_huge_elements_excuse_nothing(huge: float) -> None:
    """Neither an outlier nor a mask's stand-in for infinity sets the scale of the rest."""
    reference = np.tile(NORMAL, (10, 1))
    reference[::100, 0] = huge
    wrong = reference.copy()
    wrong[5, 5] += 0.3
    assert status(reference, reference * np.float32(1 + 1e-6), "fp32") == "agrees"
    assert status(reference, wrong, "fp32") == "disagrees"


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_tolerance_is_of_the_outputs_own_scale(scale: float) -> None:
    reference = (NORMAL * scale).astype(np.float32)
    noise = RNG.uniform(-1, 1, NORMAL.shape) * np.abs(reference).max()
    assert status(reference, (reference + 2e-4 * noise).astype(np.float32), "fp32") == "agrees"
    assert status(reference, (reference + 8e-3 * noise).astype(np.float32), "fp32") == "disagrees"


def test_rounding_where_nearly_all_are_zero_is_no_difference() -> None:
    reference = np.zeros(100_000, np.float32)
    reference[:50] = 1.0
    assert status(reference, reference + np.float32(1e-4), "fp32") == "agrees"


def test_a_difference_from_nothing_but_zeros_is_one() -> None:
    """The relative difference stays finite: it is written as JSON."""
    zeros = np.zeros(8, np.float32)
    found = compare_outputs({"y": zeros}, {"y": zeros + np.float32(1e-3)}, "fp32")
    assert found.status == "disagrees"
    assert found.max_rel is not None
    assert np.isfinite(found.max_rel)
    assert found.cosine == 0.0


@pytest.mark.parametrize(
    ("there", "here"),
    [(np.nan, 1.0), (1.0, np.nan), (np.inf, 1.0), (np.inf, -np.inf), (np.inf, np.nan)],
)
def test_what_is_not_finite_must_be_so_in_the_same_places(there: float, here: float) -> None:
    reference, found = NORMAL.copy(), NORMAL.copy()
    reference[3, 3], found[3, 3] = there, here
    said = compare_outputs({"y": reference}, {"y": found}, "fp32")
    assert said.status == "disagrees"
    assert "1 of its elements" in str(said.reason)
    assert said.structural
    assert said.max_abs is not None
    assert np.isfinite(said.max_abs)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.uint64, ml_dtypes.int4])
def test_whole_numbers_are_equal_or_they_disagree(dtype: type[np.generic]) -> None:
    reference = np.arange(7).astype(dtype)
    wrong = reference.copy()
    wrong[2] = wrong[3]
    assert status(reference, reference.copy(), "bf16") == "agrees"
    said = compare_outputs({"y": reference}, {"y": wrong}, "bf16")
    assert "1 of 7" in str(said.reason)
    assert said.structural


def test_long_integers_are_not_compared_as_floats() -> None:
    reference = np.array([2**53], np.int64)
    assert status(reference, reference + 1, "fp32") == "disagrees"


def test_truth_values_text_and_complex_numbers_are_compared() -> None:
    for reference, wrong in (
        (np.array([True, False]), np.array([True, True])),
        (np.array(["a", "b"]), np.array(["a", "c"])),
        (np.array(["a", "b"], object), np.array(["a", "c"], object)),
        (np.array([1 + 1j, 2]), np.array([1 - 1j, 2])),
        (np.array([1, 2], ml_dtypes.bfloat16), np.array([1, 3], ml_dtypes.bfloat16)),
    ):
        assert status(reference, reference.copy(), "fp32") == "agrees"
        assert status(reference, wrong, "fp32") == "disagrees"


def test_memory_order_does_not_matter() -> None:
    assert status(NORMAL, np.asfortranarray(NORMAL), "fp32") == "agrees"
    assert status(NORMAL[::2, ::3], NORMAL[::2, ::3].copy(), "fp32") == "agrees"


# Several outputs and input sets


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"a": NORMAL}, "output 'b' is missing"),
        ({"a": NORMAL, "b": NORMAL[:1]}, "[1, 100], the reference's [64, 100]"),
        ({"a": NORMAL, "b": NORMAL.astype(np.float16)}, "float16, the reference's float32"),
        ({"a": NORMAL, "b": NORMAL, "c": NORMAL}, "no output 'c'"),
        ({"a": NORMAL, "b": NORMAL * 2}, "output 'b': differs by 1.0e+00"),
    ],
)
def test_the_worst_output_is_named_with_its_reason(outputs: Outputs, words: str) -> None:
    found = compare_outputs({"a": NORMAL, "b": NORMAL}, outputs, "fp32")
    assert found.status == "disagrees"
    assert words in str(found.reason)
    assert found.worst_output == ("c" if "c" in outputs else "b")
    assert found.structural is ("differs by" not in words)  # a tolerance could allow only that


def test_agreement_is_the_worst_of_each() -> None:
    one = Parity("agrees", max_abs=3.0, max_rel=1e-6, cosine=0.9, worst_output="a")
    two = Parity("disagrees", max_abs=1.0, max_rel=0.0, cosine=1.0, worst_output="b", reason="why")
    three = Parity("disagrees", worst_output="c", reason="gone")
    found = agreement([one, two, three])
    assert (found.status, found.worst_output, found.reason) == ("disagrees", "b", "why")
    assert (found.max_abs, found.max_rel, found.cosine) == (3.0, 1e-6, 0.9)
    assert agreement([one]) == one
    assert agreement([two, replace(one, structural=True)]).structural
    assert agreement([]).status == "not_checked"
    assert compare_outputs({}, {}, "fp32").status == "not_checked"


# Outputs that say nothing

LIVE = [{"y": RNG.standard_normal(100)} for _ in range(3)]


def test_outputs_that_depend_on_the_inputs_are_healthy() -> None:
    assert degenerate(LIVE) is None
    assert degenerate(LIVE[:1]) is None
    assert degenerate([{"y": np.array([0.1])}, {"y": np.array([0.2])}]) is None
    assert degenerate([{"y": np.array([3])}]) is None  # one number, one input set: who knows
    assert degenerate([{"y": np.array(["a"])}, {"y": np.array(["b"])}]) is None
    assert degenerate([{"y": np.zeros(0)}, {"y": np.ones(2)}]) is None  # its length tells
    assert degenerate([{"y": np.array([np.inf, 1, 2])}, {"y": np.array([1, np.inf, 2])}]) is None
    masked = np.r_[-np.inf, -3.4e38, RNG.standard_normal(50)]
    assert degenerate([{"y": masked}, {"y": masked * 2}]) is None


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ([np.full(9, 0.5), np.full(9, 0.5)], "constant (0.5 everywhere)"),
        ([np.full(9, 0.5)], "constant"),
        ([np.full((2, 3), True)], "constant"),
        ([np.linspace(1, 1.0005, 9), np.linspace(1, 1.0005, 9)[::-1]], "constant"),
        ([1e-22 * RNG.standard_normal(9), 1e-22 * RNG.standard_normal(9)], "vanishes (at most"),
        ([np.zeros(9)], "vanishes"),
        ([NORMAL, NORMAL], "the same for every input set"),
        ([NORMAL, NORMAL + np.float32(1e-4), NORMAL], "the same for every input set"),
        ([np.array([3]), np.array([3])], "the same for every input set"),
        ([np.array(["a"]), np.array(["a"])], "the same for every input set"),
        ([np.r_[NORMAL[0], np.nan], NORMAL[0, :1].repeat(101)], "not a number"),
        ([np.full(9, np.inf), np.arange(9.0)], "nowhere finite"),
        ([np.zeros(0), np.zeros(0)], "is empty"),
    ],
)
def test_outputs_that_say_nothing_are_named(feeds: list[NDArray[np.generic]], words: str) -> None:
    found = degenerate([{"y": values} for values in feeds])
    assert found is not None
    assert found.startswith("output 'y' ")
    assert words in found


def test_one_output_that_speaks_is_enough_and_the_dead_ones_are_known() -> None:
    feeds = [{**outputs, "dead": np.zeros(4)} for outputs in LIVE]
    assert degenerate(feeds) is None
    assert dead_outputs(feeds) == {"dead": "vanishes (at most 0e+00)"}
    many = [{f"y{i}": np.zeros(4) for i in range(5)}]
    assert str(degenerate(many)).endswith("and 2 more are no better")
    assert degenerate([]) is None
