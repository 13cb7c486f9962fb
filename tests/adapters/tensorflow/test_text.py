"""Text in TensorFlow is bytes."""

from __future__ import annotations

import tensorflow as tf

from tests.adapters.importers.test_text import model, texts
from xbench_adapters.tensorflow import import_onnx


def test_text_goes_through_a_function_as_bytes_of_utf_8() -> None:
    x = texts("é")
    module = import_onnx(model("StringConcat", {"a": x, "b": x}))
    assert module(tf.constant(x), tf.constant(x))[0].numpy().tolist() == ["éé".encode()]
