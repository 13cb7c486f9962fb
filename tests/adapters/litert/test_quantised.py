"""Quantised after training: what is computed in which type is told, and is near the original."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.adapters.graphs import model, normal, onnxruntime_says
from tests.adapters.litert.graphs import LIMITS, bound
from xbench.adapter import BoundModel
from xbench.errors import UsageError
from xbench.inputs import save_feeds
from xbench.testing.conformance import infer
from xbench_adapters.litert import LiteRtAdapter, told

WEIGHTS = {
    "k": normal(16, 3, 3, 3) * np.geomspace(0.01, 10, 16, dtype=np.float32).reshape(-1, 1, 1, 1),
    "w": normal(16 * 36, 10, seed=1),
}
FEEDS = {"x": normal(1, 3, 8, 8, seed=2)}
NODES = [
    helper.make_node("Conv", ["x", "k"], ["c"]),
    helper.make_node("Relu", ["c"], ["r"]),
    helper.make_node("Flatten", ["r"], ["f"]),
    helper.make_node("MatMul", ["f", "w"], ["y"]),
]


def whole(*more: onnx.NodeProto) -> onnx.ModelProto:
    """Return a net of a convolution, whose channels differ in scale, and a dense layer."""
    nodes = [*NODES, *more]
    return model(nodes, FEEDS, [nodes[-1].output[0]], WEIGHTS)


def load(variant: str, given: BoundModel) -> Any:
    adapter = LiteRtAdapter(variant)
    adapter.prepare(LIMITS)
    return adapter.load(given, LIMITS, adapter.precisions.get(variant, "fp32"))


def calibrated(given: BoundModel, folder: Path) -> BoundModel:
    """Return the model with input sets to calibrate on, which are not those that are run."""
    save_feeds(folder / "sets.npz", [{"x": normal(1, 3, 8, 8, seed=n)} for n in range(10, 18)])
    return replace(given, calibration=folder / "sets.npz")


def share_off(found: Any, wanted: Any) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def test_float16_weights_are_computed_with_in_float32(tmp_path: Path) -> None:
    """The row says both: half the bytes, and products that keep what float32 can hold."""
    session = load("fp16", bound(whole(), FEEDS, tmp_path / "m.onnx"))
    facts = session.facts()
    assert facts.precision == "fp32"
    assert facts.options["weights"] == "fp16"
    assert int(facts.options["flatbuffer_bytes"]) < 0.7 * 4 * sum(w.size for w in WEIGHTS.values())
    narrow = {name: one.astype(np.float16).astype(np.float32) for name, one in WEIGHTS.items()}
    (wanted,) = onnxruntime_says(model(NODES, FEEDS, ["y"], narrow), FEEDS)
    assert share_off(infer(session, FEEDS)["y"], wanted) < 1e-6


def test_where_halves_may_be_computed_with_no_precision_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XNNPACK does so on CPUs that can, where the weights are halves, and says nothing of it."""
    monkeypatch.setattr(told, "HALVES", frozenset(Path("/proc/cpuinfo").read_text().split()))
    given = bound(whole(), FEEDS, tmp_path / "m.onnx")
    assert load("fp16", given).facts().precision is None
    assert load("", given).facts().precision == "fp32"


def test_int8_computes_in_int8_and_says_so(tmp_path: Path) -> None:
    """Inputs and outputs stay float32, and every channel of a kernel has its own scale."""
    given = calibrated(bound(whole(), FEEDS, tmp_path / "m.onnx"), tmp_path)
    session = load("int8", given)
    facts = session.facts()
    assert facts.precision == "int8"
    assert facts.options["weights"] == "int8"
    assert facts.options["arithmetic"] == "int8 2"
    assert "calibrated on 8 input sets" in facts.importer
    found = infer(session, FEEDS)["y"]
    (wanted,) = onnxruntime_says(whole(), FEEDS)
    assert found.dtype == np.float32
    assert 1e-6 < share_off(found, wanted) < 0.05
    scales = [
        len(one["quantization_parameters"]["scales"])
        for one in session._interpreter.get_tensor_details()
    ]
    assert 16 in scales


def test_what_has_no_int8_kernel_is_told_to_be_float32(tmp_path: Path) -> None:
    sine = helper.make_node("Sin", ["y"], ["z"])
    given = calibrated(bound(whole(sine), FEEDS, tmp_path / "m.onnx"), tmp_path)
    facts = load("int8", given).facts()
    assert facts.precision == "int8+fp32"
    assert facts.options["arithmetic"] == "fp32 1, int8 2"


def test_int8_without_sets_to_calibrate_on_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--calibration"):
        load("int8", bound(whole(), FEEDS, tmp_path / "m.onnx"))


@pytest.mark.parametrize(("variant", "asked"), [("int8", "fp32"), ("fp16", "int8"), ("", "tf32")])
def test_a_variant_holds_its_own_precision_only(variant: str, asked: str, tmp_path: Path) -> None:
    given = calibrated(bound(whole(), FEEDS, tmp_path / "m.onnx"), tmp_path)
    with pytest.raises(UsageError, match=asked):
        LiteRtAdapter(variant).load(given, LIMITS, asked)


def test_every_precision_is_that_of_a_variant() -> None:
    assert set(LiteRtAdapter.precisions) <= set(LiteRtAdapter.variants)
