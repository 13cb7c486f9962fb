"""Floating-point operations of one inference, by the shapes that ONNX infers.

Counted are the operators that contract: each multiplication with its addition is two. What
is added, scaled or compared element by element is not: it waits for memory, not arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from xbench.adapter import BoundModel, TensorSpec
from xbench.modelfile import forget_large, graphs, parse, subgraphs
from xbench.symbols import evaluate

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorShapeProto, ValueInfoProto

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

STANDARD_DOMAINS = {"", "ai.onnx"}
UNCOUNTED = {  # they contract, and we do not count how much
    "AffineGrid",
    "CausalConvWithState",
    "DeformConv",
    "Det",
    "DFT",
    "LinearAttention",
    "STFT",
}


class UnknownShapeError(LookupError):
    """What the count needs is not known; the text says what that is."""


def count_flops(bound: BoundModel, proto: ModelProto | None = None) -> int | None:
    """Return the floating-point operations of one inference, two for each multiply-add.

    None where that cannot be known: a shape depends on data, a loop or a branch decides, or
    a node is not one of ONNX's own.

    Args:
        bound: The model with its dimensions decided.
        proto: The file's message as `forget_large` leaves it, where the caller has it.
    """
    model = infer(bound, proto)
    shapes = shapes_of(model)
    try:
        return sum(_with_carried(node, shapes) for node in model.graph.node)
    except UnknownShapeError:
        return None


def node_flops(node: NodeProto, shapes: Shapes) -> int:
    """Return the floating-point operations of one node, without those of graphs that it carries.

    0 for an operator that does not contract.

    Args:
        node: A node of the main graph.
        shapes: Of the values of that graph, as `shapes_of` gives them.

    Raises:
        UnknownShapeError: If it cannot be known; the text says why.
    """
    if not contracts(node):
        return 0
    count = COUNTS.get(node.op_type)
    if count is None or node.domain not in STANDARD_DOMAINS:
        raise UnknownShapeError(f"what {node.op_type} computes is not counted")
    try:
        return 2 * count(node, shapes)
    except (IndexError, StopIteration, ValueError) as error:
        raise UnknownShapeError(f"the shapes of this {node.op_type} do not fit") from error


def contracts(node: NodeProto) -> bool:
    """Return whether a node itself contracts, or may do so."""
    return node.domain not in STANDARD_DOMAINS or node.op_type in COUNTS.keys() | UNCOUNTED


def output_specs(bound: BoundModel) -> tuple[TensorSpec, ...]:
    """Return the model's outputs; a dimension that depends on data stays a symbol."""
    from onnx.helper import tensor_dtype_to_np_dtype

    specs = []
    for value in infer(bound).graph.output:
        tensor = value.type.tensor_type
        shape: tuple[int | str, ...] = tuple(
            d.dim_value if _is_length(d) else d.dim_param or f"{value.name}.{axis}"
            for axis, d in enumerate(tensor.shape.dim)
        )
        dtype = tensor_dtype_to_np_dtype(tensor.elem_type).name
        specs.append(TensorSpec(value.name, dtype, shape))
    return tuple(specs)


def infer(bound: BoundModel, proto: ModelProto | None = None) -> ModelProto:
    """Return the model with the shapes that follow from its inputs' on every value it can."""
    from onnx import ModelProto, inliner, shape_inference

    if proto is None:
        proto = parse(bound.path)
        forget_large(proto, bound.path.parent)
    model = ModelProto()
    model.CopyFrom(proto)
    if model.functions:
        model = inliner.inline_local_functions(model)
    graph = model.graph
    for value in graph.input:
        if value.name in bound.shapes:
            set_shape(value, bound.shapes[value.name])
    declared = [_with_lengths(value, bound.symbols) for value in [*graph.value_info, *graph.output]]
    # Exporters that traced one example may declare its lengths where others are possible:
    # what follows from the inputs counts first, and what the file says only where that ends.
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    with suppress(shape_inference.InferenceError, RuntimeError, ValueError):
        model = shape_inference.infer_shapes(model, data_prop=True)
    _fill(model.graph, declared)
    return model


def shapes_of(model: ModelProto) -> dict[str, Shape]:
    """Return the shape of each value of the main graph of which every length is known."""
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        lengths = lengths_of(value)
        known = tuple(length for length in lengths or () if length is not None)
        if lengths is not None and len(known) == len(lengths):
            shapes.setdefault(value.name, known)
    return shapes


def lengths_of(value: ValueInfoProto) -> tuple[int | None, ...] | None:
    """Return the shape of a value, None for what is not known of it: a length, or the rank."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(d.dim_value if _is_length(d) else None for d in tensor.shape.dim)


def set_shape(value: ValueInfoProto, shape: Shape) -> None:
    """Write a shape into a graph's value."""
    dims = value.type.tensor_type.shape
    dims.ClearField("dim")
    for length in shape:
        dims.dim.add().dim_value = length


