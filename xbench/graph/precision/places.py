"""Arithmetic on sizes and places, which is not for a type of eight or eleven bits.

In bfloat16 257 is 256: a length computed in it is another length, and a position another position.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from onnx import GraphProto, NodeProto, TensorProto

from xbench.graph.precision.schemas import CONTROL, FLOAT, Schemas, is_fixed

FLOATS = frozenset(
    {
        *(TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16),
        *(TensorProto.BOOL, TensorProto.STRING, TensorProto.UNDEFINED),
    }
)
TURNS = frozenset({"Sin", "Cos"})


def of_places(graph: GraphProto, types: Mapping[str, int], schemas: Schemas) -> frozenset[str]:
    """Return the first output of each node that computes sizes, places or angles of rotation.

    These are float32 values made of whole numbers and constants alone that become whole numbers
    again, are scales of a resizing or the like, or go through a sine.
    """
    made = _made_of_whole_numbers(graph, types)
    producers = {name: node for node in graph.node for name in node.output}
    pending = [name for node in graph.node for name in _asked(node, types, schemas)]
    found: set[str] = set()
    while pending:
        name = pending.pop()
        node = producers.get(name)
        if name not in made or node is None or _key(node) in found:
            continue
        found.add(_key(node))
        pending += node.input
    return frozenset(found)


def _key(node: NodeProto) -> str:
    return next((name for name in node.output if name), "")


def _asked(node: NodeProto, types: Mapping[str, int], schemas: Schemas) -> Iterable[str]:
    """Return the inputs of a node that must be exact."""
    if node.op_type in TURNS:
        return [*node.input, node.output[0]]
    if node.op_type == "Cast" and types.get(node.output[0], 0) not in FLOATS:
        return list(node.input)
    schema = schemas.of(node)
    return [name for at, name in enumerate(node.input) if is_fixed(schema, at)]


def _made_of_whole_numbers(graph: GraphProto, types: Mapping[str, int]) -> frozenset[str]:
    """Return the float32 values that come from whole numbers, with constants or without."""
    constant = {one.name for one in graph.initializer} | {""}
    made: set[str] = set()
    for node in graph.node:
        if node.op_type in CONTROL:
            continue
        if all(name in constant for name in node.input) and node.input:
            constant.update(node.output)
        elif _is_made(node, types, constant, made):
            made.update(name for name in node.output if types.get(name) == FLOAT)
    return frozenset(made)


def _is_made(node: NodeProto, types: Mapping[str, int], constant: set[str], made: set[str]) -> bool:
    if node.op_type in ("Cast", "Range"):
        kinds: Sequence[int] = [types.get(name, 0) for name in node.input]
        if all(kind not in FLOATS for kind in kinds):
            return True
    floats = [name for name in node.input if types.get(name) == FLOAT]
    return any(name in made for name in floats) and all(
        name in made or name in constant for name in floats
    )
