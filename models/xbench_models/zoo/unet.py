"""U-Net (Ronneberger et al., arXiv:1505.04597), padded and with batch normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xbench_models.pytorch.health import calibrate
from xbench_models.zoo.vision import images

if TYPE_CHECKING:
    from xbench_models.pytorch.recipe import Made

SIZE = 256


class UNet(nn.Module):
    """Four halvings down, four doublings up, each level joined to the one it came from."""

    def __init__(self, width: int = 32, levels: int = 4, classes: int = 4) -> None:
        super().__init__()
        widths = [width << level for level in range(levels + 1)]
        self.enter = _double(3, width)
        self.down = nn.ModuleList(_double(w // 2, w) for w in widths[1:])
        self.widen = nn.ModuleList(
            nn.ConvTranspose2d(w, w // 2, 2, stride=2) for w in reversed(widths[1:])
        )
        self.up = nn.ModuleList(_double(w, w // 2) for w in reversed(widths[1:]))
        self.leave = nn.Conv2d(width, classes, 1)
        self.halve = nn.MaxPool2d(2)

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Return the logits of each pixel, batch x classes x height x width."""
        levels = [self.enter(pixel_values)]
        for down in self.down:
            levels.append(down(self.halve(levels[-1])))
        x = levels.pop()
        for widen, up in zip(self.widen, self.up, strict=True):
            x = up(torch.cat((levels.pop(), widen(x)), dim=1))
        return {"logits": self.leave(x)}


def unet() -> Made:
    """Return the U-Net and two images of 256 x 256."""
    return calibrate(UNet(), images(4, SIZE)), images(2, SIZE)


def _double(inputs: int, outputs: int) -> nn.Sequential:
    """Return two convolutions of 3 x 3, each normalised and rectified."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
