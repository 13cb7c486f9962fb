"""The derivative of one value of a graph by others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.fx
from torch import nn

from xbench.graph.plain import free_values, without_dead_nodes
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Graph, Node
    from xbench_adapters.pytorch.builder import Builder


class Derivatives(nn.Module):
    """The derivatives of a function's sum by the first of its inputs."""

    def __init__(self, function: nn.Module, count: int) -> None:
        super().__init__()
        self.function = function
        self.count = count

    def forward(
        self, inputs: tuple[torch.Tensor, ...], captured: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        """Return a derivative for each of the first inputs, zero where there is none."""
        with torch.inference_mode(False), torch.enable_grad():
            plain = [one.clone() for one in (*inputs, *captured)]
            leaves = [one.requires_grad_() for one in plain[: self.count]]
            (value,) = self.function(*leaves, *plain[self.count :])
            found = torch.autograd.grad(value, leaves, torch.ones_like(value), allow_unused=True)
        pairs = zip(found, leaves, strict=True)
        return tuple(torch.zeros_like(leaf) if one is None else one for one, leaf in pairs)


@lowering("Gradient", 1, domain="ai.onnx.preview.training")
def gradient(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the derivative of the value ``y`` by each input that ``xs`` names."""
    part = _part(to.graph, node)
    count = len(node.attributes["xs"])
    module = Derivatives(to.inner(part), count)
    inputs = tuple(to.value(name) for name in node.inputs)
    captured = tuple(to.value(name) for name in part.captures)
    return to.items(to.module(module, inputs, captured), count)


def _part(graph: Graph, node: Node) -> Graph:
    """Return what computes ``y`` from the node's inputs."""
    given = set(node.inputs)
    nodes = tuple(one for one in graph.nodes if one is not node and given.isdisjoint(one.outputs))
    whole = replace(
        graph,
        inputs=node.inputs,
        outputs=(node.attributes["y"],),
        results=(node.attributes["y"],),
        nodes=nodes,
    )
    part = without_dead_nodes(whole)
    return replace(part, captures=free_values(part))
