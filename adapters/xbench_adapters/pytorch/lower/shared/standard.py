"""Operators that are one of ONNX's own, and a little more: lowered as that one."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import onnx
import torch.fx
from onnx import defs

from xbench.graph.plain import Array, Node, Value
from xbench.graph.types import attributes_of
from xbench_adapters.pytorch.registry import find

if TYPE_CHECKING:
    from xbench_adapters.pytorch.builder import Builder


def as_standard(
    node: Node,
    to: Builder,
    operator: str,
    version: int,
    *,
    domain: str = "",
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    **attributes: Any,
) -> tuple[torch.fx.Node | None, ...]:
    """Return the results of an operator that has a lowering, in the place of ``node``.

    Args:
        node: The node at hand, whose attributes go along.
        to: The module that grows.
        operator: The other operator.
        version: Its schema version.
        domain: Its domain: ONNX's own, or that of fused patterns.
        inputs: Names of its inputs, where they are not the node's own.
        outputs: Names of its outputs, where they are not the node's own.
        attributes: Attributes that the node has not, or has differently.
    """
    schema = None if domain else defs.get_schema(operator, version, "")
    made = Node(
        node.name,
        operator,
        domain,
        version,
        {**attributes_of(onnx.NodeProto(), schema), **node.attributes, **attributes},
        tuple(node.inputs if inputs is None else inputs),
        tuple(node.outputs if outputs is None else outputs),
    )
    entry = find(made)
    to.begin(made, raw=entry.options.get("raw", False))
    to.node = node  # a refusal names the operator that the model has
    found = entry.function(made, to)
    return found if isinstance(found, tuple) else (found,)


def first(found: tuple[torch.fx.Node | None, ...]) -> torch.fx.Node:
    """Return the first of an operator's results, which every operator has."""
    assert found[0] is not None
    return found[0]


def aside(node: Node, to: Builder, suffix: str, made: torch.fx.Node, value: Value) -> str:
    """Return a name for a value in between, under which other lowerings can take it."""
    name = _named(node, to, suffix, value)
    to.define(name, made)
    return name


def known(node: Node, to: Builder, suffix: str, array: Array) -> str:
    """Return a name for a constant that a lowering worked out."""
    name = _named(node, to, suffix, Value(array.dtype, array.shape))
    assert isinstance(to.graph.constants, ChainMap)
    to.graph.constants.maps[0][name] = array
    return name


def _named(node: Node, to: Builder, suffix: str, value: Value) -> str:
    name, graph = f"{node.name}/{suffix}", to.graph
    if not isinstance(graph.values, ChainMap):
        values, constants = dict(graph.values), dict(graph.constants)
        to.graph = replace(graph, values=ChainMap({}, values), constants=ChainMap({}, constants))
    assert isinstance(to.graph.values, ChainMap)
    to.graph.values.maps[0][name] = value
    return name
