"""Operators that are functions of simpler ones: ONNX's own, and those that a model defines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import defs

Opsets = Mapping[str, int]
Attributes = Mapping[str, onnx.AttributeProto]
Rename = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Function:
    """A function, and the values of attributes that a call may leave out."""

    proto: onnx.FunctionProto
    defaults: Attributes

    @property
    def opsets(self) -> Opsets:
        """Return the operator sets that the body is written in."""
        return opsets_of(self.proto.opset_import)


Locals = Mapping[tuple[str, str, str], Function]
"""A model's own functions, by domain, name and overload."""


def opsets_of(imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """Return the version of each operator set that is imported, by domain."""
    return {_domain(one.domain): one.version for one in imports}


def local_functions(functions: Iterable[onnx.FunctionProto]) -> Locals:
    """Return a model's own functions, as nodes call them."""
    return {
        (one.domain, one.name, one.overload): Function(
            one, {attribute.name: attribute for attribute in one.attribute_proto}
        )
        for one in functions
    }


def body_of(
    node: onnx.NodeProto, schema: defs.OpSchema, types: Sequence[onnx.TypeProto], opsets: Opsets
) -> Function | None:
    """Return the function that ONNX defines an operator by.

    None where ONNX defines it by itself, or by a function that cannot be made for these inputs.

    Args:
        node: A node of that operator.
        schema: The schema that holds for it.
        types: The type of each input, a blank one for an input that is absent.
        opsets: The operator sets that the node is written in.
    """
    proto = _function(node, schema, types, opsets.get(_domain(node.domain), 1))
    if proto is None or not proto.node:
        return None
    defaults = {
        name: attribute.default_value
        for name, attribute in schema.attributes.items()
        if attribute.default_value.type != onnx.AttributeProto.UNDEFINED
    }
    return Function(proto, defaults)


def written_out(node: onnx.NodeProto, function: Function) -> list[onnx.NodeProto]:
    """Return the nodes that a call of a function stands for.

    Args:
        node: The call, with a name of its own from which the values in between take theirs.
        function: What it calls.
    """
    given = dict(function.defaults) | {one.name: one for one in node.attribute}
    rename = _renaming(node, function.proto)
    return [_renamed(one, rename, given) for one in function.proto.node]


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _function(
    node: onnx.NodeProto, schema: defs.OpSchema, types: Sequence[onnx.TypeProto], opset: int
) -> onnx.FunctionProto | None:
    """Return the function for the newest operator set that is not newer than the node's."""
    made: Any = schema  # onnx's stubs know nothing of functions
    fixed = _newest(made.function_opset_versions, opset)
    depending = _newest(made.context_dependent_function_opset_versions, opset)
    if fixed is not None:
        found = made.get_function_with_opset_version(fixed)
    elif depending is not None:
        found = made.get_context_dependent_function_with_opset_version(
            depending, node.SerializeToString(), [one.SerializeToString() for one in types]
        )
    else:
        return None
    return onnx.FunctionProto.FromString(found) if found else None


def _newest(versions: Sequence[int], opset: int) -> int | None:
    fitting = [version for version in versions if version <= opset]
    return max(fitting) if fitting else min(versions, default=None)


def _renaming(node: onnx.NodeProto, function: onnx.FunctionProto) -> Rename:
    inputs = [*node.input, *[""] * len(function.input)]
    names = dict(zip(function.input, inputs, strict=False))
    outputs = zip(function.output, node.output, strict=False)
    names |= {formal: actual for formal, actual in outputs if actual}

    def rename(name: str) -> str:
        return names.get(name, f"{node.name}/{name}") if name else ""

    return rename


def _renamed(node: onnx.NodeProto, rename: Rename, given: Attributes) -> onnx.NodeProto:
    """Return a node of the body with the names and attributes of the call."""
    new = onnx.NodeProto()
    new.CopyFrom(node)
    new.name = rename(node.name or node.output[0])
    new.input[:] = [rename(name) for name in node.input]
    new.output[:] = [rename(name) for name in node.output]
    del new.attribute[:]
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            added = new.attribute.add()
            added.CopyFrom(attribute)
            for graph in _graphs(added):
                _rename_graph(graph, rename, given)
        elif attribute.ref_attr_name in given:
            # What the call passes is written in the names of its own scope: it stays.
            added = new.attribute.add()
            added.CopyFrom(given[attribute.ref_attr_name])
            added.name = attribute.name
    return new


def _graphs(attribute: onnx.AttributeProto) -> Iterable[onnx.GraphProto]:
    return [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs


def _rename_graph(graph: onnx.GraphProto, rename: Rename, given: Attributes) -> None:
    for one in [*graph.input, *graph.output, *graph.initializer, *graph.value_info]:
        one.name = rename(one.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = rename(sparse.values.name)
    nodes = [_renamed(one, rename, given) for one in graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
