"""A user's own flatbuffer runs as it is, under the names of the ONNX file made from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from onnx import helper

from tests.adapters.graphs import model, normal
from tests.adapters.litert.graphs import LIMITS, bound, close
from xbench.adapter import BoundModel, Native
from xbench.errors import ModelError
from xbench.testing.conformance import infer
from xbench_adapters.litert import LiteRtAdapter

FEEDS = {"first": normal(2, 3, seed=1), "second": normal(2, 3, seed=2)}


def own(folder: Path, batch: int | None = 2) -> BoundModel:
    """Return a flatbuffer of ``a - b`` and ``a + b``, and an ONNX file that says otherwise."""
    taken = [tf.TensorSpec([batch, 3], tf.float32, name=name) for name in ("a", "b")]
    function = tf.function(lambda a, b: (a - b, a + b), input_signature=taken, autograph=False)
    whole = function.get_concrete_function()
    path = folder / "mine.tflite"
    path.write_bytes(
        tf.lite.TFLiteConverter.from_concrete_functions([whole], tf.Module()).convert()
    )
    nodes = [
        helper.make_node("Mul", ["first", "second"], ["product"]),
        helper.make_node("Div", ["first", "second"], ["quotient"]),
    ]
    onnx_file = model(nodes, FEEDS, ["product", "quotient"])
    given = bound(onnx_file, FEEDS, folder / "m.onnx")
    return replace(given, native=Native("litert", "tflite", str(path)))


def alone(path: Path, feeds: dict[str, Any]) -> list[Any]:
    """Return what an interpreter gives for inputs in order, after it was told their shapes."""
    interpreter = Interpreter(str(path))
    for one, array in zip(interpreter.get_input_details(), feeds.values(), strict=True):
        interpreter.resize_tensor_input(one["index"], array.shape)
    interpreter.allocate_tensors()
    for one, array in zip(interpreter.get_input_details(), feeds.values(), strict=True):
        interpreter.set_tensor(one["index"], array)
    interpreter.invoke()
    found = [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]
    assert not np.array_equal(*found)
    return found


def load(given: BoundModel, variant: str = "", precision: str = "fp32") -> Any:
    adapter = LiteRtAdapter(variant)
    adapter.prepare(LIMITS)
    return adapter.load(given, LIMITS, precision)


@pytest.mark.parametrize("batch", [2, None])
def test_it_is_that_very_file_that_runs(batch: int | None, tmp_path: Path) -> None:
    """In the order of its own inputs and outputs, at the lengths that are asked for."""
    session = load(own(tmp_path, batch))
    for sign in (1, -1):
        feeds = {"first": FEEDS["first"], "second": sign * FEEDS["second"]}
        found = infer(session, feeds)
        assert list(found) == ["product", "quotient"]
        for have, want in zip(found.values(), alone(tmp_path / "mine.tflite", feeds), strict=True):
            np.testing.assert_array_equal(have, want)
    facts = session.facts()
    assert facts.importer == "as it is: mine.tflite"
    assert facts.convert_s is None
    assert facts.precision == "fp32"


def test_other_variants_and_other_frameworks_models_are_converted(tmp_path: Path) -> None:
    given = own(tmp_path)
    foreign = replace(given, native=Native("keras", "keras", "elsewhere.keras"))
    for session in (load(given, "fp16", "fp16"), load(foreign)):
        found = infer(session, FEEDS)
        close(found["product"], FEEDS["first"] * FEEDS["second"], rtol=1e-6)
        assert "converted by TensorFlow" in session.facts().importer


@pytest.mark.parametrize("content", [b"", b"not a flatbuffer"])
def test_a_damaged_file_is_said_so(content: bytes, tmp_path: Path) -> None:
    given = own(tmp_path)
    (tmp_path / "mine.tflite").write_bytes(content)
    with pytest.raises(ModelError, match=r"mine\.tflite"):
        load(given)


def test_a_file_that_is_not_what_the_onnx_file_was_made_from_is_said_so(tmp_path: Path) -> None:
    given = own(tmp_path)
    with pytest.raises(ModelError, match="outputs"):
        load(replace(given, outputs=("product",)))
