"""A small single-shot detector: boxes and scores of every anchor, without suppression.

Depthwise-separable convolutions, and heads on three grids; a box is decoded from its anchor as
in SSD (Liu et al., arXiv:1512.02325), so that the graph has the slices, exponentials and
concatenations that detectors bring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xbench_models.pytorch.health import calibrate
from xbench_models.zoo.vision import CALIBRATION_IMAGES, images

if TYPE_CHECKING:
    from xbench_models.pytorch.recipe import Made

SIZE = 320
GRIDS = ((20, 0.15), (10, 0.35), (5, 0.65))  # cells a side, and the anchors' size in images
RATIOS = (0.5, 1.0, 2.0)
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2  # SSD's


class Detector(nn.Module):
    """Finds boxes (left, top, right, bottom, in shares of the image) and scores of classes."""

    anchors: Tensor

    def __init__(self, classes: int = 80) -> None:
        super().__init__()
        self.classes = classes
        self.stem = nn.Sequential(
            _convolution(3, 32, stride=2),  # 160 cells a side
            _separable(32, 64, stride=2),
            _separable(64, 128, stride=2),
            _separable(128, 128),
            _separable(128, 256, stride=2),  # 20
            _separable(256, 256),
            _separable(256, 256),
        )
        self.stages = nn.ModuleList(
            (nn.Identity(), _separable(256, 512, stride=2), _separable(512, 512, stride=2))
        )
        widths = (256, 512, 512)
        self.offsets = nn.ModuleList(_head(w, 4) for w in widths)
        self.scores = nn.ModuleList(_head(w, classes) for w in widths)
        self.register_buffer("anchors", _anchors())

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Return boxes, batch x anchors x 4, and scores, batch x anchors x classes."""
        x = self.stem(pixel_values)
        offsets, scores = [], []
        for stage, offset, score in zip(self.stages, self.offsets, self.scores, strict=True):
            x = stage(x)
            offsets.append(offset(x).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)))
            scores.append(score(x).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, self.classes)))
        boxes = self._decode(torch.cat(offsets, dim=1))
        return {"boxes": boxes, "scores": torch.cat(scores, dim=1).sigmoid()}

    def _decode(self, offsets: Tensor) -> Tensor:
        centre, size = self.anchors[:, :2], self.anchors[:, 2:]
        centre = centre + CENTRE_VARIANCE * offsets[..., :2] * size
        half = size * torch.exp(SIZE_VARIANCE * offsets[..., 2:]) / 2
        return torch.cat((centre - half, centre + half), dim=-1)


def detector() -> Made:
    """Return the detector and two images of 320 x 320."""
    return calibrate(Detector(), images(CALIBRATION_IMAGES, SIZE)), images(2, SIZE)


def _anchors() -> Tensor:
    """Return centre and size of each anchor in shares of the image, row by row of each grid."""
    found = []
    for cells, size in GRIDS:
        centres = (torch.arange(cells) + 0.5) / cells
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        for_each_ratio = [
            torch.stack(
                (
                    x,
                    y,
                    torch.full_like(x, size * ratio**0.5),
                    torch.full_like(y, size / ratio**0.5),
                ),
                dim=-1,
            )
            for ratio in RATIOS
        ]
        found.append(torch.stack(for_each_ratio, dim=2).reshape(-1, 4))
    return torch.cat(found)


def _head(channels: int, values: int) -> nn.Sequential:
    """Return what maps a grid's features to ``values`` for each anchor."""
    return nn.Sequential(
        _convolution(channels, channels, groups=channels),
        nn.Conv2d(channels, len(RATIOS) * values, 1),
    )


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        _convolution(inputs, inputs, stride=stride, groups=inputs),
        _convolution(inputs, outputs, kernel=1),
    )


def _convolution(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )
