"""The derivative of one value of a graph by others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.graph.plain import free_values, without_dead_nodes
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Graph, Node
    from xbench_adapters.tensorflow.builder import Builder


@lowering("Gradient", 1, domain="ai.onnx.preview.training")
def gradient(node: Node, to: Builder) -> tuple[Any, ...]:
    """Return the derivative of the value ``y`` by each input that ``xs`` names."""
    part = _part(to.graph, node)
    # The inputs stand for themselves: their own past is no part of the derivative.
    inputs = [tf.identity(to.value(name)) for name in node.inputs]
    (value,) = to.inner(part, [*inputs, *(to.value(name) for name in part.captures)])
    leaves = inputs[: len(node.attributes["xs"])]
    try:
        found = tf.gradients(value, leaves, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    except LookupError as error:
        to.refuse(f"TensorFlow knows no derivative: {error}")
    return tuple(tf.convert_to_tensor(one) for one in found)


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
