"""Keras files, SavedModels and factories as programs; it imports TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.models.tensorflow.keras_models import convolutional, ends, normal, run, tagger, two_ends
from xbench.errors import ModelError
from xbench_models.tensorflow.export import export
from xbench_models.tensorflow.program import Program
from xbench_models.tensorflow.source import digest, program

pytestmark = pytest.mark.filterwarnings(  # Keras's own, when it saves
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    keras.utils.set_random_seed(0)


def of(form: str, target: Path | str, trusted: bool = False) -> Program:
    return program(form, str(target), 0, trusted)


@pytest.mark.parametrize("make", [two_ends, convolutional, tagger])
def test_a_keras_file_gives_what_the_model_gave(tmp_path: Path, make: Any) -> None:
    model = make()
    model.save(tmp_path / "m.keras")
    path = export(of("keras", tmp_path / "m.keras"), tmp_path / "m.onnx").path
    shapes = ends(path)[0]
    if make is tagger:
        arrays: list[Any] = [np.arange(14, dtype=np.int32).reshape(2, 7)]
    else:
        arrays = [normal(2, *shape[1:]) for shape in shapes.values()]
    right = keras.tree.flatten(model(arrays if len(arrays) > 1 else arrays[0], training=False))
    found = run(path, dict(zip(shapes, arrays, strict=True)))
    for have, want in zip(found.values(), right, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


def with_code(marker: Path) -> Any:
    """Return a model whose layer writes a file whenever it is called."""
    code = eval(
        f"lambda x: (open({str(marker)!r}, 'w').close(), x * 2)[1]"
    )  # no closure: it is saved
    x = keras.Input((3,), name="x")
    return keras.Model(x, layers.Lambda(code, name="y")(x))


def test_code_in_a_keras_file_runs_only_for_those_who_trust_it(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    with_code(marker).save(tmp_path / "m.keras")
    marker.unlink()
    with pytest.raises(ModelError, match=r"m\.keras holds code.*Lambda") as raised:
        of("keras", tmp_path / "m.keras")
    assert "--trust" in raised.value.fix
    assert not marker.exists(), "it ran"
    path = export(of("keras", tmp_path / "m.keras", trusted=True), tmp_path / "m.onnx").path
    assert marker.exists()
    np.testing.assert_array_equal(run(path, {"x": normal(2, 3)})["y"], normal(2, 3) * 2)


def test_the_older_format_is_for_those_who_trust_it(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    with_code(marker).save(tmp_path / "m.h5")
    marker.unlink()
    with pytest.raises(ModelError, match="older format") as raised:
        of("h5", tmp_path / "m.h5")
    assert "--trust" in raised.value.fix
    assert not marker.exists(), "it ran"
    path = export(of("h5", tmp_path / "m.h5", trusted=True), tmp_path / "m.onnx").path
    np.testing.assert_array_equal(run(path, {"x": normal(2, 3)})["y"], normal(2, 3) * 2)


def test_what_model_export_writes_is_read(tmp_path: Path) -> None:
    """Inputs and outputs by name, as the signature has them."""
    model = two_ends()
    model.export(tmp_path / "saved", verbose=False)
    path = export(of("saved_model", tmp_path / "saved"), tmp_path / "m.onnx").path
    inputs, outputs = ends(path)
    assert list(inputs) == ["left", "right"]
    feeds = {"left": normal(3, 8), "right": normal(3, 4)}
    right = model([feeds["right"], feeds["left"]])
    found = list(run(path, feeds).values())
    assert [list(shape) for shape in outputs.values()] == [["batch", 3], ["batch", 2]]
    for have, want in zip(found, right, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


class Tail(tf.Module):  # type: ignore[misc] # TensorFlow ships no types
    """One variable behind two functions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(normal(3, 2))
        x, by = tf.TensorSpec((None, 3), name="x"), tf.TensorSpec((), name="by")
        self.scaled = tf.function(self._scaled, input_signature=[x, by])
        self.plain = tf.function(lambda x: x @ self.weight, input_signature=[x])

    def _scaled(self, x: Any, by: Any) -> Any:
        return {"z": tf.math.erfc(x @ self.weight * by), "a": tf.reduce_sum(x, axis=1)}


