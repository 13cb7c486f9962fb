"""Types of what the operators of ONNX Runtime's quantiser give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from xbench.graph.contrib.rules import Known, like, tensor, typed
from xbench.graph.plain import Dim

Shape = tuple[Dim, ...] | None
Types = Sequence[onnx.TypeProto | None]


def broadcast(*shapes: Shape) -> Shape:
    """Return the shape that shapes broadcast to, as far as it is known."""
    known = [one for one in shapes if one is not None]
    if len(known) < len(shapes):
        return None
    rank = max((len(one) for one in known), default=0)
    filled = [(1,) * (rank - len(one)) + one for one in known]
    return tuple(_length(dims) for dims in zip(*filled, strict=True))


def _length(dims: tuple[Dim, ...]) -> Dim:
    """Return the length that lengths broadcast to; an open one may turn out to be one."""
    more = {dim for dim in dims if dim != 1}
    if not more:
        return 1
    fixed = {dim for dim in more if isinstance(dim, int)}
    if len(fixed) == 1:
        return fixed.pop()
    return more.pop() if len(more) == 1 else None


def product(a: Shape, b: Shape) -> Shape:
    """Return the shape of a product of matrices, as far as it is known."""
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        return None
    batch = broadcast(a[:-2], b[:-2])
    return None if batch is None else (*batch, a[-2], b[-1])


def _dtype(known: Known, *places: int) -> np.dtype[Any] | None:
    found = [known.value(place).dtype for place in places]
    return next((one for one in found if one is not None), None)


@typed("QLinearAdd")
@typed("QLinearMul")
def _pair(known: Known) -> Types:
    a, b = known.value(0), known.value(3)
    return (tensor(_dtype(known, 0, 3, 7), broadcast(a.shape, b.shape)),)


@typed("QLinearSigmoid")
@typed("QLinearLeakyRelu")
@typed("QLinearSoftmax")
def _same(known: Known) -> Types:
    return (like(known),)


@typed("QLinearWhere")
def _where(known: Known) -> Types:
    shapes = [known.value(place).shape for place in (0, 1, 4)]
    return (tensor(_dtype(known, 1, 4, 8), broadcast(*shapes)),)


@typed("QLinearConcat")
def _concat(known: Known) -> Types:
    shapes = [known.value(place).shape for place in range(2, len(known.node.input), 3)]
    dtype, first = _dtype(known, 1, 2), shapes[0] if shapes else None
    whole = [one for one in shapes if one is not None and first and len(one) == len(first)]
    if first is None or len(whole) < len(shapes):
        return (tensor(dtype, None),)
    axis = known.attributes["axis"] % len(first)
    lengths = [one[axis] for one in whole]
    fixed = [one for one in lengths if isinstance(one, int)]
    total = sum(fixed) if len(fixed) == len(lengths) else None
    return (tensor(dtype, (*first[:axis], total, *first[axis + 1 :])),)


@typed("QLinearReduceMean")
def _mean(known: Known) -> Types:
    x, keeps = known.value(0), known.attributes.get("keepdims", 1)
    if x.shape is None:
        return (tensor(x.dtype, None),)
    rank = len(x.shape)
    gone = {axis % rank for axis in known.attributes.get("axes") or range(rank)}
    dims = [(1 if place in gone else dim) for place, dim in enumerate(x.shape)]
    kept = dims if keeps else [dim for place, dim in enumerate(x.shape) if place not in gone]
    return (tensor(x.dtype, kept),)


@typed("QLinearGlobalAveragePool")
def _global_mean(known: Known) -> Types:
    x = known.value(0)
    if x.shape is None or len(x.shape) < 3:
        return (tensor(x.dtype, None),)
    ones: tuple[Dim, ...] = (1,) * (len(x.shape) - 2)
    if known.attributes.get("channels_last", 0):
        return (tensor(x.dtype, (x.shape[0], *ones, x.shape[-1])),)
    return (tensor(x.dtype, (*x.shape[:2], *ones)),)


def _windowed(known: Known, dtype: np.dtype[Any] | None, kernel: Shape, channels: Dim) -> Types:
    """Return the type of a result with windows over the spatial axes of the first input.

    Args:
        known: The node.
        dtype: The result's element type.
        kernel: The length of the window along each axis.
        channels: The result's channels; None for those of the input.
    """
    shape, last = known.value(0).shape, bool(known.attributes.get("channels_last", 0))
    if shape is None or kernel is None or len(shape) != len(kernel) + 2:
        return (tensor(dtype, None),)
    spatial = shape[1:-1] if last else shape[2:]
    channels = channels or shape[-1 if last else 1]
    found = [_count(known, place, n, kernel[place]) for place, n in enumerate(spatial)]
    dims = (*found, channels) if last else (channels, *found)
    return (tensor(dtype, (shape[0], *dims)),)


def _count(known: Known, place: int, length: Dim, kernel: Dim) -> Dim:
    """Return how many windows an axis has, if that is known."""
    if not isinstance(length, int) or not isinstance(kernel, int):
        return None
    given = {key: list(known.attributes.get(key) or []) for key in ("strides", "pads", "dilations")}
    stride = given["strides"][place] if given["strides"] else 1
    if known.attributes.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER"):
        return -(-length // stride)
    pads = given["pads"] if known.attributes.get("auto_pad") != "VALID" else []
    before, after = (pads[place], pads[len(pads) // 2 + place]) if pads else (0, 0)
    extent = (kernel - 1) * (given["dilations"][place] if given["dilations"] else 1) + 1
    room = length + before + after - extent
    if not known.attributes.get("ceil_mode", 0):
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= length + before else count


@typed("QLinearAveragePool")
def _window_mean(known: Known) -> Types:
    return _windowed(known, known.value(0).dtype, tuple(known.attributes["kernel_shape"]), None)


@typed("QLinearConv")
def _conv(known: Known) -> Types:
    weight = known.value(3).shape
    kernel, channels = (None, None) if weight is None else (weight[2:], weight[0])
    return _windowed(known, _dtype(known, 7), kernel, channels)


@typed("QGemm")
def _gemm(known: Known) -> Types:
    shapes = [known.value(0).shape, known.value(3).shape]
    turned = [known.attributes.get(one, 0) for one in ("transA", "transB")]
    a, b = (
        shape[::-1] if shape is not None and turn else shape
        for shape, turn in zip(shapes, turned, strict=True)
    )
    given = len(known.node.input) > 8 and known.node.input[8]
    dtype = _dtype(known, 8) if given else np.dtype(np.float32)
    return (tensor(dtype, product(a, b)),)


@typed("DynamicQuantizeMatMul")
def _dynamic_product(known: Known) -> Types:
    shape = product(known.value(0).shape, known.value(1).shape)
    return (tensor(np.dtype(np.float32), shape),)


@typed("MatMulIntegerToFloat")
def _float_product(known: Known) -> Types:
    shape = product(known.value(0).shape, known.value(1).shape)
    return (tensor(_dtype(known, 2, 3), shape),)


@typed("MulInteger")
def _whole_products(known: Known) -> Types:
    shape = broadcast(known.value(0).shape, known.value(2).shape)
    return (tensor(np.dtype(np.int32), shape),)


@typed("QuantizeLinear")
def _quantized(known: Known) -> Types:
    given = len(known.node.input) > 2 and known.node.input[2]
    dtype = known.value(2).dtype if given else np.dtype(np.uint8)
    return (tensor(dtype, known.value(0).shape),)


@typed("DequantizeLinear")
def _real(known: Known) -> Types:
    return (tensor(known.value(1).dtype, known.value(0).shape),)


@typed("QAttention")
def _attention(known: Known) -> Types:
    x, weight = known.value(0).shape, known.value(1).shape
    past, dtype = known.value(8).shape, _dtype(known, 2, 3)
    if x is None or weight is None or not isinstance(weight[1], int):
        return (tensor(dtype, None), tensor(dtype, None))
    hidden, heads = weight[1] // 3, known.attributes["num_heads"]
    before = 0 if len(known.node.input) < 9 or not known.node.input[8] else past and past[3]
    fixed = isinstance(x[1], int) and isinstance(before, int)
    total = x[1] + before if fixed else None  # type: ignore[operator]  # both are whole
    present = (2, x[0], heads, total, hidden // heads)
    return tensor(dtype, (x[0], x[1], hidden)), tensor(dtype, present)


@typed("QEmbedLayerNormalization")
def _embedded(known: Known) -> Types:
    ids, table = known.value(0).shape, known.value(2).shape
    whole, floats = np.dtype(np.int32), np.dtype(np.float32)
    if ids is None or table is None:
        return (tensor(floats, None), tensor(whole, None))
    return tensor(floats, (*ids, table[1])), tensor(whole, ids[:1])


@typed("DynamicQuantizeLSTM")
def _lstm(known: Known) -> Types:
    x, weight, dtype = known.value(0).shape, known.value(2).shape, np.dtype(np.float32)
    if x is None or weight is None:
        return (tensor(dtype, None),) * 3
    last = (weight[0], x[1], weight[1])
    return tensor(dtype, (x[0], *last)), tensor(dtype, last), tensor(dtype, last)


@typed("MatMulNBits")
def _blocks(known: Known) -> Types:
    x = known.value(0)
    shape = None if x.shape is None else (*x.shape[:-1], known.attributes["N"])
    return (tensor(x.dtype, shape),)


@typed("GatherBlockQuantized")
def _gathered(known: Known) -> Types:
    table, indices, dtype = known.value(0), known.value(1).shape, known.value(2).dtype
    if table.shape is None or indices is None or table.dtype is None:
        return (tensor(dtype, None),)
    axis = known.attributes.get("gather_axis", 0) % len(table.shape)
    packed = 8 // known.attributes.get("bits", 4) if table.dtype.name == "uint8" else 1
    after = list(table.shape[axis + 1 :])
    if after and isinstance(after[-1], int):
        after[-1] *= packed
    elif packed > 1:
        return (tensor(dtype, None),)
    return (tensor(dtype, (*table.shape[:axis], *indices, *after)),)
