"""Whether a graph can compute in nothing but float32: then no profile of it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbench import modelfile
from xbench.graph.mapped import light_bytes

if TYPE_CHECKING:
    from onnx import ModelProto

PLAIN = {"tensor(float)", "tensor(int32)", "tensor(int64)", "tensor(bool)", "tensor(string)"}
"""Types of inputs and outputs that a graph of float32 has."""

CASTS = {"Cast", "CastLike"}
QUANTISE = ("QLinear", "Integer", "Quant", "MatMulNBits", "QAttention", "QGemm", "QOrdered", "QMoE")
"""Parts of the names of operators that compute in less than float32, or prepare that."""

NARROW = ("FLOAT16", "BFLOAT16", "FLOAT8", "FLOAT4", "FLOAT6")
"""What the names of narrower types begin with."""


def is_plain(inner: Any) -> bool:
    """Return whether a session has nothing from which another type than float32 could come.

    Its operators are those that ONNX Runtime was given, before it fused any. Casts may be to
    anything: of a graph with one the file tells, see `is_plain_file`.
    """
    if not hasattr(inner, "get_provider_graph_assignment_info"):  # since 1.24
        return False
    if any(one.type not in PLAIN for one in (*inner.get_inputs(), *inner.get_outputs())):
        return False
    parts = inner.get_provider_graph_assignment_info()
    operators = {node.op_type for part in parts for node in part.get_nodes()}
    return operators.isdisjoint(CASTS) and not _quantise(operators)


def has_convolution(path: Path) -> bool:
    """Return whether a file has a convolution. It imports onnx."""
    return any("Conv" in node.op_type for node in modelfile.all_nodes(_parsed(path)))


def is_plain_file(path: Path) -> bool:
    """Return whether a file has no narrower type and no quantised operator. It imports onnx."""
    import onnx

    model = _parsed(path)
    if _quantise({node.op_type for node in modelfile.all_nodes(model)}):
        return False
    named = (onnx.TensorProto.DataType.Name(kind) for kind in _types(model))
    return not any(name.startswith(NARROW) for name in named)


def _parsed(path: Path) -> ModelProto:
    """Return a file's model, without its large weights where they can be left out."""
    import onnx

    light = light_bytes(path)
    return modelfile.parse(path) if light is None else onnx.ModelProto.FromString(light)


def _quantise(operators: set[str]) -> bool:
    return any(part in operator for operator in operators for part in QUANTISE)


def _types(model: ModelProto) -> set[int]:
    """Return the types of a file's constants, of its ends, and those that nodes turn others to."""
    found = {tensor.data_type for tensor in modelfile.stored_tensors(model)}
    ends = (*model.graph.input, *model.graph.output)
    found |= {value.type.tensor_type.elem_type for value in ends}
    for node in modelfile.all_nodes(model):
        found |= {one.i for one in node.attribute if one.name in ("to", "dtype")}
    return found
