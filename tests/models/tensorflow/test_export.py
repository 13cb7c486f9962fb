"""Models of TensorFlow's side as ONNX files; it imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from tests.models.tensorflow.keras_models import (
    Gated,
    convolutional,
    ends,
    normal,
    run,
    tagger,
    two_ends,
)
from xbench.errors import ModelError
from xbench_models import exported
from xbench_models.tensorflow import source
from xbench_models.tensorflow.export import export
from xbench_models.tensorflow.program import Program
from xbench_models.tensorflow.source import of_model

if TYPE_CHECKING:
    from xbench.adapter import Array


@pytest.fixture(autouse=True)
def seeded() -> None:
    keras.utils.set_random_seed(0)


def made(model: Any, folder: Path) -> Path:
    """Return the file of a model, or of a model with its examples."""
    return export(of_model(model, "small"), folder / "m.onnx").path


def assert_same(path: Path, model: Any, feeds: Mapping[str, Array], *wanted: str) -> None:
    """The file gives what the model gives when it is called with the feeds in order."""
    arrays = list(feeds.values())
    right = keras.tree.flatten(model(arrays if len(arrays) > 1 else arrays[0], training=False))
    found = run(path, feeds)
    assert list(found) == list(wanted)
    for name, one in zip(wanted, right, strict=True):
        np.testing.assert_allclose(found[name], one, rtol=1e-4, atol=1e-5)


def test_inputs_and_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    model = two_ends()
    path = made(model, tmp_path)
    assert ends(path) == (
        {"right": ["batch", 4], "left": ["batch", 8]},
        {"second": ["batch", 3], "first": ["batch", 2]},
    )
    assert list(ends(path)[0]) == ["right", "left"]
    assert_same(path, model, {"right": normal(5, 4), "left": normal(5, 8)}, "second", "first")


def test_a_sequential_model_is_exported_as_in_inference(tmp_path: Path) -> None:
    """No dropout, and batch normalisation by the statistics that were learnt."""
    model = convolutional()
    path = made(model, tmp_path)
    assert ends(path) == ({"image": ["batch", 16, 16, 3]}, {"scores": ["batch", 5]})
    assert_same(path, model, {"image": normal(4, 16, 16, 3)}, "scores")
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("Transpose") <= 2, "channels change their place between layers"


def test_recurrent_layers_run_at_any_length(tmp_path: Path) -> None:
    model = tagger()
    path = made(model, tmp_path)
    assert [list(shape) for shape in ends(path)[0].values()] == [["batch", None]]
    for batch, length in ((1, 5), (4, 17)):
        ids = np.random.default_rng(length).integers(0, 30, (batch, length)).astype(np.int32)
        assert_same(path, model, {"ids": ids}, "tags")


def test_nested_ends_of_a_subclass_are_flattened(tmp_path: Path) -> None:
    """Examples say what it takes; its arguments and keys are the names."""
    model = Gated()
    path = made((model, (np.ones((2, 6)), np.ones((2, 3)))), tmp_path)
    assert ends(path) == (
        {"words": ["batch", 6], "scale": ["batch", 3]},
        {"all_0": ["batch", 3], "all_1": ["batch", 6], "scaled": ["batch", 3]},
    )
    words, scale = normal(5, 6), normal(5, 3, seed=1)
    right = model(words, scale)
    found = run(path, {"words": words, "scale": scale})
    np.testing.assert_allclose(found["scaled"], right["scaled"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["all_1"], words)


def test_an_input_that_nothing_reads_and_a_twofold_output_stay(tmp_path: Path) -> None:
    unread, x = keras.Input((2,), name="unread"), keras.Input((8,), name="x")
    y = layers.Dense(2, name="y")(x)
    model = keras.Model([unread, x], [y, y, x])
    path = made(model, tmp_path)
    assert list(ends(path)[0]) == ["unread", "x"]
    assert_same(path, model, {"unread": normal(3, 2), "x": normal(3, 8)}, "y", "y_1", "x_1")


def test_inputs_by_dictionary_come_by_their_names(tmp_path: Path) -> None:
    b, a = keras.Input((3,), name="b"), keras.Input((3,), name="a")
    model = keras.Model({"b": b, "a": a}, {"less": layers.Dense(2)(b - a)})
    path = made(model, tmp_path)
    feeds = {"a": normal(2, 3), "b": normal(2, 3, seed=1)}
    found = run(path, feeds)["less"]
    np.testing.assert_allclose(found, model(feeds)["less"], rtol=1e-4, atol=1e-5)


def test_only_an_axis_that_is_the_batch_is_called_so(tmp_path: Path) -> None:
    x = keras.Input((8,), name="x")
    model = keras.Model(x, keras.ops.reshape(layers.Dense(4)(x), (-1, 2)))
    path = made(model, tmp_path)
    assert list(ends(path)[1].values()) == [[None, 2]]
    assert run(path, {"x": normal(3, 8)})["reshape"].shape == (6, 2)


def test_a_batch_that_is_fixed_stays_fixed(tmp_path: Path) -> None:
    x = keras.Input(batch_shape=(4, 8), name="x")
    path = made(keras.Model(x, layers.Dense(3, name="y")(x)), tmp_path)
    assert ends(path) == ({"x": [4, 8]}, {"y": [4, 3]})


def test_constants_that_a_layer_made_are_weights(tmp_path: Path) -> None:
    """The mean and variance of a normalisation are captured by the function, not its variables."""
    scale = layers.Normalization()
    scale.adapt(normal(50, 5) * 3 + 7)
    x = keras.Input((5,), name="x")
    model = keras.Model(x, layers.Dense(3, name="y")(scale(x)))
    path = made(model, tmp_path)
    assert_same(path, model, {"x": normal(2, 5) * 3 + 7}, "y")


def test_gelu_is_written_as_runtimes_know_it(tmp_path: Path) -> None:
    """By the error function of x / sqrt(2); TensorFlow's own, the complementary, ONNX lacks."""
    kinds = [node.op_type for node in onnx.load(made(two_ends(), tmp_path)).graph.node]
    assert {"Div", "Erf"} <= set(kinds)
    assert "Neg" not in kinds


