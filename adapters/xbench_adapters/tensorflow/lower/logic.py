"""Comparisons, logic, and the choice between two tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.lower.operands import of_two, plain
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder

for _operator, _function in (
    ("And", tf.math.logical_and),
    ("Greater", tf.math.greater),
    ("GreaterOrEqual", tf.math.greater_equal),
    ("Less", tf.math.less),
    ("LessOrEqual", tf.math.less_equal),
    ("Or", tf.math.logical_or),
    ("Xor", tf.math.not_equal),
):
    of_two(_operator)(plain(_function))

# Numbers are equal in the type that they have, and text is too.
of_two("Equal", raw=True)(plain(tf.math.equal))


@lowering("Where", 9, layout="any")
def where(node: Node, to: Builder) -> Any:
    """Return elements of the second input where the first holds, else of the third."""
    return tf.where(*(to.value(name) for name in node.inputs))
