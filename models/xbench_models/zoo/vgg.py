"""VGG-16 (Simonyan and Zisserman, arXiv:1409.1556, configuration D)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

from xbench_models.pytorch.health import calibrate
from xbench_models.zoo.vision import CALIBRATION_IMAGES, images

if TYPE_CHECKING:
    from xbench_models.pytorch.recipe import Made

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class Vgg16(nn.Module):
    """Thirteen convolutions in five stages, and three dense layers."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(*_stages())
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, classes),
        )

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Return the logits, batch x classes."""
        return {"logits": self.classifier(self.features(pixel_values))}


def vgg16() -> Made:
    """Return VGG-16 and two images of 224 x 224."""
    return calibrate(Vgg16(), images(CALIBRATION_IMAGES, 224)), images(2, 224)


def _stages() -> Iterator[nn.Module]:
    channels = 3
    for stage in STAGES:
        for width in stage:
            yield nn.Conv2d(channels, width, 3, padding=1)
            yield nn.ReLU()
            channels = width
        yield nn.MaxPool2d(2)
