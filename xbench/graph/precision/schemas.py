"""What ONNX's schemas let a node compute in."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from functools import cache

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, defs
from onnx.defs import OpSchema

from xbench.graph.functions import opsets_of
from xbench.graph.subgraphs import subgraphs

FLOAT = TensorProto.FLOAT
TYPES: dict[str, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
NAMES: dict[int, str] = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
CONTROL = frozenset({"If", "Loop", "Scan", "SequenceMap"})
PRODUCTS = frozenset(
    {
        *("Conv", "ConvTranspose", "DeformConv", "MatMul", "Gemm", "Einsum"),
        *("RNN", "GRU", "LSTM", "Attention"),
    }
)
NEWEST = 22  # of the standard operator set; where convolutions learn bfloat16
MICROSOFT = "com.microsoft"


class Schemas:
    """The schemas that hold for the nodes of a model."""

    def __init__(self, model: ModelProto) -> None:
        self.opsets = opsets_of(model.opset_import)

    def of(self, node: NodeProto, opset: int | None = None) -> OpSchema | None:
        """Return the schema of a node, or None where its operator is not one of ONNX's."""
        domain = "" if node.domain == "ai.onnx" else node.domain
        version = opset if opset and not domain else self.opsets.get(domain, 1)
        return _schema(node.op_type, version, domain)

    def version(self, node: NodeProto) -> int:
        """Return the version of a node's operator."""
        schema = self.of(node)
        return schema.since_version if schema else self.opsets.get(node.domain, 1)

    def takes(
        self, node: NodeProto, at: int, kind: int, opset: int | None = None, *, output: bool = False
    ) -> bool:
        """Return whether an input or output of a node, which is float32, may be of a type."""
        if node.op_type in CONTROL and not node.domain:
            return True  # the graphs within are converted with it
        if output and node.op_type in ("LayerNormalization", "Constant") and _stays(node, at):
            return False
        schema = self.of(node, opset)
        if schema is None:
            return node.domain == MICROSOFT
        allowed = _allowed(schema, at, output=output)
        return f"tensor({NAMES[kind]})" in allowed or f"seq(tensor({NAMES[kind]}))" in allowed

    def opset_for(self, positions: Sequence[tuple[NodeProto, int, bool]], kind: int) -> int:
        """Return the oldest operator set in which most of the positions may be of a type.

        Args:
            positions: Nodes with the number of an input or, if True, an output that is float32.
            kind: The type.
        """
        own = needed = self.opsets.get("", 1)
        for node, at, output in positions:
            if node.domain not in ("", "ai.onnx") or self.takes(node, at, kind, output=output):
                continue
            later = range(needed + 1, NEWEST + 1)
            wide = [v for v in later if self.takes(node, at, kind, v, output=output)]
            past = range(own + 1, needed + 1)
            if wide and not any(self.takes(node, at, kind, v, output=output) for v in past):
                needed = wide[0]
        return needed


def output_types(node: NodeProto, schema: OpSchema | None, types: Mapping[str, int]) -> list[int]:
    """Return the element type of each output where inference found none: that of an input."""
    known = [types.get(name, 0) for name in node.input]
    if schema is None:
        found = FLOAT if FLOAT in known else next((one for one in known if one), 0)
        return [found] * len(node.output)
    formal = {_formal(schema.inputs, i): kind for i, kind in enumerate(known) if kind}
    return [formal.get(_formal(schema.outputs, i), 0) for i in range(len(node.output))]


def types_of(graph: GraphProto) -> Iterator[tuple[str, int]]:
    """Yield the element type of each value that a graph tells, that of a sequence's elements."""
    for one in [*graph.value_info, *graph.input, *graph.output]:
        kind = one.type
        while kind.HasField("sequence_type") or kind.HasField("optional_type"):
            held = kind.sequence_type if kind.HasField("sequence_type") else kind.optional_type
            kind = held.elem_type
        yield one.name, kind.tensor_type.elem_type if kind.HasField("tensor_type") else 0
    yield from ((one.name, one.data_type) for one in graph.initializer)


def typed_nodes(
    graph: GraphProto, schemas: Schemas, outer: MutableMapping[str, int] | None = None
) -> Iterator[tuple[NodeProto, Mapping[str, int]]]:
    """Yield every node, with the element types of the values that it can see."""
    types: MutableMapping[str, int] = ChainMap({}, outer or {})
    types.update(types_of(graph))
    for node in graph.node:
        guessed = zip(node.output, output_types(node, schemas.of(node), types), strict=True)
        for name, kind in guessed:
            types.setdefault(name, kind)
        yield node, types
        for inner in subgraphs(node):
            yield from typed_nodes(inner, schemas, types)


def float_positions(node: NodeProto, types: Mapping[str, int]) -> Iterator[tuple[int, bool]]:
    """Yield the number of each input and, with True, of each output that is float32."""
    for names, output in ((node.input, False), (node.output, True)):
        for at, name in enumerate(names):
            if name and types.get(name) == FLOAT:
                yield at, output


def is_fixed(schema: OpSchema | None, at: int) -> bool:
    """Return whether an input can be float32 only, for it says sizes or places."""
    return schema is not None and _formal(schema.inputs, at) == "tensor(float)"


def _stays(node: NodeProto, at: int) -> bool:
    # Statistics are of the type that ``stash_type`` says, and a constant of that of its attribute.
    return node.op_type == "Constant" or at > 0


def _formal(formals: Sequence[OpSchema.FormalParameter], at: int) -> str:
    if not formals:
        return ""
    return str(formals[min(at, len(formals) - 1)].type_str)


def _allowed(schema: OpSchema, at: int, *, output: bool) -> Sequence[str]:
    formal = _formal(schema.outputs if output else schema.inputs, at)
    for constraint in schema.type_constraints:
        if constraint.type_param_str == formal:
            return list(constraint.allowed_type_strs)
    return [formal]


@cache
def _schema(operator: str, version: int, domain: str) -> OpSchema | None:
    try:
        return defs.get_schema(operator, version, domain)
    except onnx.defs.SchemaError:
        return None
