"""LiteRT: what every adapter passes, what it tells, and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.adapters.graphs import model, normal, onnxruntime_says
from xbench.adapter import BoundModel, Limits, TensorSpec
from xbench.errors import ModelError, UnsupportedNodeError, UsageError
from xbench.testing.conformance import AdapterConformance, infer
from xbench_adapters.litert import LiteRtAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMITS = Limits(threads=1)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep flatbuffers that tests make, which takes seconds each, and not among the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.slow
class TestLiteRt(AdapterConformance):
    adapter = LiteRtAdapter


def write(
    folder: Path,
    nodes: list[onnx.NodeProto],
    outputs: list[str],
    weights: dict[str, Any] | None = None,
    **inputs: Any,
) -> BoundModel:
    """Return a file of ``nodes``, bound to inputs as the arrays given are."""
    onnx.save(model(nodes, inputs, outputs, weights, 21), folder / "m.onnx")
    specs = tuple(TensorSpec(name, one.dtype.name, one.shape) for name, one in inputs.items())
    return BoundModel(folder / "m.onnx", specs, tuple(outputs), {})


def load(given: BoundModel, limits: Limits = LIMITS) -> Any:
    """Return a session, of an adapter that was prepared."""
    adapter = LiteRtAdapter()
    adapter.prepare(limits)
    return adapter.load(given, limits, "fp32")


LOADED = """
import sys, tempfile
from pathlib import Path
from xbench.adapter import Limits
from xbench.testing import models
from xbench_adapters.litert import LiteRtAdapter
assert LiteRtAdapter().available().version
assert not {'ai_edge_litert', 'tensorflow'} & set(sys.modules)
with tempfile.TemporaryDirectory() as folder:
    assert LiteRtAdapter().prepare(Limits(1)) == LiteRtAdapter().available().version
    session = LiteRtAdapter().load(models.perceptron().write(Path(folder)), Limits(1), "fp32")
session.bind(models.perceptron().feeds[0])
session.run()
assert session.outputs()["y"].shape == (4, 10)
assert "tensorflow" not in sys.modules
"""


def test_it_measures_in_a_process_without_tensorflow() -> None:
    """The flatbuffer is made in another process, and outlives its folder."""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_inputs_and_outputs_keep_their_order_and_their_types(tmp_path: Path) -> None:
    """Outputs that are alike or come from nowhere, inputs of one shape, and one nobody uses."""
    feeds = {
        "b": normal(2, 3, seed=1),
        "a": normal(2, 3, seed=2),
        "unused": normal(2, 3, seed=3),
        "ids": np.array([[1, 0, 2]]),
    }
    nodes = [
        helper.make_node("Sub", ["a", "b"], ["difference"]),
        helper.make_node("Identity", ["difference"], ["again"]),
        helper.make_node("Identity", ["b"], ["through"]),
        helper.make_node("Identity", ["w"], ["known"]),
        helper.make_node("Add", ["ids", "ids"], ["twice"]),
        helper.make_node("Greater", ["a", "b"], ["more"]),
    ]
    outputs = ["twice", "difference", "again", "more", "through", "known"]
    weights = {"w": normal(2, 2)}
    session = load(write(tmp_path, nodes, outputs, weights, **feeds))
    found = infer(session, feeds)
    assert list(found) == outputs
    wanted = onnxruntime_says(model(nodes, feeds, outputs, weights), feeds)
    for have, want in zip(found.values(), wanted, strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_array_equal(have, want)


def test_a_session_tells_how_the_model_got_there_and_who_computes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["y"]),
    ]
    facts = load(write(tmp_path, nodes, ["y"], {"w": normal(8, 3)}, x=normal(4, 8))).facts()
    assert facts.importer is not None
    assert "tf.function, 2 nodes; 0 fused; converted by TensorFlow 2." in facts.importer
    assert facts.convert_s is not None
    assert facts.precision == "fp32"
    assert facts.options is not None
    assert facts.options["xnnpack"] == "1 of 1 operators in 1 parts"
    assert facts.options["own_kernels"] == "none"
    assert int(facts.options["flatbuffer_bytes"]) > 8 * 3 * 4


def test_what_xnnpack_does_not_take_is_told(tmp_path: Path) -> None:
    """It computes floats; whole numbers are looked up by LiteRT's own kernel, between two parts."""
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"]),
        helper.make_node("ArgMax", ["s"], ["best"], axis=-1, keepdims=0),
        helper.make_node("Gather", ["s", "ids"], ["rows"], axis=0),
        helper.make_node("Sigmoid", ["rows"], ["y"]),
    ]
    given = write(tmp_path, nodes, ["y", "best"], x=normal(4, 8), ids=np.array([1, 0, 2]))
    options = load(given).facts().options
    assert options is not None
    assert re.fullmatch(r"2 of \d+ operators in 2 parts", options["xnnpack"])
    assert {"ARG_MAX 1", "GATHER 1"} <= set(options["own_kernels"].split(", "))


def test_inputs_in_any_memory_order_are_taken(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    session = load(write(tmp_path, nodes, ["y"], {"w": normal(8, 3)}, x=normal(1, 8)))
    whole = normal(2, 16)
    whole.flags.writeable = False
    for feed in (whole[:1, :8], np.asfortranarray(whole)[:1, :8], whole[:1, ::2]):
        found = infer(session, {"x": feed})["y"].astype(np.float64)
        np.testing.assert_allclose(found, feed @ normal(8, 3), rtol=1e-5)


def test_an_operator_that_only_tensorflow_has_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="first"),
        helper.make_node("Det", ["r"], ["y"], name="/head/det"),
    ]
    with pytest.raises(UnsupportedNodeError, match="LiteRT") as raised:
        load(write(tmp_path, nodes, ["y"], x=normal(2, 4, 4)))
    assert (raised.value.node, raised.value.operator) == ("/head/det", "Det")


def test_an_operator_that_nobody_has_is_refused_as_the_importer_does(tmp_path: Path) -> None:
    nodes = [helper.make_node("Nonsense", ["x"], ["y"], name="odd", domain="nowhere")]
    whole = model(nodes, {"x": normal(2)}, ["y"])
    whole.opset_import.append(helper.make_opsetid("nowhere", 1))
    onnx.save(whole, tmp_path / "m.onnx")
    given = BoundModel(tmp_path / "m.onnx", (TensorSpec("x", "float32", (2,)),), ("y",), {})
    with pytest.raises(UnsupportedNodeError) as raised:
        load(given)
    assert (raised.value.node, raised.value.operator) == ("odd", "nowhere::Nonsense")


def test_a_file_that_is_no_model_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    given = BoundModel(tmp_path / "m.onnx", (TensorSpec("x", "float32", (2,)),), ("y",), {})
    with pytest.raises(ModelError):
        load(given)


def test_what_cannot_be_held_is_a_usage_error(tmp_path: Path) -> None:
    given = write(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], ["y"], x=normal(1, 8))
    with pytest.raises(UsageError, match="tf32"):
        LiteRtAdapter().load(given, LIMITS, "tf32")
    with pytest.raises(UsageError, match="cuda:0"):
        LiteRtAdapter().load(given, Limits(threads=1, device="cuda:0"), "fp32")
    with pytest.raises(UsageError, match="turbo"):
        LiteRtAdapter("turbo")
