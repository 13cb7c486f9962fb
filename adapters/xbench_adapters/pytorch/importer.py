"""From an ONNX model to a `torch.fx.GraphModule` of native modules and functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.errors import UnsupportedNodeError
from xbench.graph.evaluate import evaluate
from xbench.graph.fusions import fuse
from xbench_adapters.pytorch.builder import Builder
from xbench_adapters.pytorch.registry import find
from xbench_adapters.pytorch.tensors import DTYPES

if TYPE_CHECKING:
    import onnx
    import torch.fx

    from xbench.graph.plain import Graph


def import_onnx(
    model: onnx.ModelProto | Path | str, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> torch.fx.GraphModule:
    """Return the module for ``model``; see `xbench_adapters.pytorch.import_onnx`."""
    return lower(fuse(evaluate(model, shapes)))


def lower(graph: Graph) -> torch.fx.GraphModule:
    """Return the module for a graph.

    Raises:
        UnsupportedNodeError: If a node has no lowering, before any weight is copied.
    """
    functions = [find(node) for node in graph.nodes]
    builder = Builder(graph)
    for place, name in enumerate(graph.inputs):
        _check(graph, name)
        builder.define(name, builder.fx.placeholder(f"input_{place}"))
    for node, function in zip(graph.nodes, functions, strict=True):
        builder.begin(node)
        found = function(node, builder)
        results = found if isinstance(found, tuple) else (found,)
        if len(results) < sum(map(bool, node.outputs)):
            builder.refuse(f"of its outputs only the first {len(results)} can be computed")
        for name, result in zip(node.outputs, results, strict=False):
            if name:
                builder.define(name, result)
    module = builder.finish(graph.results)
    module.meta["xbench"] = {"nodes": len(graph.nodes), "fused": dict(graph.fused)}
    return module


def _check(graph: Graph, name: str) -> None:
    dtype = graph.value(name).dtype
    if dtype is None or dtype.name not in DTYPES:
        kind = dtype.name if dtype is not None else "not a tensor"
        raise UnsupportedNodeError(name, "input", 0, f"PyTorch cannot take it: it is {kind}")
