"""Image classifiers whose architecture transformers has, with healthy seeded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xbench_models.pytorch.architecture import PLAIN_ATTENTION
from xbench_models.pytorch.health import calibrate

if TYPE_CHECKING:
    from xbench_models.pytorch.recipe import Made

CALIBRATION_IMAGES = 8
RESIDUAL_SCALE = 0.25  # at 1, sixteen untrained residuals make rounding errors grow 200-fold


def images(count: int, size: int) -> dict[str, Tensor]:
    """Return ``count`` random images of unit variance, by the name of the input."""
    return {"pixel_values": torch.randn(count, 3, size, size)}


def mobilenet_v2() -> Made:
    """Return MobileNetV2 and two images of 224 x 224."""
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    config = MobileNetV2Config(num_labels=1000, tf_padding=False)
    return _healthy(MobileNetV2ForImageClassification(config))


def resnet50() -> Made:
    """Return ResNet-50 and two images of 224 x 224."""
    from transformers import ResNetConfig, ResNetForImageClassification
    from transformers.models.resnet.modeling_resnet import ResNetBottleNeckLayer

    model = ResNetForImageClassification(ResNetConfig(num_labels=1000))
    for block in model.modules():
        if isinstance(block, ResNetBottleNeckLayer):
            nn.init.constant_(block.layer[-1].normalization.weight, RESIDUAL_SCALE)
    return _healthy(model)


def vit_b_16() -> Made:
    """Return ViT-B/16 and two images of 224 x 224."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(num_labels=1000, attn_implementation=PLAIN_ATTENTION)
    # Layer normalisation keeps its activations in scale as they are: nothing to calibrate.
    return ViTForImageClassification(config), images(2, 224)


def _healthy(module: nn.Module) -> Made:
    return calibrate(module, images(CALIBRATION_IMAGES, 224)), images(2, 224)
