"""Keras as a backend: what every adapter passes, and what it alone must hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.adapters.keras.saved import SavedModelAdapter
from tests.models.tensorflow.keras_models import convolutional, normal, tagger, two_ends
from xbench.adapter import BoundModel, Limits, Native, TensorSpec
from xbench.errors import ModelError, UnsupportedNodeError, UsageError
from xbench.model import bind, read_model
from xbench.testing import probe
from xbench.testing.conformance import AdapterConformance, infer
from xbench_adapters.keras import KerasAdapter
from xbench_models.tensorflow.export import export
from xbench_models.tensorflow.source import program

LIMITS = Limits(threads=1)

pytestmark = pytest.mark.filterwarnings(  # Keras's own, when it saves
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


class TestKeras(AdapterConformance):
    adapter: ClassVar[type[Any]] = SavedModelAdapter

    def test_its_module_loads_no_framework(self) -> None:
        """The suite's adapter is a test's; the one that counts is within."""
        assert not probe.foreign_modules(KerasAdapter, self.variant)


class TestXla(TestKeras):
    variant = "xla"


@pytest.fixture(autouse=True)
def seeded() -> None:
    keras.utils.set_random_seed(0)


def measured(session: Any, feeds: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs of one inference, as the harness runs it."""
    return dict(infer(session, feeds))


def bound(native: Native, folder: Path, batch: int, **shapes: tuple[int, ...]) -> BoundModel:
    """Return the ONNX file of a native model, bound, as a comparison has it."""
    form = (native.form, native.target, native.seed, native.trusted)
    path = export(program(*form), folder / "m.onnx").path
    found = bind(read_model(path), None if shapes else batch, shapes)
    return BoundModel(path, found.inputs, found.outputs, found.symbols, native)


def kept(model: Any, folder: Path, form: str) -> Native:
    target = folder / {"keras": "m.keras", "h5": "m.h5", "saved_model": "saved"}[form]
    if form == "saved_model":
        model.export(target, verbose=False)
    else:
        model.save(target)
    return Native("keras", form, str(target), trusted=form == "h5")


@pytest.mark.parametrize("variant", ["", "xla"])
@pytest.mark.parametrize("form", ["keras", "h5", "saved_model"])
def test_the_model_itself_runs(tmp_path: Path, form: str, variant: str) -> None:
    """Inputs come by the file's names, and outputs are called as the file has them."""
    model = two_ends()
    native = kept(model, tmp_path, form)
    given = bound(native, tmp_path, 3)
    feeds = {"left": normal(3, 8), "right": normal(3, 4)}
    session = KerasAdapter(variant).load(given, LIMITS, "fp32")
    found = measured(session, feeds)
    assert list(found) == list(given.outputs)
    right = model([feeds["right"], feeds["left"]])
    for have, want in zip(found.values(), right, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)
    facts = session.facts()
    assert facts.importer == f"as it is: {Path(native.target).name}"
    assert facts.precision == "fp32"
    assert facts.threads == 1
    assert facts.options is not None
    assert facts.options["mode"] == (variant or "graph")
    session.close()


@pytest.mark.parametrize("variant", ["", "xla"])
@pytest.mark.parametrize("make", [convolutional, tagger])
def test_it_is_traced_for_the_shapes_that_are_measured(
    tmp_path: Path, make: Any, variant: str
) -> None:
    """Whatever the model leaves open has one length in the function that runs."""
    model = make()
    native = kept(model, tmp_path, "keras")
    shape = (2, 16, 16, 3) if make is convolutional else (2, 9)
    name = "image" if make is convolutional else "ids"
    given = bound(native, tmp_path, 2, **{name: shape})
    feed = normal(*shape) if make is convolutional else np.arange(18, dtype=np.int32).reshape(2, 9)
    session = KerasAdapter(variant).load(given, LIMITS, "fp32")
    have = next(iter(measured(session, {name: feed}).values()))
    np.testing.assert_allclose(have, model(feed, training=False), rtol=1e-4, atol=1e-5)


