"""Weights in float16 and bfloat16, files of them, and models that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from tests.xbench.graph.narrow_models import (
    BOTH,
    FLOAT,
    KINDS,
    assert_narrower,
    converted,
    mlp,
    model,
    refusal,
    run,
    session,
    x,
)
from xbench.errors import UnsupportedNodeError, UsageError
from xbench.graph.precision import weights
from xbench.graph.precision.convert import MODEL, Given, convert
from xbench.parity import compare_outputs


def test_onnx_runtime_runs_it_and_agrees(tmp_path: Path) -> None:
    """A float16 file loads in ONNX Runtime, which gives what the reference evaluator gives."""
    before = mlp()
    after = converted(before, tmp_path, "fp16")
    feeds = {"x": x(5, 16)}
    found = {"y": session(after).run(None, feeds)[0]}
    assert compare_outputs(run(before, feeds), found, "fp16").status == "agrees"


def test_it_computes_what_onnx_runtimes_own_tool_makes(tmp_path: Path) -> None:
    """On a plain graph the float16 file is the same arithmetic as that of the field's tool."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    before = mlp()
    ours = session(converted(before, tmp_path, "fp16"))
    theirs = session(convert_float_to_float16(before, keep_io_types=True))
    feeds = {"x": x(5, 16)}
    np.testing.assert_array_equal(ours.run(None, feeds)[0], theirs.run(None, feeds)[0])


@BOTH
def test_weights_are_rounded_once_from_float32(tmp_path: Path, precision: str) -> None:
    """A weight is its float32 value rounded to the type, not by way of another type."""
    value = np.array([1 + 2**-8 + 2**-14, 1 / 3], np.float32)  # by way of float16: rounds down
    made = model("g (float[2] x) => (float[2] y) { y = Mul(x, w) }", weights={"w": value})
    [weight] = converted(made, tmp_path, precision).graph.initializer
    dtype = np.float16 if precision == "fp16" else ml_dtypes.bfloat16
    expected = value.astype(dtype)
    assert numpy_helper.to_array(weight).tobytes() == expected.tobytes()


def test_values_beyond_the_range_stay_finite_and_are_named(tmp_path: Path) -> None:
    """float16 ends at 65504: a larger weight is brought to it and told, a mask's bound is not."""
    made = model(
        """g (float[2] x) => (float[2] y, float[2] z) {
           y = Mul(x, w)  a = Add(x, mask)  z = Div(a, eps) }""",
        weights={
            "w": np.array([1e6, -2], np.float32),
            "mask": np.float32(np.finfo(np.float32).min),
            "eps": np.float32(1e-12),
        },
    )
    onnx.save(made, tmp_path / "given.onnx")
    report = convert(Given(tmp_path / "given.onnx", tmp_path, tmp_path), "fp16")
    held = {o.name: o for o in onnx.load(tmp_path / MODEL).graph.initializer}
    values = {name: numpy_helper.to_array(one) for name, one in held.items()}
    assert values["w"].tolist() == [65504, -2]
    assert values["mask"] == -65504
    assert values["eps"] > 0
    assert report["beyond_range"] == {"w": 1e6}
    assert "'w'" in report["notes"][0]
    assert "1e+06" in report["notes"][0]


