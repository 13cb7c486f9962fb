"""Tensors made of a value, of a rule or of nothing but what is handed on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from onnx import SparseTensorProto, TensorProto, numpy_helper

from xbench_adapters.pytorch.registry import lowering
from xbench_adapters.pytorch.tensors import text_array

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Node
    from xbench_adapters.pytorch.builder import Builder

_FULL = frozenset(
    {"bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8"}
)


def repeated(value: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return a tensor of one value."""
    return value.expand(tuple(shape)).contiguous()


@lowering("ConstantOfShape", 9, raw=True)
def constant_of_shape(node: Node, to: Builder) -> torch.fx.Node:
    """Return a tensor of one value."""
    shape = to.numbers(node.inputs[0])
    value: Array | None = node.attributes.get("value")
    one = np.zeros((), np.float32) if value is None else value.reshape(-1)[:1].reshape(())
    if one.dtype.name in _FULL:
        dtype = getattr(torch, one.dtype.name)
        return to.call(torch.full, shape, one.item(), dtype=dtype)
    return to.call(repeated, to.fixed(f"{node.name}_value", one), shape)


def eye_like(x: torch.Tensor, shift: int, dtype: torch.dtype | None) -> torch.Tensor:
    """Return ones on a diagonal, in the shape of ``x``."""
    rows, columns = x.shape
    places = torch.arange(rows, device=x.device)[:, None] + shift
    ones = torch.arange(columns, device=x.device) == places
    return ones.to(x.dtype if dtype is None else dtype)


@lowering("EyeLike", 9, raw=True)
def eye(node: Node, to: Builder) -> torch.fx.Node:
    """Return ones on a diagonal, in the shape of the input."""
    known = to.graph.value(node.outputs[0]).dtype is not None
    dtype = to.dtype(node.outputs[0]) if known else None  # the input's own, at run time
    return to.call(eye_like, to.value(node.inputs[0]), node.attributes["k"], dtype)


def counted(
    start: int, limit: int, delta: int, dtype: torch.dtype, device: torch.device | None = None
) -> torch.Tensor:
    """Return whole numbers from ``start`` to before ``limit``; none where that is behind it."""
    # On plain numbers these are max and min; torch.export follows lengths through them.
    bound: Any = torch.sym_max if delta > 0 else torch.sym_min
    stop = bound(start, limit)
    return torch.arange(start, stop, delta, dtype=dtype, device=device)


def stepped(
    start: torch.Tensor, limit: torch.Tensor, delta: torch.Tensor, computed: torch.dtype
) -> torch.Tensor:
    """Return floats from ``start`` to before ``limit``, computed in a type as wide or wider."""
    first, end, step = (float(one.to(computed).reshape(())) for one in (start, limit, delta))
    count = max(math.ceil((end - first) / step), 0)
    places = torch.arange(count, dtype=computed, device=start.device)
    return (places * step + first).to(start.dtype)


@lowering("Range", 11)
def sequence(node: Node, to: Builder) -> torch.fx.Node:
    """Return numbers in steps."""
    dtype = to.dtype(node.inputs[0])
    if not dtype.is_floating_point:
        return to.call(counted, *(to.number(name) for name in node.inputs), dtype)
    known = [to.constant(name) for name in node.inputs]
    numbers = [one.reshape(-1)[0].item() for one in known if one is not None]
    if len(numbers) == 3 and dtype in (torch.float32, torch.float64):
        return to.call(torch.arange, *numbers, dtype=dtype)  # too many of them to be folded
    computed = torch.float64
    if dtype in (torch.float16, torch.bfloat16):
        code = node.attributes.get("stash_type", TensorProto.FLOAT)
        if code not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            to.refuse(f"stash_type {code}")
        computed = torch.float32 if code == TensorProto.FLOAT else torch.float64
    return to.call(stepped, *(to.value(name) for name in node.inputs), computed)


@lowering("Identity", raw=True)
def identity(node: Node, to: Builder) -> torch.fx.Node:
    """Return the input: a tensor, a sequence or what is optional."""
    return to.value(node.inputs[0])


@lowering("Constant", raw=True)
def constant(node: Node, to: Builder) -> torch.fx.Node:
    """Return what the node holds; what is dense and no text was folded before."""
    held = node.attributes
    if "value_string" in held:
        return to.call(text_array, (held["value_string"],), ())
    if "value_strings" in held:
        texts = tuple(held["value_strings"])
        return to.call(text_array, texts, (len(texts),))
    sparse: Any = held.get("sparse_value")
    if not isinstance(sparse, SparseTensorProto):
        to.refuse("it holds no value")
    return to.fixed(f"{node.name}_value", dense(sparse))


def dense(sparse: SparseTensorProto) -> Array:
    """Return the array of a sparse tensor: zeros where it says nothing."""
    values: Array = np.asarray(numpy_helper.to_array(sparse.values))
    places = np.asarray(numpy_helper.to_array(sparse.indices)).astype(np.int64)
    found = np.zeros(tuple(sparse.dims), values.dtype)
    if places.ndim == 2:
        found[tuple(places.T)] = values
    else:
        found.reshape(-1)[places] = values
    return found
