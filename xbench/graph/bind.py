"""The shapes asked for, as types of the graph's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xbench.errors import ShapeError

if TYPE_CHECKING:
    import onnx

Shapes = Mapping[str, tuple[int, ...]]


def bound_inputs(
    inputs: tuple[onnx.ValueInfoProto, ...], shapes: Shapes
) -> dict[str, onnx.TypeProto]:
    """Return the type of each input, with the dimensions that ``shapes`` decides.

    A symbol that one input's shape decides is decided for all inputs.

    Raises:
        ShapeError: If a shape is for no input, or contradicts the model or another shape.
    """
    known = {one.name for one in inputs}
    for name in shapes:
        if name not in known:
            raise ShapeError(f"the model has no input {name!r}", f"It has {', '.join(known)}")
    symbols: dict[str, int] = {}
    for one in inputs:
        if one.name in shapes:
            _check(one, shapes[one.name], symbols)
    return {one.name: _typed(one, shapes, symbols) for one in inputs}


def _check(one: onnx.ValueInfoProto, shape: tuple[int, ...], symbols: dict[str, int]) -> None:
    tensor = one.type.tensor_type
    if not one.type.HasField("tensor_type"):
        raise ShapeError(f"input {one.name!r} is no tensor and takes no shape")
    if not tensor.HasField("shape"):
        return
    fits = len(shape) == len(tensor.shape.dim)
    for dim, length in zip(tensor.shape.dim, shape, strict=False):
        if dim.dim_value < 0:
            continue  # some models have open lengths so
        if dim.HasField("dim_value"):
            fits = fits and dim.dim_value == length
        elif dim.dim_param:
            fits = fits and symbols.setdefault(dim.dim_param, length) == length
    if not fits:
        asked = "x".join(map(str, shape))
        raise ShapeError(f"input {one.name!r} is {spelled(tensor)}: {asked} does not fit")


def spelled(tensor: onnx.TypeProto.Tensor) -> str:
    """Return a shape as a user reads it, such as ``batchx3x224x224``."""
    return "x".join(
        str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?"
        for dim in tensor.shape.dim
    )


def _typed(one: onnx.ValueInfoProto, shapes: Shapes, symbols: dict[str, int]) -> onnx.TypeProto:
    import onnx

    typed = onnx.TypeProto()
    typed.CopyFrom(one.type)
    if one.name in shapes:
        del typed.tensor_type.shape.dim[:]
        for length in shapes[one.name]:
            typed.tensor_type.shape.dim.add().dim_value = length
        if not shapes[one.name]:
            typed.tensor_type.shape.SetInParent()
    elif typed.HasField("tensor_type"):
        for dim in typed.tensor_type.shape.dim:
            if dim.dim_param in symbols:
                dim.dim_value = symbols[dim.dim_param]
    return typed
