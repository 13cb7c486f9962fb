"""A model with everything worked out that is known before its first run.

One pass over the nodes, in order: types are inferred with the shapes bound, values that
are known are folded, what does nothing is taken out. What is left is the compute.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from xbench.errors import ModelError
from xbench.graph.bind import Shapes, bound_inputs
from xbench.graph.contrib import contrib_types
from xbench.graph.flow import Flow, flow
from xbench.graph.fold import can_fold, evaluated
from xbench.graph.functions import (
    Function,
    Locals,
    body_of,
    local_functions,
    opsets_of,
    written_out,
)
from xbench.graph.loose import Type, loosened, plain
from xbench.graph.partial import RULES, Entries, entries_of, reshape_target
from xbench.graph.plain import (
    UNKNOWN,
    Array,
    Graph,
    Node,
    free_values,
    without_dead_nodes,
)
from xbench.graph.read import densified, read_model, tensor_array
from xbench.graph.subgraphs import apart
from xbench.graph.types import attributes_of, infer, schema_of, tells, type_of, value_of

Handles = Callable[[Node], bool]
"""Whether an importer can lower a node; what it cannot is expanded, where ONNX defines it so."""


def evaluate(
    model: onnx.ModelProto | Path | str,
    shapes: Shapes | None = None,
    handles: Handles | None = None,
) -> Graph:
    """Return a model as a plain graph, evaluated as far as ``shapes`` allow.

    Args:
        model: A file (external data beside it) or a ModelProto, which is left as it was.
        shapes: The shape of inputs, by name; others keep the model's own, open or not.
        handles: Tells which nodes can be lowered. One that cannot, and that ONNX defines as
            a function, is replaced by the function's body. None expands nothing.

    Raises:
        ModelError: If the model cannot be read or its nodes do not fit together.
        ShapeError: If a shape does not fit the model.
    """
    light, weights = read_model(model)
    graph = light.graph
    # Before IR version 4 every weight was listed as an input too; a default is a weight.
    inputs = tuple(one for one in graph.input if one.name not in weights)
    functions = local_functions(light.functions)
    work = _Evaluation(opsets_of(light.opset_import), weights, handles or _everything, functions)
    work.define(bound_inputs(inputs, shapes or {}))
    work.run(graph.node, _declared(graph))
    outputs = tuple(one.name for one in graph.output)
    return work.finish(graph.name, tuple(one.name for one in inputs), outputs)


def _declared(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    return {one.name: one.type for one in [*graph.value_info, *graph.output]}


def _everything(_: Node) -> bool:
    return True


class _Evaluation:
    """The state of the pass: what each name stands for so far."""

    def __init__(
        self,
        opsets: dict[str, int],
        weights: MutableMapping[str, Array],
        handles: Handles,
        functions: Locals,
        around: _Evaluation | None = None,
    ) -> None:
        self._opsets = opsets
        self._handles = handles
        self._functions = functions
        self._constants = weights
        self._types: MutableMapping[str, onnx.TypeProto] = {
            name: type_of(array) for name, array in weights.items()
        }
        self._entries: MutableMapping[str, Entries] = {}
        self._same: MutableMapping[str, str] = {}
        self._defined = {"", *weights}
        self._names: set[str] = set()
        self._nodes: list[Node] = []
        if around is not None:
            self._constants = ChainMap(dict(weights), around._constants)
            self._types = ChainMap(dict(self._types), around._types)
            self._entries = ChainMap({}, around._entries)
            self._same = ChainMap({}, around._same)
            self._defined |= around._defined
            self._names = around._names

    def define(self, types: Mapping[str, onnx.TypeProto]) -> None:
        """Take names that exist from here on, with their types."""
        self._types.update({name: plain(typed) for name, typed in types.items()})
        self._defined.update(types)

    def run(self, nodes: Iterable[onnx.NodeProto], declared: Mapping[str, onnx.TypeProto]) -> None:
        """Work through nodes that stand in order."""
        for proto in nodes:
            node = onnx.NodeProto()
            node.CopyFrom(proto)
            node.name = self._unique(node.name or f"{node.op_type}_{len(self._defined)}")
            for place, name in enumerate(node.input):
                if name not in self._defined:
                    raise ModelError(f"node {node.name!r} uses {name!r}, which nothing defines")
                node.input[place] = self._same.get(name, name)
            self._one(node, declared)
            self._defined.update(node.output)

    def _unique(self, name: str) -> str:
        """Return a name for a node: values within its body are named after it."""
        free, count = name, 1
        while free in self._names:
            count += 1
            free = f"{name}_{count}"
        self._names.add(free)
        return free

    def _one(self, node: onnx.NodeProto, declared: Mapping[str, onnx.TypeProto]) -> None:
        local = self._functions.get((node.domain, node.op_type, node.overload))
        if local is not None:
            self._write_out(node, local)
            return
        schema = schema_of(node, self._opsets)
        attributes = attributes_of(node, schema)
        standard = schema is not None and node.domain in ("", "ai.onnx")
        version = schema.since_version if schema else self._opsets.get(node.domain, 1)
        if standard and (
            self._vanishes(node, attributes, version) or self._branches(node, attributes)
        ):
            return
        if any(isinstance(value, onnx.GraphProto) for value in attributes.values()):
            attributes |= self._graphs(node, attributes, version)
        elif schema is not None:
            self._types.update(infer(node, schema, self._types, self._constants, self._opsets))
            if standard and self._known(node, attributes):
                return
        else:
            self._types.update(contrib_types(node, attributes, self._types, self._constants))
        for name in node.output:
            if name not in self._types and name in declared and tells(declared[name]):
                self._types[name] = plain(declared[name])
        emitted = _plain(node, attributes, version)
        if schema is None or self._handles(emitted) or not self._expanded(node, schema):
            self._nodes.append(emitted)

    def _graphs(
        self, node: onnx.NodeProto, attributes: Mapping[str, Any], version: int
    ) -> dict[str, Any]:
        """Return the graphs that a node holds, by attribute, evaluated with what is known here."""

        def inner(graph: onnx.GraphProto, types: Sequence[Type]) -> tuple[Graph, list[Type]]:
            return self._inner(apart(graph, node.name, self._defined), types)

        graphs, types = flow(Flow(node, version, attributes, self._types, self._constants, inner))
        self._types.update(types)
        return dict(graphs)

    def _inner(self, graph: onnx.GraphProto, types: Sequence[Type]) -> tuple[Graph, list[Type]]:
        """Return a graph within a node and the types of its results, for inputs of ``types``."""
        work = _Evaluation(
            self._opsets, _weights(graph), self._handles, self._functions, around=self
        )
        for one, given in zip(graph.input, types, strict=True):
            typed = given if given is not None else loosened(one.type)
            work.define({one.name: typed} if tells(typed) else {})
            work._defined.add(one.name)
        work.run(graph.node, {name: loosened(one) for name, one in _declared(graph).items()})
        inputs = tuple(one.name for one in graph.input)
        found = work.finish(graph.name, inputs, tuple(one.name for one in graph.output))
        return found, [work._types.get(name) for name in found.results]

    def _expanded(self, node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> bool:
        """Replace a node by the body of the function that it is; return whether it is one."""
        types = [self._types.get(name, onnx.TypeProto()) for name in node.input]
        found = body_of(node, schema, types, self._opsets)
        if found is not None:
            self._write_out(node, found)
        return found is not None

    def _write_out(self, node: onnx.NodeProto, function: Function) -> None:
        """Work through the body of a function in place of a node that calls it."""
        kept, self._opsets = self._opsets, {**self._opsets, **function.opsets}
        try:
            self.run(written_out(node, function), {})
        finally:
            self._opsets = kept

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
        if not passes:
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
        taken = bool(self._constants[node.input[0]].reshape(-1)[0])
        branch = apart(attributes["then_branch" if taken else "else_branch"], node.name)
        for name, array in _weights(branch).items():
            self._hold(name, array)
        self.run(branch.node, _declared(branch))
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
        if "" in node.input:
            return False  # the rules count inputs, of which none may be left out
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
        pairs = zip(values, found, strict=True)
        if any(value.static not in (None, array.shape) for value, array in pairs):
            return False  # the reference errs, as where it inserts axes that are out of order
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
        results = tuple(self._same.get(output, output) for output in outputs)
        named = {*inputs, *results}
        for node in self._nodes:
            named.update(node.inputs, node.outputs, node.captures)
        graph = without_dead_nodes(
            Graph(
                name=name,
                inputs=inputs,
                outputs=outputs,
                results=results,
                nodes=tuple(self._nodes),
                constants={n: self._constants[n] for n in named if n in self._constants},
                values={n: value_of(self._types[n]) for n in named if n in self._types},
            )
        )
        return replace(graph, captures=free_values(graph))


def _constant(attributes: Mapping[str, Any]) -> Array | None:
    for key, dtype in (("value_float", np.float32), ("value_floats", np.float32)):
        if key in attributes:
            return np.array(attributes[key], dtype)
    for key in ("value_int", "value_ints"):
        if key in attributes:
            return np.array(attributes[key], np.int64)
    value = attributes.get("value")
    return value if isinstance(value, np.ndarray) else None


def _plain(node: onnx.NodeProto, attributes: Mapping[str, Any], version: int) -> Node:
    graphs = [one for one in attributes.values() if isinstance(one, Graph)]
    return Node(
        name=node.name,
        operator=node.op_type,
        domain="" if node.domain == "ai.onnx" else node.domain,
        version=version,
        attributes=attributes,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        captures=tuple(dict.fromkeys(name for one in graphs for name in one.captures)),
    )


def _weights(graph: onnx.GraphProto) -> dict[str, Array]:
    """Return the weights of a graph within a node."""
    weights = {one.name: tensor_array(one, None) for one in graph.initializer}
    return weights | {one.values.name: densified(one) for one in graph.sparse_initializer}
