"""Which inputs index a table, and how long it is: what makes a token id valid.

An id at or above the table's length is an error in one runtime, and in another it quietly
reads something else; either way the comparison would be of nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from xbench.modelfile import subgraphs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

# Operators that hand on (some of) the numbers of their first input unchanged.
HANDS_ON = {
    *("Cast", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile"),
    *("Transpose", "Unsqueeze", "Pad", "Gather", "GatherElements", "GatherND", "Clip"),
}
HANDS_ON_ANY = {"Concat", "Where", "ScatterND", "ScatterElements"}  # of any of their inputs
LOOKS_UP = {"Gather", "GatherElements"}  # their second input indexes an axis of the first
EMBEDS = {"EmbedLayerNormalization": {0: 2, 1: 4}}  # ONNX Runtime's fusion: ids, then segments


def table_lengths(model: ModelProto) -> dict[str, int]:
    """Return for each input that indexes a table the length of the table.

    Where it indexes several the shortest counts. An input that indexes none is left out.

    Args:
        model: The file's message as `xbench.modelfile.forget_large` leaves it.
    """
    from onnx import inliner, shape_inference

    if model.functions:
        model = inliner.inline_local_functions(model)
    # Where inference fails, the tables that are initialisers are still known.
    with suppress(shape_inference.InferenceError, RuntimeError, ValueError):
        model = shape_inference.infer_shapes(model)
    uses = _Uses(model.graph)
    found = {value.name: min(uses.limits(value.name), default=None) for value in model.graph.input}
    return {name: limit for name, limit in found.items() if limit is not None and limit > 0}


class _Uses:
    """Who reads each value of a graph and its subgraphs."""

    def __init__(self, graph: GraphProto) -> None:
        self.readers: dict[str, list[tuple[NodeProto, int]]] = {}
        self.dims: dict[str, list[int | None]] = {}
        self.scalars: dict[str, int] = {}
        self._add(graph)

    def limits(self, name: str) -> Iterator[int]:
        """Yield what the numbers of a value must stay below, once for each use as an index."""
        waiting, seen = [(name, 0)], set()
        while waiting:
            value, added = waiting.pop()
            if (value, added) in seen:
                continue
            seen.add((value, added))
            for node, at in self.readers.get(value, ()):
                length = self._length(node, at)
                if length is not None:
                    yield length - added
                waiting += [(out, added + more) for out, more in self._handed_on(node, at)]

    def _length(self, node: NodeProto, at: int) -> int | None:
        """Return the length of the axis that a node's input indexes, or None if it does not."""
        if node.op_type in LOOKS_UP and at == 1:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            data = self.dims.get(node.input[0], [])
            return data[axis] if -len(data) <= axis < len(data) else None
        table = EMBEDS.get(node.op_type, {}).get(at)
        dims = self.dims.get(node.input[table]) if table is not None else None
        return dims[0] if dims else None

    def _handed_on(self, node: NodeProto, at: int) -> Iterable[tuple[str, int]]:
        """Return the outputs that hold a node's input's numbers, and what was added to them."""
        if node.op_type in HANDS_ON_ANY or (node.op_type in HANDS_ON and at == 0):
            return [(out, 0) for out in node.output]
        if node.op_type in {"Add", "Sub"}:
            other = self.scalars.get(node.input[1 - at])
            if other is not None and (at == 0 or node.op_type == "Add"):
                return [(node.output[0], other if node.op_type == "Add" else -other)]
        return []

    def _add(self, graph: GraphProto) -> None:
        """Take in a graph's values and nodes, then those of its subgraphs."""
        for value in [*graph.input, *graph.value_info, *graph.output]:
            self.dims[value.name] = _dims(value)
        for tensor in graph.initializer:
            self.dims[tensor.name] = list(tensor.dims)
            self._add_scalar(tensor.name, tensor)
        for node in graph.node:
            for at, name in enumerate(node.input):
                self.readers.setdefault(name, []).append((node, at))
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    self.dims[node.output[0]] = list(attribute.t.dims)
                    self._add_scalar(node.output[0], attribute.t)
            for inner in subgraphs(node):
                self._add(inner)

    def _add_scalar(self, name: str, tensor: TensorProto) -> None:
        """Remember a tensor that is one whole number."""
        from onnx import TensorProto, numpy_helper

        whole = tensor.data_type in {TensorProto.INT32, TensorProto.INT64}
        if whole and all(d == 1 for d in tensor.dims):
            self.scalars[name] = int(numpy_helper.to_array(tensor).reshape(()))


def _dims(value: ValueInfoProto) -> list[int | None]:
    """Return the lengths of a value's axes; None where open."""
    dims = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else None for d in dims]
