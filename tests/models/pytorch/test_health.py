"""Calibration, and doubts about outputs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xbench_models.comparing import doubt
from xbench_models.pytorch.health import calibrate


class Stack(nn.Module):
    """Layers of every kind that is calibrated, their weights scaled by a factor each."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, groups=4),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 6, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(6, 4, 1, bias=False),
        )
        self.dense = nn.Linear(4, 5)
        with torch.no_grad():
            for weight in self.parameters():
                weight.mul_(factor)

    def forward(self, x: Tensor) -> Tensor:
        """Return batch x 5."""
        features: Tensor = self.convolutions(x)
        dense: Tensor = self.dense(features.mean(dim=(2, 3)))
        return dense


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_any_scale_of_weights_is_repaired(factor: float, seed: int) -> None:
    """What was calibrated on has unit deviation in the end, however far the weights were off."""
    torch.manual_seed(seed)
    x = torch.randn(16, 3, 12, 12)
    module = calibrate(Stack(factor), {"x": x})
    with torch.no_grad():
        y = module(x)
    assert float(y.std()) == pytest.approx(1, rel=1e-3)
    assert not module.training


def test_batch_normalisation_takes_its_statistics_from_the_data() -> None:
    torch.manual_seed(0)
    module = calibrate(
        nn.Sequential(nn.BatchNorm2d(3)), {"input": torch.randn(8, 3, 9, 9) * 5 + 40}
    )
    with torch.no_grad():
        y = module(torch.randn(8, 3, 9, 9) * 5 + 40)
    assert float(y.mean()) == pytest.approx(0, abs=0.1)
    assert float(y.std()) == pytest.approx(1, rel=0.1)


def test_a_tied_weight_is_left_alone() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Embedding(7, 4)
            self.leave = nn.Linear(4, 7, bias=False)
            self.leave.weight = self.enter.weight

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.leave(self.enter(x))
            return logits

    module = Tied()
    before = module.enter.weight.clone()
    calibrate(module, {"x": torch.arange(7)[None]})
    assert torch.equal(module.enter.weight, before)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (torch.randn(2, 50), torch.randn(2, 50), None),
        (torch.randn(2, 50, 3), torch.randn(3, 20, 3), None),
        (torch.tensor([1, 2, 3]), torch.tensor([1, 2, 3]), None),
        (torch.full((2, 50), torch.nan), torch.randn(2, 50), "not finite"),
        (torch.ones(2, 50), torch.ones(2, 50), "standard deviation"),
        (torch.randn(2, 50) * 1e-22, torch.randn(2, 50) * 1e-22, "standard deviation"),
        (torch.randn(2, 50) * 1e9, torch.randn(2, 50) * 1e9, "standard deviation"),
        (torch.arange(10.0), torch.arange(10.0) + 1e-4, "nearly the same"),
    ],
)
def test_outputs_on_which_agreement_would_mean_nothing_are_named(
    first: Tensor, second: Tensor, said: str | None
) -> None:
    reason = doubt([first.numpy()], [second.numpy()])
    assert reason is None if said is None else reason is not None and said in reason
