"""Operators that are one of ONNX's own, and a little more: lowered as that one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import defs

from xbench.graph.plain import Node
from xbench.graph.types import attributes_of
from xbench_adapters.tensorflow.builder import Builder, Last
from xbench_adapters.tensorflow.registry import TABLE


def as_standard(
    node: Node,
    to: Builder,
    operator: str,
    version: int,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    **attributes: Any,
) -> tuple[Any, ...]:
    """Return the results of an operator that has a lowering, in the place of ``node``.

    Args:
        node: The node at hand, whose attributes go along.
        to: What is built with.
        operator: The other operator.
        version: Its schema version.
        inputs: Names of its inputs, where they are not the node's own.
        outputs: Names of its outputs, where they are not the node's own.
        attributes: Attributes that the node has not, or has differently.
    """
    schema = defs.get_schema(operator, version, "")
    made = Node(
        node.name,
        operator,
        "",
        version,
        {**attributes_of(onnx.NodeProto(), schema), **node.attributes, **attributes},
        tuple(node.inputs if inputs is None else inputs),
        tuple(node.outputs if outputs is None else outputs),
    )
    entry = TABLE.find(made)
    options = entry.options
    anywhere = options.get("layout") == "any"
    in_last = to.begin(made, raw=options.get("raw", False), anywhere=anywhere)
    to.node = node  # a refusal names the operator that the model has
    found = entry.function(made, to)
    results = found if isinstance(found, tuple) else (found,)
    return tuple(Last(one) for one in results) if in_last else results