def test_large_weights_are_narrowed_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fits in memory at once, each value becomes what it becomes alone."""
    monkeypatch.setattr(weights, "PIECE", 7)
    value = x(40, 40) * np.float32(10) ** np.arange(-20, 20, dtype=np.float32)
    made = model("g (float[n, 40] x) => (float[n, 40] y) { y = Mul(x, w) }", weights={"w": value})
    [weight] = converted(made, tmp_path, "bf16").graph.initializer
    found = numpy_helper.to_array(weight)
    assert found.tobytes() == value.astype(ml_dtypes.bfloat16).tobytes()


def test_infinite_weights_stay_so(tmp_path: Path) -> None:
    """What is infinite or not a number says something, and says the same afterwards."""
    value = np.array([np.inf, -np.inf, np.nan, 3e38], np.float32)
    made = model("g (float[4] x) => (float[4] y) { y = Add(x, w) }", weights={"w": value})
    [weight] = converted(made, tmp_path, "bf16").graph.initializer
    found = numpy_helper.to_array(weight).astype(np.float32)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(value))
    assert np.isinf(found[:2]).all()


@BOTH
def test_a_weight_that_both_types_need_is_held_in_both(tmp_path: Path, precision: str) -> None:
    """A narrow product and an exact size read one constant: the size is exact."""
    before = model(
        """g (float[n] x) => (float[n] y, int64[1] m) {
           y = Mul(x, w)  s = Shape(x)  f = Cast<to=1>(s)  h = Mul(f, w)  m = Cast<to=7>(h) }""",
        weights={"w": np.array([1.003], np.float32)},
    )
    after = converted(before, tmp_path, precision)
    assert {one.data_type for one in after.graph.initializer} == {FLOAT, KINDS[precision]}
    feeds = {"x": x(1000)}
    assert run(after, feeds)["m"] == run(before, feeds)["m"] == 1003


@BOTH
def test_names_that_look_like_ours_are_no_trouble(tmp_path: Path, precision: str) -> None:
    """New values take names that nobody has."""
    narrow = {"fp16": "float16", "bf16": "bfloat16"}[precision]
    before = model("g (float[2] x) => (float[2] y) { a = Relu(x)  b = Exp(a)  y = Add(x, b) }")
    for node in before.graph.node:
        node.input[:] = [{"a": f"x/{narrow}", "b": f"y/{narrow}"}.get(n, n) for n in node.input]
        node.output[:] = [{"a": f"x/{narrow}", "b": f"y/{narrow}"}.get(n, n) for n in node.output]
    after = converted(before, tmp_path, precision)
    assert_narrower(before, after, {"x": x(2)}, precision)


@BOTH
def test_weights_in_another_file_stay_in_one(
    tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large models read their weights from a file and write the narrow ones beside the new one."""
    monkeypatch.setattr(weights, "ONE_FILE_BYTES", 1000)
    before = model(
        "g (float[n, 64] x) => (float[n, 64] y) { y = MatMul(x, w) }", weights={"w": x(64, 64)}
    )
    saving = {"save_as_external_data": True, "location": "data.bin", "size_threshold": 0}
    original = ModelProto()
    original.CopyFrom(before)
    after = converted(before, tmp_path, precision, **saving)
    data = tmp_path / precision / weights.DATA
    assert data.stat().st_size == 64 * 64 * 2
    assert (tmp_path / precision / MODEL).stat().st_size < 1000
    assert_narrower(original, after, {"x": x(2, 64)}, precision)


@BOTH
def test_a_model_that_is_narrow_already_is_left_alone(tmp_path: Path, precision: str) -> None:
    """Converting twice changes nothing the second time."""
    converted(mlp(), tmp_path, precision)
    again = tmp_path / "again"
    again.mkdir()
    report = convert(Given(tmp_path / precision / MODEL, again, again), precision)
    assert report["unchanged"]
    assert list(again.iterdir()) == []


def test_what_cannot_be_narrow_is_refused_with_the_reason(tmp_path: Path) -> None:
    """No float at all, another narrow type already, and quantised numbers: each says so."""
    whole = model("g (int64[n] x) => (int64[n] y) { y = Add(x, x) }")
    assert "no float32 arithmetic" in str(refusal(whole, tmp_path / "whole", "fp16"))
    half = model("g (float16[n] x) => (float16[n] y) { y = Add(x, x) }")
    error = refusal(half, tmp_path / "half", "bf16")
    assert isinstance(error, UsageError)
    assert "another narrow type" in str(error)
    scales = {"s": np.float32(0.1), "z": np.int8(0)}
    quantised = model(
        "g (float[n] x) => (float[n] y) { q = QuantizeLinear(x, s, z) "
        "d = DequantizeLinear(q, s, z) y = Relu(d) }",
        weights=scales,
    )
    assert "quantised" in str(refusal(quantised, tmp_path / "quantised", "bf16"))


def test_operators_of_unknown_types_are_no_arithmetic(tmp_path: Path) -> None:
    """What another domain's operator takes is not known: it stays float32, and is not counted."""
    made = model("g (float[n] x) => (float[n] y) { y = own.Mystery(x) }")
    assert "no float32 arithmetic" in str(refusal(made, tmp_path, "bf16"))


def test_a_convolution_that_cannot_be_brought_forward_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the newer operator set is out of reach, float32 convolutions are not called bf16."""

    def fails(*_: Any) -> ModelProto:
        raise RuntimeError("no adapter")

    monkeypatch.setattr(onnx.version_converter, "convert_version", fails)
    made = model(
        "g (float[1, 1, 4, 4] x) => (float[1, 1, 4, 4] y) { y = Conv(x, w) }",
        weights={"w": x(1, 1, 1, 1)},
    )
    made.graph.node[0].name = "stem"
    error = refusal(made, tmp_path, "bf16")
    assert isinstance(error, UnsupportedNodeError)
    assert (error.node, error.operator) == ("stem", "Conv")