def test_a_factory_is_called_with_its_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are those of the file that was made from it."""
    (tmp_path / "kept.py").write_text(
        "import keras\n"
        "def model():\n"
        "    x = keras.Input((4,), name='x')\n"
        "    return keras.Model(x, keras.layers.Dense(2, name='y')(x))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "kept", raising=False)
    given = bound(Native("keras", "factory", "kept:model", seed=3), tmp_path, 2)
    session = KerasAdapter().load(given, LIMITS, "fp32")
    found = measured(session, {"x": normal(2, 4)})["y"]
    import onnxruntime

    file = onnxruntime.InferenceSession(given.path, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(found, file.run(None, {"x": normal(2, 4)})[0], rtol=1e-5)
    assert session.facts().importer == "as it is: kept:model"


def test_half_precision_is_told(tmp_path: Path) -> None:
    """Whatever was asked for, what a model casts to float16 is not computed in float32."""
    x = keras.Input((16,), name="x")
    h = layers.Dense(32, dtype="mixed_float16")(x)
    native = kept(keras.Model(x, layers.Dense(4)(h)), tmp_path, "keras")
    session = KerasAdapter().load(bound(native, tmp_path, 1), LIMITS, "fp32")
    assert session.facts().precision == "fp16+fp32"


def test_an_onnx_model_is_left_to_others(tmp_path: Path) -> None:
    given = BoundModel(tmp_path / "m.onnx", (TensorSpec("x", "float32", (1,)),), ("y",), {})
    with pytest.raises(UsageError, match="Use tensorflow"):
        KerasAdapter().load(given, LIMITS, "fp32")
    assert not KerasAdapter.takes_onnx


def test_what_cannot_be_held_is_a_usage_error(tmp_path: Path) -> None:
    specs = (TensorSpec("x", "float32", (1,)),)
    native = Native("keras", "keras", str(tmp_path / "m.keras"))
    given = BoundModel(tmp_path / "m.onnx", specs, ("y",), {}, native)
    for limits, precision, said in (
        (LIMITS, "bf16", "as they are, and none is narrowed to bf16"),
        (LIMITS, "tf32", "tf32"),
        (Limits(threads=1, device="cuda:0"), "fp32", "cuda:0"),
        (Limits(threads=2), "fp32", "set to 1 threads"),
    ):
        with pytest.raises(UsageError, match=said):
            KerasAdapter().load(given, limits, precision)


def test_a_model_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    native = kept(two_ends(), tmp_path, "keras")
    given = bound(native, tmp_path, 1)
    kept(convolutional(), tmp_path, "keras")
    with pytest.raises(ModelError, match="changed since"):
        KerasAdapter().load(given, LIMITS, "fp32")


def test_what_xla_cannot_compile_is_refused_by_name(tmp_path: Path) -> None:
    x = keras.Input((4, 4), name="x")
    native = kept(keras.Model(x, keras.ops.linalg.det(x)), tmp_path, "keras")
    specs = (TensorSpec("x", "float32", (2, 4, 4)),)
    given = BoundModel(tmp_path / "m.onnx", specs, ("y",), {}, native)
    found = measured(KerasAdapter().load(given, LIMITS, "fp32"), {"x": normal(2, 4, 4)})["y"]
    np.testing.assert_allclose(found, np.linalg.det(normal(2, 4, 4)), rtol=1e-4)
    with pytest.raises(UnsupportedNodeError, match="XLA has no MatrixDeterminant") as raised:
        KerasAdapter("xla").load(given, LIMITS, "fp32")
    assert raised.value.operator == "MatrixDeterminant"


def test_its_version_names_both_and_its_variants_are_known() -> None:
    version = KerasAdapter().prepare(LIMITS)
    assert keras.__version__ in version
    assert tf.__version__ in version
    assert keras.backend.backend() == "tensorflow"
    with pytest.raises(UsageError, match="keras has no variant 'turbo'"):
        KerasAdapter("turbo")
