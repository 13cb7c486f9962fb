"""A model with everything worked out that is known before its first run.

One pass over the nodes, in order: types are inferred with the shapes bound, values that
are known are folded, what does nothing is taken out. What is left is the compute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from xbench.errors import ModelError
from xbench.graph.bind import Shapes, bound_inputs
from xbench.graph.fold import can_fold, evaluated
from xbench.graph.partial import RULES, Entries, entries_of, reshape_target
from xbench.graph.plain import UNKNOWN, Array, Graph, Node, Value, without_dead_nodes
from xbench.graph.read import read_model, tensor_array
from xbench.graph.types import attributes_of, infer, schema_of, tells, type_of, value_of


def evaluate(model: onnx.ModelProto | Path | str, shapes: Shapes | None = None) -> Graph:
    """Return a model as a plain graph, evaluated as far as ``shapes`` allow.

    Args:
        model: A file (external data beside it) or a ModelProto, which is left as it was.
        shapes: The shape of inputs, by name; others keep the model's own, open or not.

    Raises:
        ModelError: If the model cannot be read or its nodes do not fit together.
        ShapeError: If a shape does not fit the model.
    """
    light, weights = read_model(model)
    graph = light.graph
    # Before IR version 4 every weight was listed as an input too; a default is a weight.
    inputs = tuple(one for one in graph.input if one.name not in weights)
    work = _Evaluation(_opsets(light), weights, _captured(graph.node))
    work.define(bound_inputs(inputs, shapes or {}))
    declared = {one.name: one.type for one in [*graph.value_info, *graph.output]}
    work.run(graph.node, declared)
    outputs = tuple(one.name for one in graph.output)
    return work.finish(graph.name, tuple(one.name for one in inputs), outputs)


def _opsets(model: onnx.ModelProto) -> dict[str, int]:
    return {
        "" if one.domain == "ai.onnx" else one.domain: one.version for one in model.opset_import
    }


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _captured(nodes: Iterable[onnx.NodeProto]) -> frozenset[str]:
    """Return the names that subgraphs of ``nodes`` use from outside."""
    return frozenset(
        name for node in nodes for graph in _subgraphs(node) for name in _free_names(graph)
    )


def _free_names(graph: onnx.GraphProto) -> frozenset[str]:
    own = {one.name for one in [*graph.input, *graph.initializer]}
    own.update(name for node in graph.node for name in node.output)
    used = {name for node in graph.node for name in node.input if name}
    used.update(one.name for one in graph.output)
    return frozenset(used | _captured(graph.node)) - own


class _Evaluation:
    """The state of the pass: what each name stands for so far."""

    def __init__(
        self, opsets: dict[str, int], weights: dict[str, Array], captured: frozenset[str]
    ) -> None:
        self._opsets = opsets
        self._constants = weights
        self._captured = captured
        self._types = {name: type_of(array) for name, array in weights.items()}
        self._entries: dict[str, Entries] = {}
        self._same: dict[str, str] = {}
        self._nodes: list[Node] = []
        self._defined = {"", *weights}

    def define(self, types: Mapping[str, onnx.TypeProto]) -> None:
        """Take names that exist from here on, with their types."""
        self._types.update(types)
        self._defined.update(types)

    def run(self, nodes: Iterable[onnx.NodeProto], declared: Mapping[str, onnx.TypeProto]) -> None:
        """Work through nodes that stand in order."""
        for proto in nodes:
            node = onnx.NodeProto()
            node.CopyFrom(proto)
            node.name = node.name or f"{node.op_type}_{len(self._defined)}"
            for place, name in enumerate(node.input):
                if name not in self._defined:
                    raise ModelError(f"node {node.name!r} uses {name!r}, which nothing defines")
                node.input[place] = self._same.get(name, name)
            self._one(node, declared)
            self._defined.update(node.output)

    def _one(self, node: onnx.NodeProto, declared: Mapping[str, onnx.TypeProto]) -> None:
        schema = schema_of(node, self._opsets)
        attributes = attributes_of(node, schema)
        if schema is not None and node.domain in ("", "ai.onnx"):
            if self._vanishes(node, attributes, schema.since_version):
                return
            if self._branches(node, attributes):
                return
            self._types.update(infer(node, schema, self._types, self._constants, self._opsets))
            if self._known(node, attributes):
                return
        for name in node.output:
            if name not in self._types and name in declared and tells(declared[name]):
                self._types[name] = declared[name]
        version = schema.since_version if schema else self._opsets.get(node.domain, 1)
        self._emit(node, attributes, version)

    def _emit(self, node: onnx.NodeProto, attributes: Mapping[str, Any], version: int) -> None:
        captures = _captured([node])
        self._nodes.append(
            Node(
                name=node.name,
                operator=node.op_type,
                domain="" if node.domain == "ai.onnx" else node.domain,
                version=version,
                attributes=attributes,
                inputs=tuple(node.input),
                outputs=tuple(node.output),
                captures=tuple(sorted(captures)),
            )
        )

    def _vanishes(self, node: onnx.NodeProto, attributes: dict[str, Any], version: int) -> bool:
        """Take out a node that is a constant, or that hands its input on."""
        if node.op_type == "Constant":
            array = _constant(attributes)
            if array is None:
                return False
            self._hold(node.output[0], array)
            return True
        passes = node.op_type == "Identity" or (
            node.op_type == "Dropout" and self._idle_dropout(node, attributes, version)
        )
        if not passes or node.output[0] in self._captured:
            return False
        self._same[node.output[0]] = node.input[0]
        return True

    def _idle_dropout(self, node: onnx.NodeProto, attributes: dict[str, Any], version: int) -> bool:
        if len(node.output) > 1 and node.output[1]:
            return False
        if version < 7:
            return bool(attributes.get("is_test", 0))
        if version < 12 or len(node.input) < 3 or not node.input[2]:
            return True
        training = self._constants.get(node.input[2])
        return training is not None and not bool(training)

    def _branches(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> bool:
        """Replace an `If` whose condition is known by the branch that it takes."""
        if node.op_type != "If" or node.input[0] not in self._constants:
            return False
        if any(name in self._captured for name in node.output):
            return False
        taken = bool(self._constants[node.input[0]].reshape(-1)[0])
        branch = attributes["then_branch" if taken else "else_branch"]
        for tensor in branch.initializer:
            self._hold(tensor.name, tensor_array(tensor, None))
        self.run(branch.node, {one.name: one.type for one in branch.value_info})
        for name, one in zip(node.output, branch.output, strict=True):
            self._same[name] = self._same.get(one.name, one.name)
        return True

    def _known(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> bool:
        """Fold a node whose value is known; follow shape vectors that are known in part."""
        if node.op_type in ("Shape", "Size"):
            return self._measured(node, attributes)
        inputs = [name for name in node.input if name]
        if all(name in self._constants for name in inputs) and self._folded(node, inputs):
            return True
        if node.op_type == "Reshape":
            self._aim(node, attributes)
            return False
        rule = RULES.get(node.op_type)
        followed = [self._followed(name) for name in inputs]
        if rule is None or not followed or any(one is None for one in followed):
            return False
        return self._learned(node, rule(attributes, [one for one in followed if one]))

    def _folded(self, node: onnx.NodeProto, inputs: list[str]) -> bool:
        arrays = [self._constants[name] for name in inputs]
        wanted = [name for name in node.output if name]
        values = [value_of(self._types[n]) if n in self._types else UNKNOWN for n in wanted]
        if not can_fold(node, arrays, values):
            return False
        found = evaluated(node, self._constants, self._opsets)
        if found is None:
            return False
        for name, value, array in zip(wanted, values, found, strict=True):
            # The reference computes some results in a wider type than the schema's.
            self._hold(name, array.astype(value.dtype or array.dtype, copy=False))
        return True

    def _measured(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> bool:
        shape = value_of(self._types[node.input[0]]).shape if node.input[0] in self._types else None
        if shape is None:
            return False
        if node.op_type == "Shape":
            window = slice(attributes.get("start", 0), attributes.get("end"))
            return self._learned(node, Entries(shape[window]))
        lengths = [dim for dim in shape if isinstance(dim, int)]
        if len(lengths) < len(shape):
            return False
        return self._learned(node, Entries((int(np.prod(lengths, dtype=np.int64)),), True))

    def _learned(self, node: onnx.NodeProto, found: Entries | None) -> bool:
        """Keep entries; return whether they make the node superfluous."""
        if found is None:
            return False
        if found.array is None:
            self._entries[node.output[0]] = found
            return False
        typed = self._types.get(node.output[0])
        dtype = value_of(typed).dtype if typed else None
        self._hold(node.output[0], found.array.astype(dtype or np.int64))
        return True

    def _followed(self, name: str) -> Entries | None:
        if name in self._constants:
            return entries_of(self._constants[name])
        return self._entries.get(name)

    def _aim(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> None:
        """Give `Reshape` a constant shape where the one computed is known well enough."""
        if len(node.input) < 2 or node.input[1] in self._constants:
            return
        target = self._entries.get(node.input[1])
        typed = self._types.get(node.input[0])
        if target is None or typed is None:
            return
        copies = not attributes.get("allowzero", 0)
        aim = reshape_target(target, value_of(typed).shape if copies else None)
        if aim is None:
            return
        node.input[1] = f"{node.output[0]}/shape"
        self._hold(node.input[1], aim)
        schema = schema_of(node, self._opsets)
        if schema is not None:
            found = infer(node, schema, self._types, self._constants, self._opsets)
            self._types.update(found)

    def _hold(self, name: str, array: Array) -> None:
        self._constants[name] = array
        self._types[name] = type_of(array)
        self._defined.add(name)

    def finish(self, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
        """Return the graph of what is left."""
        for output in outputs:
            if output not in self._defined:
                raise ModelError(f"the output {output!r} is computed by no node")
        values: dict[str, Value] = {name: value_of(typed) for name, typed in self._types.items()}
        graph = Graph(
            name=name,
            inputs=inputs,
            outputs=outputs,
            results=tuple(self._same.get(output, output) for output in outputs),
            nodes=tuple(self._nodes),
            constants=self._constants,
            values=values,
        )
        return without_dead_nodes(graph)


def _constant(attributes: Mapping[str, Any]) -> Array | None:
    for key, dtype in (("value_float", np.float32), ("value_floats", np.float32)):
        if key in attributes:
            return np.array(attributes[key], dtype)
    for key in ("value_int", "value_ints"):
        if key in attributes:
            return np.array(attributes[key], np.int64)
    value = attributes.get("value")
    return value if isinstance(value, np.ndarray) else None