def _with_lengths(value: ValueInfoProto, symbols: Mapping[str, int]) -> ValueInfoProto:
    """Return a value with the symbols in its shape replaced by the lengths that they now have."""
    from onnx import ValueInfoProto

    own = ValueInfoProto()
    own.CopyFrom(value)
    for d in own.type.tensor_type.shape.dim if own.type.HasField("tensor_type") else ():
        length = evaluate(d.dim_param, symbols) if d.dim_param else None
        if length is not None:
            d.dim_value = length
    return own


def _fill(graph: GraphProto, declared: Iterable[ValueInfoProto]) -> None:
    """Put what the file declares of its values where inference left something open."""
    inferred = {value.name: value for value in [*graph.value_info, *graph.output]}
    for value in declared:
        own = inferred.get(value.name)
        if own is None:
            graph.value_info.append(value)
        elif not own.type.tensor_type.HasField("shape"):
            own.type.CopyFrom(value.type)
        else:
            dims = own.type.tensor_type.shape.dim
            for mine, its in zip(dims, value.type.tensor_type.shape.dim, strict=False):
                if not _is_length(mine):
                    mine.CopyFrom(its)


def _is_length(dim: TensorShapeProto.Dimension) -> bool:
    """Return whether a dimension is a length; some exporters write -1 for "open"."""
    return dim.HasField("dim_value") and dim.dim_value >= 0


def _with_carried(node: NodeProto, shapes: Shapes) -> int:
    """Return the operations of a node and of all that it carries, which must have none."""
    if any(_contracts_within(graph) for graph in subgraphs(node)):
        raise UnknownShapeError(f"how often the nodes in {node.op_type} run depends on data")
    return node_flops(node, shapes)


def _contracts_within(graph: GraphProto) -> bool:
    """Return whether a node of a graph, however deep, contracts or may do so."""
    return any(contracts(node) for one in graphs(graph) for node in one.node)


def _shape(names: Iterable[str], at: int, shapes: Shapes) -> Shape:
    """Return the shape of one of a node's values.

    Raises:
        UnknownShapeError: If it is not known.
    """
    name = list(names)[at]
    if name not in shapes:
        raise UnknownShapeError(f"the shape of {name!r} is not known before a run")
    return shapes[name]


def _convolution(weight_at: int) -> Callable[[NodeProto, Shapes], int]:
    """Return the count for a convolution: every output element sums over one filter."""

    def count(node: NodeProto, shapes: Shapes) -> int:
        filters = _shape(node.input, weight_at, shapes)
        return math.prod(_shape(node.output, 0, shapes)) * math.prod(filters[1:])

    return count


def _transposed_convolution(node: NodeProto, shapes: Shapes) -> int:
    """Return the multiply-adds: every input element is spread over one filter."""
    filters = _shape(node.input, 1, shapes)
    return math.prod(_shape(node.input, 0, shapes)) * math.prod(filters[1:])


def _matrix_product(node: NodeProto, shapes: Shapes) -> int:
    """Return the multiply-adds: every output element sums over the last axis of the left."""
    return math.prod(_shape(node.output, 0, shapes)) * _shape(node.input, 0, shapes)[-1]


def _gemm(node: NodeProto, shapes: Shapes) -> int:
    """Return the multiply-adds of a product whose left side may be transposed."""
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    summed = _shape(node.input, 0, shapes)[0 if transposed else 1]
    return math.prod(_shape(node.output, 0, shapes)) * summed


def _recurrent(node: NodeProto, shapes: Shapes) -> int:
    """Return the multiply-adds: both weight matrices at every step of every sequence."""
    steps = math.prod(_shape(node.input, 0, shapes)[:2])
    matrices = (_shape(node.input, at, shapes) for at in (1, 2))
    return steps * sum(math.prod(matrix) for matrix in matrices)


def _einsum(node: NodeProto, shapes: Shapes) -> int:
    """Return the multiply-adds of a product of two: every index runs its whole length."""
    equation = next(a.s.decode() for a in node.attribute if a.name == "equation")
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if len(terms) != 2 or "." in equation:
        raise UnknownShapeError(f"an Einsum of {equation!r} is not counted")
    lengths: dict[str, int] = {}
    for at, term in enumerate(terms):
        for index, length in zip(term, _shape(node.input, at, shapes), strict=True):
            lengths[index] = max(length, lengths.get(index, 1))
    return math.prod(lengths.values())


def _attention(node: NodeProto, shapes: Shapes) -> int:
    """Return the multiply-adds of queries with keys, and of the weights with values."""
    if any(node.input[4:6]):  # keys of before: how many follows from other shapes
        raise UnknownShapeError("attention over keys of before is not counted")
    keys = _shape(node.input, 1, shapes)[-2]
    queries, out = (_shape(names, 0, shapes) for names in (node.input, node.output))
    return keys * (math.prod(queries) + math.prod(out))


COUNTS: dict[str, Callable[[NodeProto, Shapes], int]] = {
    "Attention": _attention,
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "ConvTranspose": _transposed_convolution,
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "MatMul": _matrix_product,
    "MatMulInteger": _matrix_product,
    "QLinearConv": _convolution(3),
    "QLinearMatMul": _matrix_product,
    "RNN": _recurrent,
}
