"""Types of what ONNX Runtime's graph optimiser writes: fused products, images, activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import defs, helper

from xbench.graph.contrib.rules import Known, like, tensor, typed
from xbench.graph.plain import Dim, Value
from xbench.graph.types import infer

Types = Sequence[onnx.TypeProto | None]


def inferred(
    known: Known,
    operator: str,
    version: int,
    inputs: Sequence[str],
    types: Mapping[str, onnx.TypeProto] | None = None,
) -> list[onnx.TypeProto | None]:
    """Return the types that an operator of ONNX's own would give for the same attributes."""
    schema = defs.get_schema(operator, version, "")
    outputs = list(known.node.output)[: schema.max_output]
    node = helper.make_node(operator, inputs, outputs, name=known.node.name)
    node.attribute.extend(one for one in known.node.attribute if one.name in schema.attributes)
    found = infer(node, schema, types or known.types, known.constants, {"": version})
    return [found.get(name) for name in known.node.output]


def _same(operator: str, domain: str = "com.microsoft") -> None:
    @typed(operator, domain)
    def rule(known: Known) -> Types:
        return [like(known)]


for _operator in (
    "BiasAdd", "BiasGelu", "BiasSoftmax", "FastGelu", "Gelu", "GroupNorm", "Inverse",
    "QuickGelu", "Trilu",
):  # fmt: skip
    _same(_operator)


@typed("BiasDropout")
def _bias_dropout(known: Known) -> Types:
    return [like(known), tensor(np.dtype(np.bool_), known.value(0).shape)]


@typed("BitmaskBiasDropout")
def _bitmask_bias_dropout(known: Known) -> Types:
    return [like(known)]


@typed("BiasSplitGelu")
def _bias_split_gelu(known: Known) -> Types:
    value = known.value(0)
    if value.shape is None:
        return [like(known)]
    last = value.shape[-1]
    half = last // 2 if isinstance(last, int) else None
    return [tensor(value.dtype, (*value.shape[:-1], half))]


@typed("SkipGroupNorm")
def _skip_group_norm(known: Known) -> Types:
    return [like(known), like(known)]


@typed("FusedConv")
def _fused_conv(known: Known) -> Types:
    return inferred(known, "Conv", 11, list(known.node.input)[:3])


@typed("ConvTransposeWithDynamicPads")
def _conv_transpose(known: Known) -> Types:
    value, weight = known.value(0), known.value(1)
    if value.rank is None:
        return [tensor(value.dtype, None)]
    channels: Dim = None
    if weight.shape is not None and isinstance(weight.shape[1], int):
        channels = weight.shape[1] * int(known.attributes.get("group", 1))
    assert value.shape is not None
    return [tensor(value.dtype, (value.shape[0], channels, *[None] * (value.rank - 2)))]


def _channels_last(known: Known, operator: str, version: int, others: Sequence[str] = ()) -> Types:
    """Return the type of an operator on images for an input whose channels are last."""
    value = known.value(0)
    if value.shape is None or len(value.shape) < 3:
        return [tensor(value.dtype, None)]
    moved = tensor(value.dtype, (value.shape[0], value.shape[-1], *value.shape[1:-1]))
    if moved is None:
        return [None]
    types = {**known.types, "channels second": moved}
    found = inferred(known, operator, version, ["channels second", *others], types)[0]
    if found is None or not found.tensor_type.HasField("shape"):
        return [found]
    dims = list(found.tensor_type.shape.dim)
    last = onnx.TypeProto()
    last.tensor_type.elem_type = found.tensor_type.elem_type
    last.tensor_type.shape.dim.extend([dims[0], *dims[2:], dims[1]])
    return [last]


@typed("NhwcConv")
@typed("NhwcFusedConv")
@typed("Conv", "com.ms.internal.nhwc")
def _conv_channels_last(known: Known) -> Types:
    return _channels_last(known, "Conv", 11, list(known.node.input)[1:3])


@typed("NhwcMaxPool")
def _max_pool_channels_last(known: Known) -> Types:
    return _channels_last(known, "MaxPool", 12)


def _turned(value: Value, turned: int, early: int) -> tuple[Dim, ...] | None:
    """Return the shape of a factor after it was transposed as asked."""
    shape = value.shape
    if shape is None or len(shape) < 2:
        return shape
    if early:
        shape = (*shape[1:-1], shape[0], shape[-1])
    return (*shape[:-2], shape[-1], shape[-2]) if turned else shape


