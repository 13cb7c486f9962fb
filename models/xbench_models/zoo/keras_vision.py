"""Image classifiers of Keras's own applications, with healthy seeded weights.

They return logits: the probabilities of a thousand classes would hardly differ between inputs.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from xbench_models.tensorflow.health import calibrate

CALIBRATION_IMAGES = 8
RESIDUAL_SCALE = 0.25  # at 1, sixteen untrained residuals make rounding errors grow 40-fold
SHAPE = (224, 224, 3)


def keras_mobilenet_v2() -> keras.Model:
    """Return MobileNetV2, which takes images of 224 x 224."""
    return _healthy(keras.applications.MobileNetV2)


def keras_resnet50() -> keras.Model:
    """Return ResNet-50, which takes images of 224 x 224."""
    return _healthy(keras.applications.ResNet50, last_of_block="_3_bn")


def keras_efficientnet_b0() -> keras.Model:
    """Return EfficientNet-B0, which takes images of 224 x 224."""
    return _healthy(keras.applications.EfficientNetB0)


def _healthy(
    architecture: Callable[..., keras.Model], last_of_block: str | None = None
) -> keras.Model:
    """Return a calibrated model.

    Args:
        architecture: Of ``keras.applications``.
        last_of_block: How the name of each residual block's last normalisation ends, where
            these are to be scaled.
    """
    images = keras.Input(SHAPE, name="images")
    made = architecture(weights=None, input_tensor=images, classifier_activation=None)
    for layer in made.layers:
        if last_of_block and layer.name.endswith(last_of_block):
            layer.gamma.assign(layer.gamma * RESIDUAL_SCALE)
    # Given an input tensor, Keras makes a model of a list of inputs; this one takes the tensor.
    model = keras.Model(images, made.output, name=made.name)
    noise = np.random.default_rng(0).standard_normal((CALIBRATION_IMAGES, *SHAPE), np.float32)
    return calibrate(model, noise)
