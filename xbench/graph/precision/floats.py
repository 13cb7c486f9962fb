"""A graph in float16 or bfloat16: every float32 value within becomes one, but where it cannot.

The graph's own inputs and outputs stay float32, with a Cast at each edge. A node keeps float32
where its schema takes nothing else, or where it computes sizes and places; Casts lead in and out.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field

from onnx import GraphProto, NodeProto, TensorProto, helper

from xbench.errors import UnsupportedNodeError
from xbench.graph.precision.draft import Draft
from xbench.graph.precision.places import of_places
from xbench.graph.precision.schemas import (
    FLOAT,
    NAMES,
    PRODUCTS,
    Schemas,
    float_positions,
    output_types,
    types_of,
)
from xbench.graph.precision.weights import Weights
from xbench.graph.subgraphs import subgraphs
from xbench.modelfile import graphs

MOVES = frozenset({"Cast", "CastLike", "Constant", "ConstantOfShape", "Identity"})
READS = frozenset({"Cast", "Shape", "Size"})  # they take a value as it comes
KINDS = ("to", "dtype", "output_datatype")  # attributes that say the type of an output


@dataclass(slots=True)
class Narrowed:
    """What became of a graph's nodes.

    Attributes:
        narrow: How many nodes take or give the narrow type, Casts and constants not counted.
        kept: The operator and name of each node that computes in float32 as it did.
    """

    narrow: int = 0
    kept: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Scope:
    """A graph while it is rewritten.

    Attributes:
        places: The name under which each float32 value is found, as it was and narrow.
        demanded: The initialisers that are used, and whether as narrow ones.
    """

    graph: GraphProto
    types: MutableMapping[str, int]
    outer: _Scope | None
    places: dict[str, dict[bool, str]] = field(default_factory=dict)
    demanded: dict[str, set[bool]] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)


def narrow(draft: Draft, kind: int, weights: Weights) -> Narrowed:
    """Return what became of the nodes of a draft, whose model is rewritten in place.

    Args:
        draft: With the types of its values inferred.
        kind: The type, as `onnx.TensorProto` counts them.
        weights: Makes the narrow ones.

    Raises:
        UnsupportedNodeError: If a node that does the model's arithmetic cannot be of that type.
    """
    return _Pass(draft, kind, weights).run()


class _Pass:
    """One pass over a model."""

    def __init__(self, draft: Draft, kind: int, weights: Weights) -> None:
        self._draft, self._kind, self._weights = draft, kind, weights
        self._schemas = Schemas(draft.model)
        self._taken = set(_names(draft.model.graph))
        self._found = Narrowed()

    def run(self) -> Narrowed:
        self._graph(self._draft.model.graph, None)
        return self._found

    def _graph(self, graph: GraphProto, outer: _Scope | None) -> None:
        types: MutableMapping[str, int] = ChainMap({}, outer.types if outer else {})
        types.update(types_of(graph))
        scope = _Scope(graph, types, outer)
        results = {one.name for one in graph.output}
        for one in graph.input:
            if types.get(one.name) == FLOAT:
                scope.places[one.name] = {outer is not None: one.name}
        for tensor in graph.initializer:
            if tensor.data_type == FLOAT:
                self._define(scope, tensor.name, results, is_narrow=True)
                scope.demanded[tensor.name] = set()
        exact = of_places(graph, types, self._schemas)
        for node in graph.node:
            self._node(scope, node, results, exact)
        self._finish(scope)

    def _node(
        self, scope: _Scope, node: NodeProto, results: set[str], exact: frozenset[str]
    ) -> None:
        schema = self._schemas.of(node)
        guessed = zip(node.output, output_types(node, schema, scope.types), strict=True)
        for name, kind in guessed:
            if name:
                scope.types.setdefault(name, kind)
        new = NodeProto()
        new.CopyFrom(node)
        whole = not exact.isdisjoint(node.output)
        gave: set[bool] = set()
        for at, output in list(float_positions(node, scope.types)):
            is_narrow = not whole and self._schemas.takes(node, at, self._kind, output=output)
            if not output and node.op_type in READS:
                is_narrow = self._is_made_narrow(scope, node.input[at])
            gave.add(is_narrow)
            if output:
                new.output[at] = self._define(scope, node.output[at], results, is_narrow=is_narrow)
                if is_narrow:
                    self._say_type(new)
            else:
                new.input[at] = self._at(scope, node.input[at], new, is_narrow=is_narrow)
        self._count(node, gave, whole=whole)
        for inner in subgraphs(new):
            self._graph(inner, scope)
        scope.nodes.append(new)

    def _count(self, node: NodeProto, gave: set[bool], *, whole: bool) -> None:
        if node.op_type in MOVES | READS:
            return
        self._found.narrow += True in gave
        if gave != {False}:
            return
        if node.op_type in PRODUCTS and not whole:
            raise UnsupportedNodeError(
                node.name or next(iter(node.output), ""),
                node.op_type,
                self._schemas.version(node),
                f"ONNX has it in no {NAMES[self._kind]} in the model's operator set",
            )
        self._found.kept.append((node.op_type, node.name or next(iter(node.output), "")))

    def _define(self, scope: _Scope, name: str, results: set[str], *, is_narrow: bool) -> str:
        """Return the new name of a value, which is kept unless a result of its type needs it."""
        required = scope.outer is not None  # a result of the model itself is float32
        free = name not in results or is_narrow == required
        scope.places[name] = {is_narrow: name if free else self._fresh(name, is_narrow=is_narrow)}
        return scope.places[name][is_narrow]

    def _is_made_narrow(self, scope: _Scope, name: str) -> bool:
        """Return whether a value is narrow where it comes from; a weight is not."""
        at: _Scope | None = scope
        made = False
        while at is not None:
            if name in at.demanded:
                return False
            if name in at.places:
                made = next(iter(at.places[name]))
            at = at.outer
        return made

    def _at(self, scope: _Scope, name: str, node: NodeProto, *, is_narrow: bool) -> str:
        """Return the name of a value as it was or narrow, which a Cast makes of the other."""
        at: _Scope | None = scope
        seen: dict[bool, str] = {}
        while at is not None:
            if name in at.demanded:
                return self._demand(at, name, is_narrow=is_narrow)
            seen = at.places.get(name, {}) | seen
            if is_narrow in seen:
                return seen[is_narrow]
            at = at.outer
        if not seen:
            detail = f"its input {name!r} is not a float32 tensor that is known before it"
            raise self._refused(node, detail)
        made = self._fresh(name, is_narrow=is_narrow)
        scope.nodes.append(self._cast(seen[not is_narrow], made, is_narrow=is_narrow))
        scope.places.setdefault(name, {})[is_narrow] = made
        return made

    def _demand(self, scope: _Scope, name: str, *, is_narrow: bool) -> str:
        scope.demanded[name].add(is_narrow)
        places = scope.places[name]
        if is_narrow not in places:
            results = {one.name for one in scope.graph.output}
            taken = name in places.values() or (name in results and scope.outer is not None)
            places[is_narrow] = self._fresh(name, is_narrow=is_narrow) if taken else name
        return places[is_narrow]

    def _finish(self, scope: _Scope) -> None:
        graph, inner = scope.graph, scope.outer is not None
        for one in graph.output:
            if scope.types.get(one.name) != FLOAT:
                continue
            if one.name in scope.demanded:
                self._demand(scope, one.name, is_narrow=inner)
            elif scope.places[one.name].get(inner) != one.name:
                made = scope.places[one.name][not inner]
                scope.nodes.append(self._cast(made, one.name, is_narrow=inner))
        if inner:
            for one in [*graph.input, *graph.output]:
                self._retype(one)
        del graph.node[:], graph.value_info[:]
        graph.node.extend(scope.nodes)
        self._weights.put(graph, scope.places, scope.demanded, main=not inner)

    def _retype(self, one: object) -> None:
        kind = one.type  # type: ignore[attr-defined] # a ValueInfoProto
        while kind.HasField("sequence_type") or kind.HasField("optional_type"):
            held = kind.sequence_type if kind.HasField("sequence_type") else kind.optional_type
            kind = held.elem_type
        if kind.HasField("tensor_type") and kind.tensor_type.elem_type == FLOAT:
            kind.tensor_type.elem_type = self._kind

    def _say_type(self, node: NodeProto) -> None:
        """Change the attribute by which a node says that an output is float32."""
        for attribute in node.attribute:
            if attribute.name in KINDS and attribute.i == FLOAT:
                attribute.i = self._kind
            if node.op_type == "ConstantOfShape" and attribute.name == "value":
                attribute.t.CopyFrom(self._weights.small(attribute.t))
        given = {one.name for one in node.attribute}
        if node.op_type == "ConstantOfShape" and "value" not in given:
            zero = helper.make_tensor("value", self._kind, [1], [0.0])
            node.attribute.append(helper.make_attribute("value", zero))
        schema = self._schemas.of(node)
        for name in KINDS if schema else ():
            known = schema.attributes.get(name) if schema else None
            says = known is not None and known.default_value.i == FLOAT
            if name not in given and (says or (known and node.op_type == "SequenceEmpty")):
                node.attribute.append(helper.make_attribute(name, self._kind))

    def _cast(self, name: str, made: str, *, is_narrow: bool) -> NodeProto:
        to = self._kind if is_narrow else FLOAT
        return helper.make_node("Cast", [name], [made], made, to=to)

    def _fresh(self, name: str, *, is_narrow: bool) -> str:
        base = f"{name}/{NAMES[self._kind] if is_narrow else 'float32'}"
        found, count = base, 1
        while found in self._taken:
            count += 1
            found = f"{base}_{count}"
        self._taken.add(found)
        return found

    def _refused(self, node: NodeProto, detail: str) -> UnsupportedNodeError:
        name = node.name or next(iter(node.output), "")
        return UnsupportedNodeError(name, node.op_type, self._schemas.version(node), detail)


def _names(graph: GraphProto) -> Iterator[str]:
    for one in graphs(graph):
        values: Iterable[TensorProto | object] = [*one.input, *one.output, *one.initializer]
        yield from (value.name for value in values)  # type: ignore[union-attr] # they all have
        for node in one.node:
            yield from (node.name, *node.input, *node.output)
