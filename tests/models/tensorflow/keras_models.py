"""Small Keras models, and what runs their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnxruntime
from keras import layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xbench.adapter import Array


def two_ends() -> Any:
    """Return a model of two inputs and two outputs, neither in the order of their names."""
    right, left = keras.Input((4,), name="right"), keras.Input((8,), name="left")
    both = layers.Concatenate()([layers.Dense(8, activation="gelu")(left), right])
    ends = [layers.Dense(3, name="second")(both), layers.Dense(2, name="first")(both)]
    return keras.Model([right, left], ends)


def convolutional() -> Any:
    """Return convolutions of both kinds, with batch normalisation."""
    return keras.Sequential(
        [
            keras.Input((16, 16, 3), name="image"),
            layers.Conv2D(8, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3),
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, name="scores"),
        ]
    )


def tagger() -> Any:
    """Return recurrent layers over embedded words, the padding masked, of any length."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    words = layers.Embedding(30, 8, embeddings_initializer="random_normal", mask_zero=True)(ids)
    states = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(words)
    return keras.Model(ids, layers.Dense(2, name="tags")(layers.GRU(5)(states)))


class Gated(keras.Model):  # type: ignore[misc] # Keras ships no types
    """A subclass that takes two arguments and gives a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, words: Any, scale: Any) -> Any:
        found = self.dense(words) * scale
        return {"scaled": found, "all": [found + 1, words]}


def normal(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Return float32 numbers as nature has them."""
    found: NDArray[np.float32] = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return found


def run(path: Path, feeds: Mapping[str, Array]) -> dict[str, Any]:
    """Return what ONNX Runtime computes, by name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(feeds)), strict=True))


def ends(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the shapes of the inputs and of the outputs of a file, by name and in order."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.get_inputs(), session.get_outputs()
    shapes = [{one.name: one.shape for one in side} for side in found]
    return shapes[0], shapes[1]
