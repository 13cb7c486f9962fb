"""Convolutions run in the layout that is faster here, and the row says which."""

from __future__ import annotations

import torch
from torch import nn

from xbench_adapters.pytorch.layout import choose


class Slow(nn.Module):
    """A convolution that sleeps in one of the layouts."""

    def __init__(self, slow_when_last: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3)
        self.slow_when_last = slow_when_last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        import time

        if is_last(self.conv) == self.slow_when_last:
            time.sleep(0.02)
        found: torch.Tensor = self.conv(x)
        return found


def is_last(conv: nn.Conv2d) -> bool:
    return conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_faster_layout_is_kept_and_told() -> None:
    for slow_when_last in (True, False):
        module, x = Slow(slow_when_last), torch.randn(1, 4, 8, 8)
        wanted = module(x)
        said = choose(module, [x])
        assert said is not None
        assert said.startswith("channels first" if slow_when_last else "channels last")
        assert is_last(module.conv) is not slow_when_last
        torch.testing.assert_close(module(x), wanted)


def test_a_module_without_such_convolutions_has_no_choice() -> None:
    assert choose(nn.Sequential(nn.Linear(2, 2), nn.Conv1d(2, 2, 1)), []) is None
