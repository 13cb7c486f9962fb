"""Graphs in int8: what is quantised, on which grid, and what is refused."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from xbench.errors import BackendUnavailableError, ModelError, UsageError
from xbench.graph.precision import quantize
from xbench.graph.precision.convert import MODEL, Given, convert
from xbench.inputs import save_feeds
from xbench.parity import compare_outputs

Feeds = Mapping[str, Any]
CONVOLUTIONS = """g (float[batch, 3, 8, 8] x) => (float[batch, 4] y) {
    a = Conv<pads=[1, 1, 1, 1]>(x, w, b)  c = Relu(a)  d = MaxPool<kernel_shape=[2, 2]>(c)
    e = Conv<pads=[1, 1, 1, 1]>(d, v)  f = Relu(e)  h = GlobalAveragePool(f)  i = Flatten(h)
    y = Gemm<transB=1>(i, u, t) }"""
ATTENTION = """g (float[batch, 6, 16] x) => (float[batch, 6, 16] y) {
    q = MatMul(x, wq)  k = MatMul(x, wk)  kt = Transpose<perm=[0, 2, 1]>(k)
    s = MatMul(q, kt)  p = Softmax(s)  y = MatMul(p, x) }"""


def model(body: str, opset: int = 20, weights: Mapping[str, Any] | None = None) -> ModelProto:
    made = parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}, "own" : 1]> {body}')
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(a), name) for name, a in (weights or {}).items()
    )
    return made


def x(*shape: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def convolutions(opset: int = 20) -> ModelProto:
    """Return two convolutions with a rectifier each, and a product."""
    weights = {"w": x(8, 3, 3, 3), "b": x(8), "v": x(6, 8, 3, 3), "u": x(4, 6), "t": x(4)}
    return model(CONVOLUTIONS, opset, weights)


def quantised(
    made: ModelProto, folder: Path, sets: Sequence[Feeds], *, saturates: bool = True
) -> tuple[ModelProto, dict[str, Any]]:
    """Return the model in int8, and the report."""
    work, out = folder / "work", folder / "out"
    work.mkdir(parents=True)
    out.mkdir()
    onnx.save(made, folder / "given.onnx")
    save_feeds(folder / "sets.npz", sets)
    given = Given(folder / "given.onnx", out, work, folder / "sets.npz", saturates)
    report = convert(given, "int8")
    return onnx.load(out / MODEL) if not report["unchanged"] else made, report


def run(made: ModelProto, feeds: Feeds) -> dict[str, Any]:
    names = [one.name for one in made.graph.output]
    found: Sequence[Any] = ReferenceEvaluator(made).run(None, dict(feeds))  # type: ignore[assignment]
    return dict(zip(names, found, strict=True))


def values(made: ModelProto) -> dict[str, Any]:
    return {one.name: numpy_helper.to_array(one) for one in made.graph.initializer}


def nodes(made: ModelProto, operator: str) -> list[NodeProto]:
    return [node for node in made.graph.node if node.op_type == operator]


def images(count: int = 4, batch: int = 1) -> list[Feeds]:
    return [{"x": x(batch, 3, 8, 8, seed=seed)} for seed in range(10, 10 + count)]


def test_products_take_int8_on_a_symmetric_grid(tmp_path: Path) -> None:
    """Zero points are 0, weights have a scale for each channel, and biases stay float32."""
    after, report = quantised(convolutions(), tmp_path, images())
    held = values(after)
    makers = {name: node for node in after.graph.node for name in node.output}
    products = [node for node in after.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(products) == report["narrow_nodes"] == 3
    assert report["kept_float32"] == {}
    for node in products:
        taken, weight = makers[node.input[0]], makers[node.input[1]]
        assert taken.op_type == weight.op_type == "DequantizeLinear"
        stored = held[weight.input[0]]
        assert stored.dtype == np.int8
        assert held[weight.input[1]].shape == (stored.shape[0],)
        assert held[taken.input[1]].ndim == 0
        assert all(held[name].dtype == np.float32 for name in node.input[2:])
    grids = nodes(after, "QuantizeLinear") + nodes(after, "DequantizeLinear")
    assert {held[node.input[2]].dtype for node in grids} == {np.dtype(np.int8)}
    assert not any(held[node.input[2]].any() for node in grids)


def test_the_outputs_agree_and_are_not_the_same(tmp_path: Path) -> None:
    """By the reference evaluator and by ONNX Runtime, at a batch that was not calibrated."""
    before = convolutions()
    after, _ = quantised(before, tmp_path, images())
    feeds = images(1, batch=3)[0]
    expected = run(before, feeds)
    session = ort.InferenceSession(after.SerializeToString(), providers=["CPUExecutionProvider"])
    fast = {"y": session.run(None, feeds)[0]}
    for found in (run(after, feeds), fast):
        assert compare_outputs(expected, found, "int8").status == "agrees"
        assert (expected["y"] != found["y"]).any()


def test_names_types_and_open_axes_outside_are_as_they_were(tmp_path: Path) -> None:
    """Calibrated at one batch, the file still takes any."""
    before = convolutions()
    after, _ = quantised(before, tmp_path, images())

    def ends(made: ModelProto) -> list[tuple[str, int, list[int | str]]]:
        return [
            (
                one.name,
                one.type.tensor_type.elem_type,
                [d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim],
            )
            for one in [*made.graph.input, *made.graph.output]
        ]

    assert ends(after) == ends(before)


def test_onnx_runtime_computes_its_convolutions_in_int8(tmp_path: Path) -> None:
    """What is rounded where is what ONNX Runtime needs to take its int8 kernels."""
    after, _ = quantised(convolutions(), tmp_path, images())
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(after.SerializeToString(), options, providers=["CPUExecutionProvider"])
    fused = Counter(n.op_type for n in onnx.load(tmp_path / "fused.onnx").graph.node)
    assert fused["QLinearConv"] == 2
    assert fused["Gemm"] + fused["QGemm"] == 1


def test_what_a_rectifier_follows_is_rounded_once(tmp_path: Path) -> None:
    """Before and after it the grid is one, so that the second rounding changes nothing."""
    after, _ = quantised(convolutions(), tmp_path, images())
    held = values(after)
    grids = {node.input[0]: held[node.input[1]] for node in nodes(after, "QuantizeLinear")}
    assert grids["a"] == grids["d"]


def test_the_last_convolution_gives_its_result_unrounded(tmp_path: Path) -> None:
    """A model's own output has more than the 256 values of an int8 grid."""
    made = model(
        "g (float[1, 2, 32, 32] x) => (float[1, 2, 32, 32] y) { y = Conv(x, w) }",
        weights={"w": x(2, 2, 1, 1)},
    )
    after, _ = quantised(made, tmp_path, [{"x": x(1, 2, 32, 32)}])
    assert after.graph.node[-1].op_type == "Conv"
    assert [one.name for one in after.graph.output] == ["y"]
    assert len(np.unique(run(after, {"x": x(1, 2, 32, 32)})["y"][0, 0])) > 256


