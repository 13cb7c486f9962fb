"""Operands of two that broadcast against each other: as NumPy does, or as ONNX did at first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.builder import Last
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

Function = Callable[["Node", "Builder", Any, Any], Any]
"""What computes a node's result from both of its operands."""


def plain(function: Callable[[Any, Any], Any]) -> Function:
    """Return a function of two tensors as one that is also told of the node."""
    return lambda _node, _to, left, right: function(left, right)


def of_two(operator: str, since: int = 1, **options: Any) -> Callable[[Function], Function]:
    """Register a function of two operands, of which versions before 7 could place the second."""

    def register(function: Function) -> Function:
        @lowering(operator, since, when=_is_placed, **options)
        def at_axis(node: Node, to: Builder) -> Any:
            return _placed(node, to, function)

        @lowering(operator, since, layout="any", **options)
        def beside(node: Node, to: Builder) -> Any:
            return function(node, to, *(to.value(name) for name in node.inputs))

        return function

    return register


def _is_placed(node: Node) -> bool:
    return bool(node.attributes.get("broadcast", 0)) and node.attributes.get("axis") is not None


def _placed(node: Node, to: Builder, function: Function) -> Any:
    """Return a result whose second operand's first axis lies at ``axis`` of the first one."""
    name, other = node.inputs
    rank, own = to.rank(name), to.rank(other)
    at = to.axis(node.attributes["axis"], rank)
    right = to.value(other)
    if at == own == 1 and to.has_last(name) and to.floating(name):
        return Last(function(node, to, to.last(name), right))
    for _ in range(rank - at - own):
        right = tf.expand_dims(right, -1)
    return function(node, to, to.value(name), right)