@pytest.mark.parametrize("saved", [False, True])
def test_what_keras_has_xla_compile_is_plain_in_the_file(tmp_path: Path, saved: bool) -> None:
    """Convolutions in groups, of which TensorFlow itself has none for CPUs."""
    x = keras.Input((8, 8, 6), name="x")
    model = keras.Model(x, layers.Conv2D(4, 3, groups=2, name="y")(x))
    path = made(model, tmp_path)
    if saved:
        model.export(tmp_path / "saved", verbose=False)
        program = source.program("saved_model", str(tmp_path / "saved"), 0, trusted=False)
        path = export(program, tmp_path / "s.onnx").path
    assert [n.op_type for n in onnx.load(path).graph.node].count("Conv") == 1
    found = next(iter(run(path, {"x": normal(2, 8, 8, 6)}).values()))
    np.testing.assert_allclose(found, model(normal(2, 8, 8, 6)), rtol=1e-4, atol=1e-5)


def test_half_precision_agrees_within_what_it_can_hold(tmp_path: Path) -> None:
    x = keras.Input((16,), name="x")
    h = layers.Dense(32, activation="relu", dtype="mixed_float16")(x)
    model = keras.Model(x, layers.Dense(4, name="y")(h))
    found = run(made(model, tmp_path), {"x": normal(2, 16)})["y"]
    np.testing.assert_allclose(found, model(normal(2, 16)), rtol=0.02, atol=0.02)


def test_the_file_holds_nothing_of_the_converter_and_of_this_machine(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = made(tagger(), tmp_path)
    content = path.read_bytes()
    for word in (b"unk__", str(tmp_path).encode(), str(Path(__file__).parents[2]).encode()):
        assert word not in content
    model = onnx.load(path)
    assert not model.doc_string
    assert model.producer_version == "1.17.0"
    assert capfd.readouterr() == ("", "")


def test_large_weights_lie_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported, "INSIDE_BYTES", 1000)
    x = keras.Input((50,), name="x")
    model = keras.Model(x, layers.Dense(20, name="y")(x))
    path = made(model, tmp_path)
    assert (tmp_path / "m.onnx.data").stat().st_size >= 4000
    assert path.stat().st_size < 1000
    assert_same(path, model, {"x": normal(5, 50)}, "y")


class Noisy(layers.Layer):  # type: ignore[misc] # Keras ships no types
    def call(self, x: Any) -> Any:
        return x + keras.random.normal(keras.ops.shape(x))


def noisy() -> Any:
    x = keras.Input((4,))
    return keras.Model(x, Noisy()(x))


def eigenvalues() -> Any:
    x = keras.Input((4, 4))
    return keras.Model(x, keras.ops.linalg.eigh(x)[0])


def words() -> Any:
    text = keras.Input((), dtype="string", name="review")
    ids = layers.TextVectorization(vocabulary=["good", "bad"])(text)
    return keras.Model(text, layers.Embedding(5, 2)(ids))


class Fails(keras.Model):  # type: ignore[misc] # Keras ships no types
    def call(self, x: Any) -> Any:
        raise RuntimeError("no layers today")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (noisy, "it keeps state, or draws random numbers"),
        (eigenvalues, "ONNX has nothing for SelfAdjointEigV2"),
        (words, r"takes text \(review\)"),
        (lambda: (Fails(), np.ones((2, 3))), "RuntimeError: no layers today"),
        (lambda: keras.Sequential([layers.Dense(2)]), "does not tell what it takes"),
        (lambda: 5, "returned int, not a Keras model"),
        (lambda: (two_ends(), 1, 2), "not a Keras model"),
    ],
)
def test_what_cannot_be_exported_says_why(tmp_path: Path, model: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said) as raised:
        made(model(), tmp_path)
    assert raised.value.fix


def test_outputs_that_show_no_agreement_are_warned_of(tmp_path: Path) -> None:
    x = keras.Input((4,))
    program: Program = of_model(keras.Model(x, keras.ops.zeros_like(x) + 1), "flat")
    found = export(program, tmp_path / "m.onnx").warnings
    assert "standard deviation of 0" in found[0]