def test_products_of_two_values_stay_float32_and_are_told(tmp_path: Path) -> None:
    """Attention's own products are no int8: the report counts them."""
    made = model(ATTENTION, weights={"wq": x(16, 16) / 4, "wk": x(16, 16) / 4})
    after, report = quantised(made, tmp_path, [{"x": x(1, 6, 16)}])
    assert report["narrow_nodes"] == 2
    assert report["kept_float32"] == {"MatMul": 2}
    assert "2 MatMul stay float32" in report["notes"][0]
    assert compare_outputs(run(made, {"x": x(1, 6, 16)}), run(after, {"x": x(1, 6, 16)}), "int8")


@pytest.mark.parametrize(("saturates", "largest"), [(True, 64), (False, 127)])
def test_weights_have_the_bits_that_the_cpu_can_add(
    tmp_path: Path, saturates: bool, largest: int
) -> None:
    """Where two products of 8 bits overflow the sum, weights take 7, and the report says so."""
    after, report = quantised(convolutions(), tmp_path, images(), saturates=saturates)
    stored = [a for a in values(after).values() if a.dtype == np.int8 and a.ndim > 1]
    assert max(int(np.abs(a.astype(int)).max()) for a in stored) == largest
    assert report["weight_bits"] == (7 if saturates else 8)
    assert any("7 bits" in note for note in report["notes"]) == saturates


def test_an_old_operator_set_is_brought_to_one_with_scales_for_channels(tmp_path: Path) -> None:
    """Scales for each channel exist since operator set 13."""
    before = convolutions(opset=11)
    after, _ = quantised(before, tmp_path, images())
    assert next(one.version for one in after.opset_import if not one.domain) >= 13
    feeds = images(1)[0]
    session = ort.InferenceSession(after.SerializeToString(), providers=["CPUExecutionProvider"])
    found = {"y": session.run(None, feeds)[0]}
    assert compare_outputs(run(before, feeds), found, "int8").status == "agrees"


