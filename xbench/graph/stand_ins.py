"""How operators compute with element types that a framework has no full arithmetic for.

Frameworks hold 16, 32 and 64 bits without a sign and 8 bits of float, but lack most kernels for
them. While a node is lowered, values of such a type stand in another one: wide enough that
nothing is lost, or the same bits where elements are only moved.
"""

from __future__ import annotations

from enum import Enum


class Way(Enum):
    """How a type stands in another one."""

    AS_IT_IS = "as it is"
    WIDER = "in the next wider type with a sign"
    MODULAR = "the same 64 bits with a sign: right for all that is modulo 2**64"
    ORDERED = "64 bits with the sign bit flipped: right for all that compares"
    BITS = "8 bits: right for all that moves elements"


PACKED = frozenset({"int4", "uint4", "int2", "uint2", "float4_e2m1fn"})
"""Types of less than a byte: importers hold each element by its value."""

MOVING = frozenset(
    {
        "CenterCropPad", "Compress", "Concat", "ConcatFromSequence", "Constant", "ConstantOfShape",
        "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity",
        "If", "Loop", "Optional", "OptionalGetElement", "OptionalHasElement", "Pad", "Reshape",
        "ReverseSequence", "Scan", "Scatter", "ScatterElements", "ScatterND", "SequenceAt",
        "SequenceConstruct", "SequenceErase", "SequenceInsert", "SequenceLength", "Shape", "Size",
        "Slice", "SpaceToDepth", "Split", "SplitToSequence", "Squeeze", "TensorScatter", "Tile",
        "Transpose", "Trilu", "Unsqueeze", "Where",
        "ArrayFeatureExtractor", "OneHot", "Resize", "Upsample",
    }
)  # fmt: skip
"""Operators that move elements and do not look at them."""

MODULO = frozenset(
    {"Add", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "CumSum", "Einsum", "Equal"}
    | {"Gemm", "MatMul", "Mul", "OneHot", "Range", "ReduceProd", "ReduceSum", "ReduceSumSquare"}
    | {"Sub", "Sum"}
    | {"ReduceL1", "ReduceL2", "ReduceMean"}  # told that their bits have no sign
    | {"Col2Im", "CumProd", "NonZero"}
)
"""Operators whose results modulo 2**64 are the same for numbers with a sign and without."""

COMPARING = frozenset(
    {"ArgMax", "ArgMin", "Clip", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min"}
    | {"ReduceMax", "ReduceMin", "TopK", "Unique", "MaxPool"}
)
"""Operators that only compare and pick."""


FLOATS_OF_8_BITS = frozenset(
    {"float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"}
)


def way(dtype: str, operator: str) -> Way | None:
    """Return how ``operator`` computes with a type; None where it has no meaning or no kernel."""
    if dtype in ("uint16", "uint32"):
        return Way.WIDER
    if dtype == "uint64":
        if operator in MODULO | MOVING:
            return Way.MODULAR
        return Way.ORDERED if operator in COMPARING else None
    if dtype in FLOATS_OF_8_BITS:
        return Way.BITS if operator in MOVING else None
    if dtype in PACKED or dtype == "object":
        return Way.AS_IT_IS if operator in MOVING else None
    return Way.AS_IT_IS
