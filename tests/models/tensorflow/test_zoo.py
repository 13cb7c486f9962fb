"""Every Keras model of the catalogue: what it computes can be told apart."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest

from xbench.adapter import Limits
from xbench.catalog import resolve
from xbench.progress import Silent
from xbench_adapters.tensorflow import TensorFlowAdapter
from xbench_models.catalog import CATALOG
from xbench_models.comparing import HIGHEST_STD, LEAST_DIFFERENCE, LOWEST_STD, difference, doubt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xbench.catalog import ModelCard

TensorFlowAdapter().prepare(Limits(threads=1))  # before anything of Keras is imported

ROUNDING = 3e-4  # of the outputs' deviation: what fp32 may lose, far below what parity allows
ROUNDING_GROWTH = 100  # of a relative error of 1e-6 in the images: what fp32 loses stays small
SMALL = {"keras_mobilenet_v2", "keras_text_transformer"}
CARDS = [card for card in CATALOG if card.framework == "keras"]
VISION = [card for card in CARDS if card.task == "image classification"]


def each(cards: list[ModelCard]) -> pytest.MarkDecorator:
    """Return a mark that runs a test for each card, the large ones as slow tests."""
    slow = {card.name: () if card.name in SMALL else pytest.mark.slow for card in cards}
    cases = [pytest.param(card, id=card.name, marks=slow[card.name]) for card in cards]
    return pytest.mark.parametrize("card", cases)


@cache
def made(factory: str, seed: int = 0) -> Any:
    """Return the model of a factory, its random numbers seeded."""
    from xbench_models.factory import call

    return call(factory, seed)


def feed(model: Any, batch: int, seed: int) -> NDArray[Any]:
    """Return a seeded input that is valid for the model."""
    random = np.random.default_rng(seed)
    shape = (batch, *model.input.shape[1:])
    if model.input.dtype == "int32":
        return random.integers(20_000, size=shape, dtype=np.int32)
    return random.standard_normal(shape, dtype=np.float32)


def run(model: Any, given: NDArray[Any]) -> NDArray[Any]:
    """Return the output of an inference."""
    found: NDArray[Any] = model(given, training=False).numpy()
    return found


def stds(model: Any, given: NDArray[Any]) -> dict[str, float]:
    """Return the standard deviation of what each weighted layer puts out."""
    import keras

    weighted = [layer for layer in model.layers if layer.weights]
    found = keras.Model(model.input, [layer.output for layer in weighted])(given, training=False)
    return {layer.name: float(np.std(one)) for layer, one in zip(weighted, found, strict=True)}


def out_of_scale(model: Any) -> dict[str, float]:
    """Return the layers whose activations are too small or too large, on fresh inputs."""
    found = stds(model, feed(model, 2, seed=1))
    assert len(found) > 2
    return {name: std for name, std in found.items() if not LOWEST_STD <= std <= HIGHEST_STD}


def test_the_catalogue_has_vision_and_text() -> None:
    assert {card.task for card in CARDS} == {"image classification", "text classification"}


@each(CARDS)
def test_activations_keep_their_scale_and_outputs_tell_inputs_apart(card: ModelCard) -> None:
    """On inputs that were not calibrated on, from the first layer to the outputs."""
    model = made(card.factory)
    assert sum(int(np.prod(one.shape)) for one in model.trainable_weights) == card.parameters

    assert out_of_scale(model) == {}
    first, second = run(model, feed(model, 2, seed=1))
    assert LOWEST_STD <= first.std() <= HIGHEST_STD
    assert difference(first, second) >= LEAST_DIFFERENCE


@each(VISION)
def test_rounding_errors_stay_small(card: ModelCard) -> None:
    """What is off by a millionth in the images is off by little more in the outputs."""
    model = made(card.factory)
    given = feed(model, 2, seed=1)
    off = 1 + 1e-6 * np.random.default_rng(2).standard_normal(given.shape)
    wanted, found = run(model, given), run(model, (given * off).astype(np.float32))
    assert (found - wanted).std() <= ROUNDING_GROWTH * 1e-6 * wanted.std()


@each(CARDS)
def test_the_file_agrees_at_any_batch_and_tells_inputs_apart(card: ModelCard) -> None:
    """The file is the user's own cached one: each is built once."""
    model, path = made(card.factory), resolve(card.name, 0, Silent()).path
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (declared,) = session.get_inputs()
    assert (declared.name, declared.shape[0]) == (model.input.name, "batch")
    for batch in (1, 3):
        feeds = [feed(model, batch, seed) for seed in (batch, 9)]
        first, second = (session.run(None, {declared.name: one})[0] for one in feeds)
        wanted = run(model, feeds[0])
        np.testing.assert_allclose(first, wanted, rtol=0, atol=ROUNDING * wanted.std())
        assert doubt([first], [second]) is None


def test_what_was_not_calibrated_is_told_by_the_same_check() -> None:
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(weights=None, classifier_activation=None)
    assert out_of_scale(model) != {}
    first, second = run(model, feed(model, 2, seed=1))
    assert doubt([first], [second]) is not None


def test_calibration_leaves_the_layers_settings_as_they_were() -> None:
    import keras

    from xbench_models.tensorflow.health import calibrate

    images = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization(momentum=0.9)(keras.layers.Normalization()(images))
    model = keras.Model(images, keras.layers.Dropout(0.5)(x))
    given = np.random.default_rng(0).normal(40, 5, (64, 8, 8, 3)).astype(np.float32)

    assert calibrate(model, given) is model

    assert (model.layers[2].momentum, model.layers[3].rate) == (0.9, 0.5)
    assert run(model, given).mean() == pytest.approx(0, abs=1e-3)
    assert run(model, given).std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["keras_mobilenet_v2", "keras_text_transformer"])
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    """And another seed gives others."""
    from xbench_models.factory import call

    (card,) = (card for card in CARDS if card.name == name)

    def weights(seed: int) -> NDArray[Any]:
        return np.concatenate([one.numpy().ravel() for one in call(card.factory, seed).weights])

    assert np.array_equal(weights(3), weights(3))
    assert not np.array_equal(weights(3), weights(4))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
def test_a_saved_text_classifier_is_the_same_when_it_is_loaded(tmp_path: Path) -> None:
    import keras

    from xbench_models.zoo.keras_text import keras_text_transformer

    model = keras_text_transformer()
    model.save(tmp_path / "text.keras")
    given = feed(model, 2, seed=1)
    np.testing.assert_array_equal(
        run(keras.saving.load_model(tmp_path / "text.keras"), given), run(model, given)
    )
