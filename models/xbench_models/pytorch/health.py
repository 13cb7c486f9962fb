"""Weights under which activations keep their scale and outputs tell inputs apart.

Random weights collapse: as a deep network falls from its initialisation, its activations
shrink by a factor a layer, its outputs hardly depend on its inputs, and any check of agreement
passes. One pass over seeded inputs repairs the layers in the order in which they run: batch
normalisation takes its statistics from the data, and a convolution or dense layer is scaled so
that it puts out a standard deviation of 1 (layer-sequential unit variance, Mishkin and Matas,
arXiv:1511.06422). Nothing is centred: that would tell inputs apart still better, but it makes
rounding errors grow as well, and runtimes that agree would seem not to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

SMALLEST_STD = 1e-30  # below this nothing but zeros is left to scale


def calibrate(module: nn.Module, inputs: Mapping[str, Tensor]) -> nn.Module:
    """Return ``module`` itself in evaluation mode, its weights repaired on ``inputs``."""
    module.eval()
    uses = Counter(id(layer.weight) for layer in module.modules() if _is_weighted(layer))
    hooks = []
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            hooks.append(layer.register_forward_pre_hook(_take_statistics))
        elif _is_linear(layer) and uses[id(layer.weight)] == 1:  # else it is tied to another's
            hooks.append(layer.register_forward_hook(_scale))
    with torch.no_grad():
        module(**inputs)
    for hook in hooks:
        hook.remove()
    return module


def _is_weighted(layer: nn.Module) -> bool:
    return isinstance(getattr(layer, "weight", None), Tensor)


def _is_linear(layer: nn.Module) -> bool:
    """Whether the layer's outputs are linear in its weight: convolutions and dense layers."""
    return isinstance(layer, _ConvNd | nn.Linear) or type(layer).__name__ == "Conv1D"


def _take_statistics(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
    assert isinstance(layer, _BatchNorm)
    over = [axis for axis in range(args[0].dim()) if axis != 1]
    variance, mean = torch.var_mean(args[0], dim=over)
    layer.running_mean, layer.running_var = mean, variance


def _scale(layer: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Change the layer so that this output has a standard deviation of 1."""
    std = output.std().clamp(min=SMALLEST_STD)
    for weight in layer.parameters(recurse=False):
        weight.div_(std)
    return output / std
