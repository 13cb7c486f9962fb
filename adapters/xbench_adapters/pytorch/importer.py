"""From an ONNX model to a `torch.fx.GraphModule` of native modules and functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.errors import UnsupportedNodeError
from xbench.graph.evaluate import evaluate
from xbench.graph.fusions import fuse
from xbench_adapters.pytorch.builder import Builder, Held
from xbench_adapters.pytorch.registry import TABLE, Entry, find, handles
from xbench_adapters.pytorch.tensors import DTYPES
from xbench_adapters.pytorch.weightless import Weightless

if TYPE_CHECKING:
    import onnx
    import torch.fx

    from xbench.graph.plain import Graph, Node


def import_onnx(
    model: onnx.ModelProto | Path | str, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> torch.fx.GraphModule:
    """Return the module for ``model``; see `xbench_adapters.pytorch.import_onnx`."""
    graph = _understood(model, shapes)
    module = lower(graph)
    module.meta["xbench"] = {"nodes": len(graph.nodes), "fused": dict(graph.fused)}
    return module


def check_onnx(
    model: onnx.ModelProto | Path | str, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> None:
    """Refuse what `import_onnx` refuses, without a copy of its large weights.

    Raises:
        UnsupportedNodeError: If a node cannot be run as ONNX defines it.
        ModelError: If the model cannot be read or its nodes do not fit together.
        ShapeError: If a shape does not fit the model.
    """
    lower(_understood(model, shapes), Weightless)


def _understood(
    model: onnx.ModelProto | Path | str, shapes: Mapping[str, tuple[int, ...]] | None
) -> Graph:
    """Return the graph to lower, once every operator in it is known to have a lowering."""
    graph = fuse(evaluate(model, shapes, handles))
    TABLE.check(graph)
    for name in graph.inputs:
        _check_input(graph, name)
    return graph


def lower(
    graph: Graph, make: type[Builder] = Builder, held: Held | None = None
) -> torch.fx.GraphModule:
    """Return the module for a graph: its inputs, then what it captures, to its results.

    Args:
        graph: The graph.
        make: What builds it.
        held: Weights that are parameters already, for a graph within a node to share.

    Raises:
        UnsupportedNodeError: If a node cannot be run as ONNX defines it.
    """
    builder = make(graph, lambda inner: lower(fuse(inner), make, builder.held))
    builder.held = builder.held if held is None else held
    for place, name in enumerate((*graph.inputs, *graph.captures)):
        builder.define(name, builder.fx.placeholder(f"input_{place}"))
    for node in graph.nodes:
        _lower_node(builder, node, find(node))
    return builder.finish(graph.results)


def _lower_node(builder: Builder, node: Node, entry: Entry) -> None:
    builder.begin(node, raw=entry.options.get("raw", False))
    found = entry.function(node, builder)
    results = found if isinstance(found, tuple) else (found,)
    given = {place for place, one in enumerate(results) if one is not None}
    for place, name in enumerate(node.outputs):
        if name and place not in given:
            builder.refuse(f"its output {place + 1} cannot be computed")
    for name, result in zip(node.outputs, results, strict=False):
        if name and result is not None:
            builder.give(name, result)


def _check_input(graph: Graph, name: str) -> None:
    dtype = graph.value(name).dtype
    if dtype is not None and dtype.name not in DTYPES and dtype.name != "object":
        raise UnsupportedNodeError(name, "input", 0, f"PyTorch cannot take {dtype.name}")
