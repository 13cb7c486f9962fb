"""Types of values that change: what holds of all of them."""

from __future__ import annotations

import onnx

Type = onnx.TypeProto | None
"""A type, or None where nothing is known."""

Shape = onnx.TensorShapeProto


def merged(one: Type, other: Type) -> Type:
    """Return what holds of both types: open where they differ, None where nothing does."""
    if one is None or other is None:
        return None
    kind = one.WhichOneof("value")
    if kind != other.WhichOneof("value"):
        return None
    if kind == "tensor_type":
        return _tensor(one.tensor_type, other.tensor_type)
    if kind not in ("sequence_type", "optional_type"):
        return None
    inner = merged(getattr(one, kind).elem_type, getattr(other, kind).elem_type)
    return None if inner is None else wrapped(kind, inner)


def wrapped(kind: str, inner: onnx.TypeProto) -> onnx.TypeProto:
    """Return the type of a sequence of, or an optional, ``inner``."""
    typed = onnx.TypeProto()
    getattr(typed, kind).elem_type.CopyFrom(inner)
    return typed


def widened(one: Type, other: Type) -> Type:
    """Return the type of a value that starts as ``one`` and may become ``other``.

    The element type stays, as ONNX demands, even where nothing is known of ``other``.
    """
    if one is None:
        return None
    if other is None:
        return _shapeless(one)
    if one.WhichOneof("value") == "optional_type" and not other.HasField("optional_type"):
        inner = widened(one.optional_type.elem_type, other)
        return None if inner is None else wrapped("optional_type", inner)
    return merged(one, other)


def loosened(typed: onnx.TypeProto) -> onnx.TypeProto:
    """Return a type without symbols for lengths: values of that type may differ in them."""
    copy = onnx.TypeProto()
    copy.CopyFrom(_opened(typed))
    kind = typed.WhichOneof("value")
    if kind == "tensor_type":
        for dim in copy.tensor_type.shape.dim:
            dim.ClearField("dim_param")
    elif kind in ("sequence_type", "optional_type"):
        getattr(copy, kind).elem_type.CopyFrom(loosened(getattr(typed, kind).elem_type))
    return copy


def plain(typed: onnx.TypeProto) -> onnx.TypeProto:
    """Return a declared type as it can be trusted: elements of a sequence share no symbols."""
    if typed.WhichOneof("value") in ("sequence_type", "optional_type"):
        return loosened(typed)
    return _opened(typed)


def _opened(typed: onnx.TypeProto) -> onnx.TypeProto:
    """Return a type whose negative lengths, as some models have them, are open ones."""
    if not any(dim.dim_value < 0 for dim in typed.tensor_type.shape.dim):
        return typed
    copy = onnx.TypeProto()
    copy.CopyFrom(typed)
    for dim in copy.tensor_type.shape.dim:
        if dim.dim_value < 0:
            dim.ClearField("dim_value")
    return copy


def without_axis(typed: Type, axis: int) -> Type:
    """Return the type of slices along an axis."""
    if typed is None or not typed.HasField("tensor_type"):
        return None
    copy = onnx.TypeProto()
    copy.CopyFrom(typed)
    dims = copy.tensor_type.shape.dim
    if typed.tensor_type.HasField("shape") and -len(dims) <= axis < len(dims):
        del dims[axis % len(dims)]
    else:
        copy.tensor_type.ClearField("shape")
    return copy


def with_axis(typed: Type, axis: int, length: int | None) -> Type:
    """Return the type of slices stacked along a new axis."""
    if typed is None or not typed.HasField("tensor_type"):
        return None
    copy = onnx.TypeProto()
    copy.CopyFrom(typed)
    if not typed.tensor_type.HasField("shape"):
        return copy
    dims = [*typed.tensor_type.shape.dim]
    added = Shape.Dimension() if length is None else Shape.Dimension(dim_value=length)
    dims.insert(axis % (len(dims) + 1), added)
    copy.tensor_type.shape.ClearField("dim")
    copy.tensor_type.shape.dim.extend(dims)
    return copy


def length_of(typed: Type, axis: int) -> int | None:
    """Return the length of an axis, if it is known."""
    if typed is None or not typed.HasField("tensor_type"):
        return None
    dims = typed.tensor_type.shape.dim
    if not -len(dims) <= axis < len(dims) or not dims[axis].HasField("dim_value"):
        return None
    return int(dims[axis].dim_value)


def _tensor(one: onnx.TypeProto.Tensor, other: onnx.TypeProto.Tensor) -> Type:
    if one.elem_type != other.elem_type or not one.elem_type:
        return None
    typed = onnx.TypeProto()
    typed.tensor_type.elem_type = one.elem_type
    shaped = one.HasField("shape") and other.HasField("shape")
    if not shaped or len(one.shape.dim) != len(other.shape.dim):
        return typed
    typed.tensor_type.shape.SetInParent()
    for a, b in zip(one.shape.dim, other.shape.dim, strict=True):
        dim = typed.tensor_type.shape.dim.add()
        if a.HasField("dim_value") and b.HasField("dim_value") and a.dim_value == b.dim_value:
            dim.dim_value = a.dim_value
        elif a.dim_param and a.dim_param == b.dim_param:
            dim.dim_param = a.dim_param
    return typed


def _shapeless(one: onnx.TypeProto) -> onnx.TypeProto:
    kind = one.WhichOneof("value")
    if kind in ("sequence_type", "optional_type"):
        return wrapped(kind, _shapeless(getattr(one, kind).elem_type))
    copy = onnx.TypeProto()
    copy.CopyFrom(one)
    if kind == "tensor_type":
        copy.tensor_type.ClearField("shape")
    return copy
