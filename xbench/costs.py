"""What each node of a model costs in one inference: its operations, and the bytes it moves.

Both follow from the shapes that ONNX infers. `FLOPS` and `BYTES` say in words what is counted;
what depends on data is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xbench.flops import STANDARD_DOMAINS, UnknownShapeError, contracts, node_flops, shapes_of
from xbench.modelfile import element_bits, subgraphs

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

FLOPS = (
    "Two for each multiply-add of the operators that contract (convolutions, products, recurrent"
    " cells, attention); element-wise work, reductions and comparisons count none."
)
BYTES = (
    "The inputs, weights and outputs of each node, each value once, as if it ran alone: nothing"
    " is fused and no cache holds. Of what Gather, GatherElements, GatherND and Slice take from,"
    " as much as they give; Shape and Size read nothing, Constant moves nothing."
)

LOOKING_UP = {"Gather", "GatherElements", "GatherND", "Slice"}
MEASURING = {"Shape", "Size"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCost:
    """One node, and what it costs.

    Attributes:
        name: Its own, or that of its first output where it has none.
        domain: The operator's domain, ``""`` for ONNX's own.
        version: The schema version that holds; where ONNX has no schema, the version of the
            operator set.
        within: The node whose branch or body it stands in, or None.
        flops: Floating-point operations (see `FLOPS`); None where that cannot be known.
        bytes: Bytes moved (see `BYTES`); None where that cannot be known.
        unknown: Why one of the two cannot be known, or None.
    """

    name: str
    domain: str
    operator: str
    version: int
    within: str | None
    flops: int | None
    bytes: int | None
    unknown: str | None


def intensity(flops: int | None, moved_bytes: int | None) -> float | None:
    """Return operations for each byte moved; None where either is not known, or none is moved."""
    return flops / moved_bytes if flops is not None and moved_bytes else None


def total(counts: Iterable[int | None]) -> int | None:
    """Return the sum of counts, or None where one of them is not known."""
    known = list(counts)
    summed = [count for count in known if count is not None]
    return sum(summed) if len(summed) == len(known) else None


def node_costs(model: ModelProto) -> tuple[NodeCost, ...]:
    """Return each node's cost, in the file's order; those within a node come after it.

    Args:
        model: With the shapes of its values, as `xbench.flops.infer` gives it.
    """
    return tuple(_Costs(model).of(model.graph.node, None))


class _Costs:
    """What is known of a model while its nodes are counted."""

    def __init__(self, model: ModelProto) -> None:
        self._opsets = {_plain(one.domain): one.version for one in model.opset_import}
        self._shapes = shapes_of(model)
        self._sizes = sizes_of(model, self._shapes)

    def of(self, nodes: Iterable[NodeProto], within: str | None) -> Iterator[NodeCost]:
        """Yield the cost of each node and of those that it carries."""
        for node in nodes:
            cost = self._one(node, within)
            yield cost
            for graph in subgraphs(node):
                yield from self.of(graph.node, cost.name)

    def _one(self, node: NodeProto, within: str | None) -> NodeCost:
        flops: int | None = None
        moved: int | None = None
        unknown: str | None = None
        try:
            moved = self._moved(node, within)
        except UnknownShapeError as error:
            unknown = str(error)
        try:
            flops = self._flops(node, within)
        except UnknownShapeError as error:
            unknown = str(error)
        domain = _plain(node.domain)
        return NodeCost(
            name=node.name or next(filter(None, node.output), "?"),
            domain=domain,
            operator=node.op_type,
            version=schema_version(node.op_type, domain, self._opsets.get(domain, 1)),
            within=within,
            flops=flops,
            bytes=moved,
            unknown=unknown,
        )

    def _flops(self, node: NodeProto, within: str | None) -> int:
        if within is not None and contracts(node):
            raise _repeated(within)
        return node_flops(node, self._shapes)

    def _moved(self, node: NodeProto, within: str | None) -> int:
        if within is not None:
            raise _repeated(within)
        kind = node.op_type if node.domain in STANDARD_DOMAINS else ""
        if kind == "Constant":
            return 0
        given = self._sum(node.output)
        if kind in MEASURING:
            return given
        if kind in LOOKING_UP:
            return 2 * given + self._sum(node.input[1:])
        return given + self._sum(node.input)

    def _sum(self, names: Iterable[str]) -> int:
        """Return the bytes of values, each once; an optional one that is absent has none."""
        found = {name: self._sizes.get(name) for name in names if name}
        for name, size in found.items():
            if size is None:
                raise UnknownShapeError(f"the size of {name!r} is not known before a run")
        return sum(filter(None, found.values()))


def schema_version(operator: str, domain: str, opset: int) -> int:
    """Return the version of an operator's schema that an operator set has, or that set's own."""
    from onnx import defs

    try:
        return int(defs.get_schema(operator, opset, domain).since_version)
    except defs.SchemaError:
        return opset


def _repeated(within: str) -> UnknownShapeError:
    return UnknownShapeError(f"how often {within!r} runs it depends on data")


def sizes_of(model: ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Return the bytes of each value of which shape and element type are known."""
    graph = model.graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        types.setdefault(value.name, value.type.tensor_type.elem_type)
    bits = {kind: _bits(kind) for kind in set(types.values())}
    return {
        name: (math.prod(shape) * bits[types[name]] + 7) // 8
        for name, shape in shapes.items()
        if bits[types[name]]
    }


def _bits(kind: int) -> int:
    """Return the bits of an element; 0 for text, whose length varies, and for no known type."""
    from onnx import TensorProto

    return element_bits(kind) if kind in TensorProto.DataType.values() else 0


def _plain(domain: str) -> str:
    """Return a domain with the default one spelled in one way."""
    return "" if domain in STANDARD_DOMAINS else domain
