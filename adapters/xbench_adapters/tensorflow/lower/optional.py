"""Optional values: whether one is empty is known while a graph is traced."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from xbench.graph.plain import Node
from xbench_adapters.tensorflow.builder import Builder
from xbench_adapters.tensorflow.registry import lowering
from xbench_adapters.tensorflow.structures import NOTHING


@lowering("Optional", raw=True)
def optional(node: Node, to: Builder) -> Any:
    """Return the input, or an empty optional."""
    return to.value(node.inputs[0]) if node.input(0) else NOTHING


@lowering("OptionalHasElement", raw=True)
def optional_has_element(node: Node, to: Builder) -> Any:
    """Return whether there is an element; an absent input has none, a tensor is one."""
    name = node.input(0)
    return tf.constant(bool(name) and to.value(name) is not NOTHING)


@lowering("OptionalGetElement", raw=True)
def optional_get_element(node: Node, to: Builder) -> Any:
    """Return the element of an optional; a tensor or a sequence is its own."""
    found = to.value(node.inputs[0])
    if found is NOTHING:
        to.refuse("an optional that is empty: it has no element to get")
    return found
