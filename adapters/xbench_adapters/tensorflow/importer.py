"""From an ONNX model to a `tf.Module` of native TensorFlow operations in one `tf.function`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.errors import UnsupportedNodeError
from xbench.graph.evaluate import evaluate
from xbench.graph.fusions import fuse
from xbench.graph.plain import Graph
from xbench.graph.read import read_model
from xbench_adapters.tensorflow.builder import Builder, Last
from xbench_adapters.tensorflow.registry import TABLE
from xbench_adapters.tensorflow.structures import handed_in, handed_out, made_up, tried
from xbench_adapters.tensorflow.tensors import tf_dtype

if TYPE_CHECKING:
    import onnx

    from xbench.graph.plain import Node


class Imported(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """A graph as a function of its inputs in order, to a tuple of its outputs in order.

    Attributes:
        graph: What was lowered.
        call: The `tf.function`, with a signature of the graph's inputs; without one where some
            input is a sequence or an optional, whose lengths are then traced as they come.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        whole = all(graph.value(name).dtype is not None for name in graph.inputs)
        signature = [_spec(graph, name) for name in graph.inputs] if whole else None
        self.call = tf.function(self._run, input_signature=signature, autograph=False)

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        """Return the outputs for inputs that `tf.constant` takes."""
        if self.call.input_signature is None:
            inputs = tuple(
                self._taken(*pair) for pair in zip(self.graph.inputs, inputs, strict=True)
            )
        found: tuple[Any, ...] = self.call(*inputs)
        return found

    def traced(self) -> Any:
        """Return the concrete function, which takes tensors and gives a tuple of tensors.

        Raises:
            UnsupportedNodeError: If an input or output is a sequence or an optional.
        """
        for name in self.graph.inputs:
            if self.graph.value(name).dtype is None:
                raise UnsupportedNodeError(name, "input", 0, "only tensors are fed, and it is none")
        concrete = self.call.get_concrete_function()
        for name, given in zip(self.graph.results, concrete.structured_outputs, strict=True):
            if not tf.is_tensor(given):
                raise UnsupportedNodeError(name, "output", 0, "it is no tensor, and cannot be read")
        return concrete

    def _taken(self, name: str, given: Any) -> Any:
        """Return an input as it is traced: in its type, where that is known."""
        if given is None or self.graph.value(name).dtype is None:
            return given
        spec = _spec(self.graph, name)
        tensor = tf.convert_to_tensor(given, spec.dtype)
        return tf.ensure_shape(tensor, spec.shape)

    def _run(self, *inputs: Any) -> tuple[Any, ...]:
        found = lower(self.graph, [handed_in(one) for one in inputs])
        return tuple(handed_out(one) for one in found)


def import_onnx(
    model: onnx.ModelProto | Path | str, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Imported:
    """Return the module for ``model``; see `xbench_adapters.tensorflow.import_onnx`."""
    graph = fuse(evaluate(model, shapes, TABLE.handles))
    TABLE.check(graph)
    module = Imported(graph)
    if module.call.input_signature is None:
        types = {one.name: one.type for one in read_model(model)[0].graph.input}
        tried(module.call.get_concrete_function, partial(_made_up, graph, types))
    else:
        module.call.get_concrete_function()  # refuses now what it would in the first run
    return module


def lower(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
    """Return the results of a graph, from tensors for its inputs and then its captures.

    Raises:
        UnsupportedNodeError: If a node cannot be run as ONNX defines it.
    """
    builder = Builder(graph, lambda inner, given: lower(fuse(inner), given))
    for name, value in zip((*graph.inputs, *graph.captures), inputs, strict=True):
        builder.define(name, value)
    for node in graph.nodes:
        _lower_node(builder, node)
    return [builder.raw(name) for name in graph.results]


def _lower_node(builder: Builder, node: Node) -> None:
    entry = TABLE.find(node)
    options = entry.options
    in_last = builder.begin(
        node, raw=options.get("raw", False), anywhere=options.get("layout") == "any"
    )
    with tf.name_scope(_scope(node.name)):
        found = entry.function(node, builder)
        results = found if isinstance(found, tuple) else (found,)
        for place, name in enumerate(node.outputs):
            if name and (place >= len(results) or results[place] is None):
                builder.refuse(f"its output {place + 1} cannot be computed")
        for name, result in zip(node.outputs, results, strict=False):
            if name:
                builder.give(name, Last(result) if in_last else result)


def _scope(name: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in name)
    return kept if kept[:1].isalnum() else f"n{kept}"


def node_of(graph: Graph, place: str) -> Node | None:
    """Return the node that an operation comes from, by the operation's path of scopes.

    Args:
        graph: What was lowered; the graphs within its nodes count as well.
        place: Such as ``StatefulPartitionedCall/conv_1/Conv2D``; None is returned where no part
            of it is the scope of a node.
    """
    by_scope: dict[str, Node] = {}
    pending = [graph]
    while pending:
        one = pending.pop()
        for node in one.nodes:
            by_scope.setdefault(_scope(node.name), node)
            pending += [value for value in node.attributes.values() if isinstance(value, Graph)]
    for part in place.split("/"):
        if found := by_scope.get(part) or by_scope.get(re.sub(r"_\d+$", "", part)):
            return found
    return None


def _made_up(
    graph: Graph, types: Mapping[str, onnx.TypeProto], length: int, rank: int | None
) -> list[Any]:
    """Return specifications of all inputs, those of sequences and optionals made up."""
    return [
        made_up(types[name], name, length, rank)
        if graph.value(name).dtype is None
        else _spec(graph, name)
        for name in graph.inputs
    ]


def _spec(graph: Graph, name: str) -> Any:
    value = graph.value(name)
    dtype = tf_dtype(value.dtype)
    if dtype is None:
        kind = "not a tensor" if value.dtype is None else value.dtype.name
        raise UnsupportedNodeError(name, "input", 0, f"TensorFlow cannot take it: it is {kind}")
    shape = None
    if value.shape is not None:
        shape = [dim if isinstance(dim, int) else None for dim in value.shape]
    return tf.TensorSpec(shape, dtype)
