"""A model without its large weights, which a pass over types can hold whatever its size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    inliner,
    numpy_helper,
)

from xbench.graph.read import densified, tensor_array
from xbench.modelfile import SMALL_ELEMENTS, constants, elements, graphs, is_external, parse


@dataclass(slots=True)
class Draft:
    """A model, and the weights that it was parted from.

    Attributes:
        model: Its large initialisers have a type and a shape, and no data.
        stock: These initialisers as they were, by name.
        path: The file that they come from.
        sources: For each large initialiser of ``model``, its name in ``stock``.
    """

    model: ModelProto
    stock: dict[str, TensorProto]
    path: Path
    sources: dict[str, str] = field(default_factory=dict)

    def array(self, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        """Return the values of a large initialiser, by its name in `model`."""
        tensor = self.stock[self.sources[name]]
        return tensor_array(tensor, self.path.parent, self.path.resolve())


def draft(path: Path) -> Draft:
    """Return the draft of a model file: functions written out, constants among the initialisers.

    Raises:
        ModelError: If the file or the data beside it cannot be read.
    """
    model = parse(path)
    if model.functions:
        model = inliner.inline_local_functions(model)
    _read_in(model, path)
    for graph in graphs(model.graph):
        _lift_constants(graph)
    main = model.graph
    for sparse in main.sparse_initializer:
        main.initializer.append(numpy_helper.from_array(densified(sparse), sparse.values.name))
    del main.sparse_initializer[:]
    held = {one.name for one in main.initializer}
    inputs = [one for one in main.input if one.name not in held]  # else they might change per run
    del main.input[:]
    main.input.extend(inputs)
    found = Draft(model, {}, path)
    for tensor in main.initializer:
        weighs = tensor.data_type == TensorProto.FLOAT or is_external(tensor)
        if weighs and elements(tensor) > SMALL_ELEMENTS:
            found.stock[tensor.name] = _taken(tensor)
            found.sources[tensor.name] = tensor.name
    return found


def _read_in(model: ModelProto, path: Path) -> None:
    """Read in what lies outside the file, but for the large weights of the graph itself."""
    for tensor, main in _held(model):
        if is_external(tensor) and not (main and elements(tensor) > SMALL_ELEMENTS):
            array = tensor_array(tensor, path.parent, path.resolve())
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(array), tensor.name))


def _held(model: ModelProto) -> Iterator[tuple[TensorProto, bool]]:
    """Yield each tensor that is held, and whether it is an initialiser of the graph itself."""
    for place, graph in enumerate(graphs(model.graph)):
        yield from ((one, not place) for one in graph.initializer)
        yield from ((one, False) for one in constants(graph.node))


def _taken(tensor: TensorProto) -> TensorProto:
    """Return a copy of a tensor, which loses its data."""
    copy = TensorProto()
    copy.CopyFrom(tensor)
    for values in ("raw", "float", "int32", "int64", "uint64", "double", "string", "external"):
        tensor.ClearField(f"{values}_data")
    tensor.ClearField("data_location")
    return copy


def _lift_constants(graph: GraphProto) -> None:
    """Make initialisers of constants, but for those that are the graph's own outputs."""
    results = {one.name for one in graph.output}
    kept: list[NodeProto] = []
    for node in graph.node:
        constant = node.op_type == "Constant" and node.domain in ("", "ai.onnx")
        tensor = _value(node) if constant and node.output[0] not in results else None
        if tensor is None:
            kept.append(node)
            continue
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
    if len(kept) < len(graph.node):
        kept = [_copied(node) for node in kept]
        del graph.node[:]
        graph.node.extend(kept)


def _copied(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy


def _value(node: NodeProto) -> TensorProto | None:
    """Return the tensor that a Constant holds; None where it is of a kind that stays a node."""
    for attribute in node.attribute:
        if attribute.name == "value":
            tensor = TensorProto()
            tensor.CopyFrom(attribute.t)
            return tensor
        if attribute.name == "sparse_value":
            return numpy_helper.from_array(densified(attribute.sparse_tensor))
        if array := _number(attribute):
            return numpy_helper.from_array(array[0])
    return None


def _number(
    attribute: AttributeProto,
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.generic]]] | None:
    if attribute.name == "value_float":
        return (np.array(attribute.f, np.float32),)
    if attribute.name == "value_floats":
        return (np.array(attribute.floats, np.float32),)
    if attribute.name == "value_int":
        return (np.array(attribute.i, np.int64),)
    if attribute.name == "value_ints":
        return (np.array(attribute.ints, np.int64),)
    return None
