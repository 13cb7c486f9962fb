"""LiteRT flatbuffers as ONNX files; it imports TensorFlow, and LiteRT beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from tests.models.tensorflow.keras_models import ends, normal, run
from xbench.errors import ModelError
from xbench_models.litert.export import export
from xbench_models.quiet import quiet

Setting = Callable[[Any], None]


@pytest.fixture(scope="module")
def model() -> Any:
    """Return convolutions with two outputs."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    h = layers.Conv2D(16, 3, activation="relu")(image)
    h = layers.DepthwiseConv2D(3, strides=2, padding="same")(h)
    h = layers.ReLU(6.0)(layers.BatchNormalization()(h))
    h = layers.GlobalAveragePooling2D()(layers.Conv2D(64, 3)(h))
    probabilities = layers.Dense(5, activation="softmax")(layers.Dense(64)(h))
    return keras.Model(image, {"probabilities": probabilities, "features": layers.Dense(3)(h)})


def images() -> Iterator[list[Any]]:
    for seed in range(10):
        yield [normal(1, 16, 16, 3, seed=seed)]


def plain(converter: Any) -> None:
    """Keep everything in float32."""


def quantised(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = images


def wholly(converter: Any) -> None:
    quantised(converter)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8


def weights_only(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def half(converter: Any) -> None:
    weights_only(converter)
    converter.target_spec.supported_types = [tf.float16]


def convert(model: Any, folder: Path, setting: Setting = plain) -> Path:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    setting(converter)
    path = folder / "m.tflite"
    with quiet():  # the converter warns of what it takes for granted
        path.write_bytes(converter.convert())
    return path


def litert(path: Path, feed: Any) -> list[Any]:
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, feed.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, feed)
    interpreter.invoke()
    return [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]


@pytest.mark.parametrize(
    ("setting", "largest"), [(plain, 1e-5), (half, 1e-5), (weights_only, 0.02), (quantised, 0.02)]
)
def test_a_flatbuffer_of_floats_gives_the_same(
    tmp_path: Path, model: Any, setting: Setting, largest: float
) -> None:
    """Names and order are those of the signature and of the flatbuffer; the batch is open."""
    path = convert(model, tmp_path, setting)
    found = export(path, tmp_path / "m.onnx").path
    assert ends(found) == (
        {"image": ["batch", 16, 16, 3]},
        {"features": ["batch", 3], "probabilities": ["batch", 5]},
    )
    assert list(ends(found)[1]) == ["features", "probabilities"]
    feed = normal(4, 16, 16, 3, seed=99)
    for have, want in zip(run(found, {"image": feed}).values(), litert(path, feed), strict=True):
        np.testing.assert_allclose(have, want, rtol=largest, atol=largest)


def test_whole_numbers_differ_by_a_step_at_most(tmp_path: Path, model: Any) -> None:
    """A flatbuffer that takes and gives int8 becomes a file that does, quantised inside."""
    path = convert(model, tmp_path, wholly)
    found = export(path, tmp_path / "m.onnx").path
    kinds = {node.op_type for node in onnx.load(found).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    feed = np.random.default_rng(0).integers(-128, 128, (4, 16, 16, 3)).astype(np.int8)
    for have, want in zip(run(found, {"image": feed}).values(), litert(path, feed), strict=True):
        assert have.dtype == want.dtype == np.int8
        assert np.abs(have.astype(int) - want).max() <= 1
        assert np.unique(want).size > 3, "nothing to compare"


def test_ids_stay_within_their_table(tmp_path: Path) -> None:
    ids = keras.Input((None,), dtype="int32", name="ids")
    h = layers.GlobalAveragePooling1D()(layers.Embedding(20, 4)(ids))
    path = convert(keras.Model(ids, layers.Dense(2)(h)), tmp_path)
    found = export(path, tmp_path / "m.onnx").path
    assert ends(found)[0]["ids"][0] == "batch"
    feed = np.arange(18, dtype=np.int32).reshape(2, 9)
    have = next(iter(run(found, {"ids": feed}).values()))
    np.testing.assert_allclose(have, litert(path, feed)[0], rtol=1e-5)


def test_the_file_holds_nothing_of_the_converter_and_nothing_is_printed(
    tmp_path: Path, model: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    path = convert(model, tmp_path)
    capfd.readouterr()
    found = export(path, tmp_path / "m.onnx").path
    assert capfd.readouterr() == ("", "")
    assert b"unk__" not in found.read_bytes()
    assert str(tmp_path).encode() not in found.read_bytes()


def test_operators_that_are_tensorflows_own_are_refused(tmp_path: Path) -> None:
    """LiteRT runs none of them, so that there is nothing to compare a file with."""
    x = keras.Input((4, 4))
    path = convert(
        keras.Model(x, keras.ops.linalg.inv(x)),
        tmp_path,
        lambda c: setattr(c.target_spec, "supported_ops", [tf.lite.OpsSet.SELECT_TF_OPS]),
    )
    with pytest.raises(ModelError, match=r"LiteRT cannot run m\.tflite"):
        export(path, tmp_path / "m.onnx")


def test_what_is_no_flatbuffer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model")
    for name in ("m.tflite", "nothing.tflite"):
        with pytest.raises(ModelError, match="LiteRT cannot run"):
            export(tmp_path / name, tmp_path / "m.onnx")