@typed("FusedMatMul")
@typed("FusedMatMulActivation")
@typed("TransposeMatMul")
def _fused_matmul(known: Known) -> Types:
    types = {}
    for place, side in enumerate("AB"):
        turns = (known.attributes.get(f"trans{kind}{side}", 0) for kind in ("", "Batch"))
        value = known.value(place)
        found = tensor(value.dtype, _turned(value, *turns))
        if found is None:
            return [None]
        types[f"factor {side}"] = found
    return inferred(known, "MatMul", 13, list(types), types)


@typed("FusedGemm")
def _fused_gemm(known: Known) -> Types:
    return inferred(known, "Gemm", 13, list(known.node.input))


@typed("GemmFastGelu")
def _gemm_fast_gelu(known: Known) -> Types:
    return inferred(known, "MatMul", 13, list(known.node.input)[:2])


@typed("GatherND")
def _gather_nd(known: Known) -> Types:
    return inferred(known, "GatherND", 12, list(known.node.input))


@typed("Pad")
def _pad(known: Known) -> Types:
    value, pads = known.value(0), known.constant(1)
    if value.shape is None:
        return [like(known)]
    if pads is None:
        return [tensor(value.dtype, [None] * len(value.shape))]
    added = pads.reshape(2, -1).sum(0)
    pairs = zip(value.shape, added, strict=True)
    return [tensor(value.dtype, [d + int(n) if isinstance(d, int) else None for d, n in pairs])]


@typed("Unique")
def _unique(known: Known) -> Types:
    whole = np.dtype(np.int64)
    value = known.value(0)
    return [tensor(value.dtype, [None]), tensor(whole, value.shape), tensor(whole, [None])]


@typed("ExpandDims")
def _expand_dims(known: Known) -> Types:
    value, axis = known.value(0), known.constant(1)
    if value.shape is None:
        return [like(known)]
    if axis is None:
        return [tensor(value.dtype, [None] * (len(value.shape) + 1))]
    place = int(axis.reshape(-1)[0]) % (len(value.shape) + 1)
    return [tensor(value.dtype, (*value.shape[:place], 1, *value.shape[place:]))]


@typed("Range")
def _range(known: Known) -> Types:
    return [tensor(known.value(0).dtype, [None])]


@typed("UnfoldTensor")
def _unfold_tensor(known: Known) -> Types:
    value, size = known.value(0), int(known.attributes["size"])
    if value.shape is None:
        return [like(known)]
    shape, axis = list(value.shape), int(known.attributes.get("dim", -1))
    length = shape[axis]
    step = int(known.attributes.get("step", 1))
    shape[axis] = (length - size) // step + 1 if isinstance(length, int) else None
    return [tensor(value.dtype, [*shape, size])]


@typed("TorchEmbedding")
def _torch_embedding(known: Known) -> Types:
    table, places = known.value(0), known.value(1)
    if table.shape is None or places.shape is None:
        return [tensor(table.dtype, None)]
    return [tensor(table.dtype, (*places.shape, table.shape[-1]))]


@typed("CDist")
def _cdist(known: Known) -> Types:
    left, right = known.value(0), known.value(1)
    if left.shape is None or right.shape is None:
        return [tensor(left.dtype, [None, None])]
    return [tensor(left.dtype, [left.shape[0], right.shape[0]])]


@typed("ComplexMul")
@typed("ComplexMulConj")
def _complex_mul(known: Known) -> Types:
    return inferred(known, "Mul", 14, list(known.node.input))


@typed("Rfft")
def _rfft(known: Known) -> Types:
    value = known.value(0)
    if value.shape is None:
        return [like(known)]
    last = value.shape[-1]
    half = last // 2 + 1 if isinstance(last, int) else None
    return [tensor(value.dtype, (*value.shape[:-1], half, 2))]


@typed("Irfft")
def _irfft(known: Known) -> Types:
    value = known.value(0)
    if value.shape is None:
        return [like(known)]
    half = value.shape[-2]
    whole = 2 * (half - 1) if isinstance(half, int) else None
    return [tensor(value.dtype, (*value.shape[:-2], whole))]


@typed("CropAndResize")
def _crop_and_resize(known: Known) -> Types:
    value, boxes, size = known.value(0), known.value(1), known.constant(3)
    if value.shape is None or boxes.shape is None:
        return [tensor(value.dtype, [None] * 4)]
    lengths = [None, None] if size is None else [int(one) for one in size.reshape(-1)]
    return [tensor(value.dtype, [boxes.shape[0], value.shape[1], *lengths])]