def test_the_only_signature_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    tail = Tail()
    tf.saved_model.save(tail, str(tmp_path / "saved"), signatures={"tail": tail.scaled})
    path = export(of("saved_model", tmp_path / "saved"), tmp_path / "m.onnx").path
    assert ends(path) == ({"by": [], "x": ["batch", 3]}, {"a": ["batch"], "z": ["batch", 2]})
    x = normal(4, 3)
    found = run(path, {"x": x, "by": np.array(0.5, np.float32)})
    right = tail.scaled(x, 0.5)
    for name in ("a", "z"):
        np.testing.assert_allclose(found[name], right[name], rtol=1e-4, atol=1e-5)


def test_signatures_that_leave_a_choice_are_listed(tmp_path: Path) -> None:
    tail = Tail()
    both = {"tail": tail.scaled, "plain": tail.plain}
    tf.saved_model.save(tail, str(tmp_path / "saved"), signatures=both)
    with pytest.raises(ModelError, match=r"plain, tail|tail, plain"):
        of("saved_model", tmp_path / "saved")


def test_a_folder_without_signatures_says_so(tmp_path: Path) -> None:
    module = tf.Module()
    module.weight = tf.Variable(1.0)
    tf.saved_model.save(module, str(tmp_path / "saved"))
    with pytest.raises(ModelError, match="none") as raised:
        of("saved_model", tmp_path / "saved")
    assert "signatures" in raised.value.fix


@pytest.mark.parametrize("form", ["keras", "h5", "saved_model"])
def test_what_is_damaged_or_missing_is_refused(tmp_path: Path, form: str) -> None:
    with pytest.raises(ModelError, match="there is no"):
        of(form, tmp_path / "nothing", trusted=True)
    (tmp_path / "saved_model.pb").write_bytes(b"no model")
    (tmp_path / "m.keras").write_bytes(b"no model")
    (tmp_path / "m.h5").write_bytes(b"no model")
    target = tmp_path if form == "saved_model" else tmp_path / f"m.{form}"
    for trusted in (True, form == "h5"):
        with pytest.raises(ModelError, match=r"cannot be (loaded|read)"):
            of(form, target, trusted)


FACTORY = """
import keras, numpy as np
def alone():
    x = keras.Input((4,), name="x")
    return keras.Model(x, keras.layers.Dense(2, name="y")(x))
class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2)
    def call(self, x):
        return self.dense(x)
def own():
    return Own(), np.ones((3, 4))
"""
DIGEST = """
import sys
from xbench_models.tensorflow.source import digest, program
for target, seed in (("made:alone", 0), ("made:alone", 1), ("made:own", 0)):
    print(digest(program("factory", target, seed, False)))
"""


@pytest.mark.parametrize("name", ["alone", "own"])
def test_a_factory_gives_a_model_with_or_without_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "made.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "made", raising=False)
    found = of("factory", f"made:{name}")
    path = export(found, tmp_path / "m.onnx").path
    assert ends(path)[0] == {"x": ["batch", 4]}
    right = found.model(normal(5, 4))
    np.testing.assert_allclose(run(path, {"x": normal(5, 4)})[found.outputs[0]], right, rtol=1e-5)


def test_a_digest_is_that_of_the_weights_in_any_process(tmp_path: Path) -> None:
    """The same seed gives the same one; another seed or another model another one."""
    (tmp_path / "made.py").write_text(FACTORY)
    paths = os.pathsep.join([str(tmp_path), *(path for path in sys.path if path)])
    said = [
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert len(set(said[0])) == 3
    assert all(len(one) == 64 for one in said[0])
    assert digest(of_two()) == digest(of_two())


def of_two() -> Program:
    from xbench_models.tensorflow.source import of_model

    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    return of_model(two_ends(), "two")
