"""What one inference of a model cannot do without: its operations, and bytes of two kinds.

*Compulsory* bytes are what must be read and written however well a runtime fuses and caches: each
weight and input that something depends on, and each output, once. They make the floor. *Moved*
bytes are what the nodes would move one by one, with nothing fused and no cache: an estimate from
above, `xbench.costs.BYTES`. What an inference really moves lies between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xbench.costs import LOOKING_UP, MEASURING, node_costs, sizes_of, total
from xbench.flops import infer, shapes_of
from xbench.following import follow_shapes
from xbench.modelfile import graphs, subgraphs

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from xbench.adapter import BoundModel

FLOAT32_BITS = 32
BITS = {"fp64": 64, "fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "int16": 16}
BITS |= {"int8": 8, "fp8": 8, "int4": 4}
"""Bits of an element as it is stored, by the precision's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One inference, counted.

    Attributes:
        flops: Floating-point operations (`xbench.costs.FLOPS`); None where data decides them.
        compulsory_bytes: Weights, inputs and outputs, each once; None where a size is not known.
        float32_bytes: Of these the float32 weights, which a runtime may hold narrower.
        moved_bytes: What the nodes move one by one; None where data decides it.
        unknown: Why one of them is None.
    """

    flops: int | None
    compulsory_bytes: int | None
    float32_bytes: int = 0
    moved_bytes: int | None = None
    unknown: str | None = None

    def compulsory_at(self, precision: str | None) -> float | None:
        """Return the compulsory bytes where float32 weights may be held at a narrower precision.

        Args:
            precision: As `xbench.adapter.Facts.precision` has it, the narrowest first, such as
                ``int8+fp32``; None is that of the file.
        """
        if self.compulsory_bytes is None:
            return None
        bits = min((BITS.get(one, FLOAT32_BITS) for one in parts(precision)), default=FLOAT32_BITS)
        saved = 1 - min(bits, FLOAT32_BITS) / FLOAT32_BITS
        return self.compulsory_bytes - saved * self.float32_bytes


def parts(precision: str | None) -> tuple[str, ...]:
    """Return the precisions that a runtime named together: ``int8+fp32`` are two."""
    return tuple((precision or "").split("+")) if precision else ()


def work_of(bound: BoundModel) -> Work:
    """Return what one inference of a model takes at the least, and node by node.

    Args:
        bound: The file as the runtime is given it, every dimension decided.
    """
    return count(follow_shapes(infer(bound)))


def count(model: ModelProto) -> Work:
    """Return the work of a model that has the shapes of its values, as `work_of` finds them."""
    nodes = node_costs(model)
    unknown = next((node.unknown for node in nodes if node.unknown), None)
    sizes = sizes_of(model, shapes_of(model))
    outputs = [value.name for value in model.graph.output]
    missing = next((name for name in outputs if name not in sizes), None)
    read = _read(model, sizes)
    weights = _float32_weights(model)
    written = sum(sizes.get(name, 0) for name in dict.fromkeys(outputs))
    return Work(
        flops=total(node.flops for node in nodes),
        compulsory_bytes=None if missing else sum(read.values()) + written,
        float32_bytes=sum(size for name, size in read.items() if name in weights),
        moved_bytes=total(node.bytes for node in nodes),
        unknown=f"the size of output {missing!r} is not known before a run" if missing else unknown,
    )


def _read(model: ModelProto, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return how many bytes of each weight and input must be read.

    The most that one node of the main graph needs of it. Branches and bodies may never run, and
    what no output depends on is not computed: neither counts.
    """
    sources = _sources(model)
    read = dict.fromkeys(sources, 0)
    for node in _live(model):
        for name, size in _needs(node, sizes):
            if name in sources:
                read[name] = max(read[name], size)
    return {name: size for name, size in read.items() if size}


def _needs(node: NodeProto, sizes: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield each input of a node with the bytes that the node must read of it."""
    if node.op_type in MEASURING:
        return
    for place, name in enumerate(node.input):
        size = sizes.get(name, 0)
        if node.op_type in LOOKING_UP and place == 0:
            size = min(size, sizes.get(node.output[0], 0))
        yield name, size


def _live(model: ModelProto) -> Iterator[NodeProto]:
    """Yield the nodes of the main graph on which an output depends."""
    needed = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):  # ONNX keeps nodes in an order that can be run
        if not needed.isdisjoint(node.output):
            needed |= {*node.input, *_captured(node)}
            yield node


def _captured(node: NodeProto) -> Iterable[str]:
    """Return the names that the graphs within a node read, its own among them."""
    within = (inner for one in subgraphs(node) for graph in graphs(one) for inner in graph.node)
    return {name for inner in within for name in inner.input}


def _sources(model: ModelProto) -> set[str]:
    """Return the names of what is there before anything is computed."""
    graph = model.graph
    constants = (node.output[0] for node in graph.node if node.op_type == "Constant")
    given = (value.name for value in graph.input)
    return {*constants, *given, *(tensor.name for tensor in graph.initializer)}


def _float32_weights(model: ModelProto) -> set[str]:
    """Return the names of the float32 weights of the main graph."""
    from onnx import TensorProto

    graph = model.graph
    found = {one.name for one in graph.initializer if one.data_type == TensorProto.FLOAT}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.t.data_type == TensorProto.FLOAT:
                found.add(node.output[0])
    return found
