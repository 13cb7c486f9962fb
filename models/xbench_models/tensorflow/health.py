"""Normalisation that fits its inputs, so that a Keras model tells them apart.

Keras's initial weights make activations smaller from layer to layer, those of depthwise
convolutions thirty-fold, and a batch normalisation that was never trained changes nothing: it
takes means of 0 and variances of 1. One training pass over seeded images has each take the
statistics of what really reaches it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


def calibrate(model: keras.Model, images: Any) -> keras.Model:
    """Return ``model`` itself, its normalisations with the statistics of ``images``."""
    for layer in _of(model, keras.layers.Normalization):
        layer.adapt(keras.Model(model.input, layer.input)(images, training=False))
    with (
        # nothing of what was there before stays in the moving averages
        _changed(_of(model, keras.layers.BatchNormalization), "momentum", 0.0),
        # the statistics are those of inference, which drops nothing
        _changed(_of(model, keras.layers.Dropout), "rate", 0.0),
    ):
        model(images, training=True)
    return model


def _of(model: keras.Model, kind: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


@contextmanager
def _changed(layers: list[Any], attribute: str, value: float) -> Iterator[None]:
    """Set an attribute of each layer, and put back what it was."""
    before = [getattr(layer, attribute) for layer in layers]
    for layer in layers:
        setattr(layer, attribute, value)
    try:
        yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            setattr(layer, attribute, old)
