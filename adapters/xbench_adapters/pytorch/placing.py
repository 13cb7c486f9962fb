"""A module on the device where it will run, with all that it makes on the way."""

from __future__ import annotations

from typing import Any

import torch
import torch.fx
from torch import nn
from torch.fx.node import map_aggregate

from xbench_adapters.pytorch.lower.fill import counted

_MAKERS = frozenset({torch.full, torch.arange, counted})
"""What makes a tensor of plain numbers in an imported graph, and so has no device to take."""


def move(module: nn.Module, device: torch.device) -> None:
    """Move a module to a device: its weights, and what graphs within it hold or make."""
    if device.type != "cpu":
        aim(module, device)
        module.to(device)


def aim(module: nn.Module, device: torch.device) -> None:
    """Have the graphs within a module make their tensors on a device, and hold constants there.

    A graph that was traced on a CPU names the CPU wherever it makes a tensor.
    """
    for part in module.modules():
        if not isinstance(part, torch.fx.GraphModule):
            continue
        for node in part.graph.nodes:
            if node.op == "call_function" and node.target in _MAKERS:
                node.update_kwarg("device", device)
            node.args = map_aggregate(node.args, lambda one: _there(one, device))
            node.kwargs = map_aggregate(node.kwargs, lambda one: _there(one, device))
        part.recompile()
        for name, held in list(vars(part).items()):  # neither parameters nor buffers
            if isinstance(held, torch.Tensor):
                setattr(part, name, held.to(device))


def _there(argument: Any, device: torch.device) -> Any:
    return device if isinstance(argument, torch.device) else argument