def test_functions_of_the_model_are_written_out(tmp_path: Path) -> None:
    """A product within a model's own function is quantised as well."""
    before = model(
        """g (float[n, 8] x) => (float[n, 8] y) { y = own.f(x, w) }
           <domain: "own", opset_import: ["" : 20]> f (a, b) => (c) { c = MatMul(a, b) }""",
        weights={"w": x(8, 8)},
    )
    after, report = quantised(before, tmp_path, [{"x": x(4, 8)}])
    assert report["narrow_nodes"] == len(nodes(after, "MatMul")) == 1


def test_weights_that_are_too_many_for_a_file_lie_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of more than its file can hold keeps its quantised weights in another."""
    monkeypatch.setattr(quantize, "ONE_FILE_BYTES", 1000)
    before = model(
        "g (float[n, 64] x) => (float[n, 64] y) { y = MatMul(x, w) }", weights={"w": x(64, 64)}
    )
    original = ModelProto()
    original.CopyFrom(before)
    after, _ = quantised(before, tmp_path, [{"x": x(4, 64)}])
    assert (tmp_path / "out" / MODEL).stat().st_size < 3000
    feeds = {"x": x(4, 64)}
    assert compare_outputs(run(original, feeds), run(after, feeds), "int8").status == "agrees"


@settings(deadline=None, max_examples=8)
@given(
    channels=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    groups=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_chain_of_convolutions_is_a_valid_int8_model(
    tmp_path_factory: pytest.TempPathFactory, channels: list[int], groups: bool, seed: int
) -> None:
    """Grouped or not, with rectifiers or without: every product takes int8, and it runs."""
    rng = np.random.default_rng(seed)
    body, weights, width, last = "", {}, 3, "x"
    for at, count in enumerate(channels):
        group = width if groups and count % width == 0 else 1
        weights[f"w{at}"] = rng.standard_normal((count, width // group, 3, 3), np.float32)
        padded = f"Conv<group={group}, pads=[1, 1, 1, 1]>({last}, w{at})"
        body += f" c{at} = {padded} " + (
            f"v{at} = Relu(c{at}) " if at % 2 else f"v{at} = Tanh(c{at}) "
        )
        width, last = count, f"v{at}"
    made = model(
        f"g (float[n, 3, 6, 6] x) => (float[n, {width}, 6, 6] y) {{ {body} y = Neg({last}) }}",
        weights=weights,
    )
    after, report = quantised(made, tmp_path_factory.mktemp("chain"), [{"x": x(1, 3, 6, 6)}])
    assert report["narrow_nodes"] == len(channels)
    found = run(after, {"x": x(2, 3, 6, 6)})["y"]
    assert found.shape == (2, width, 6, 6)
    assert np.isfinite(found).all()


def test_a_model_that_is_quantised_already_is_left_alone(tmp_path: Path) -> None:
    """Quantising twice changes nothing the second time."""
    after, _ = quantised(convolutions(), tmp_path / "once", images())
    _, report = quantised(after, tmp_path / "twice", images())
    assert report["unchanged"]


def test_a_model_without_products_is_refused(tmp_path: Path) -> None:
    """Nothing of it would be int8."""
    made = model("g (float[n] x) => (float[n] y) { y = Relu(x) }")
    with pytest.raises(UsageError, match="no product of float32"):
        quantised(made, tmp_path, [{"x": x(4)}])


def test_calibration_that_overflows_is_refused(tmp_path: Path) -> None:
    """A scale that is infinite or not a number is no scale."""
    made = model(
        "g (float[n, 4] x) => (float[n, 4] y) { a = Exp(x)  y = MatMul(a, w) }",
        weights={"w": x(4, 4)},
    )
    with pytest.raises((UsageError, ModelError), match=r"scale|quantise"):
        quantised(made, tmp_path, [{"x": np.full((1, 4), 1e3, np.float32)}])


def test_without_onnx_runtime_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool is ONNX Runtime's; the message has the command."""
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    with pytest.raises(BackendUnavailableError, match=r"xbench\[onnxruntime\]"):
        quantised(convolutions(), tmp_path, images())


def test_the_types_are_what_tensorrt_takes(tmp_path: Path) -> None:
    """No 32-bit bias goes through DequantizeLinear, which TensorRT does not take."""
    after, _ = quantised(convolutions(), tmp_path, images())
    inferred = onnx.shape_inference.infer_shapes(after, strict_mode=True)
    kinds = {one.name: one.type.tensor_type.elem_type for one in inferred.graph.value_info}
    kinds |= {one.name: one.data_type for one in after.graph.initializer}
    taken = {kinds[node.input[0]] for node in nodes(after, "DequantizeLinear")}
    assert taken == {TensorProto.INT8}
