"""Changes of element type, and tensors filled with a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from onnx import helper

from xbench_adapters.pytorch.registry import lowering
from xbench_adapters.pytorch.tensors import torch_dtype

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def _wanted(to: Builder, code: int) -> torch.dtype:
    import numpy as np

    dtype = torch_dtype(np.dtype(helper.tensor_dtype_to_np_dtype(code)))
    if dtype is None:
        to.refuse("PyTorch has no complete arithmetic for the type that it gives")
    return dtype


def _cast(node: Node, to: Builder, dtype: torch.dtype) -> torch.fx.Node:
    if to.dtype(node.inputs[0]) == dtype:
        return to.value(node.inputs[0])
    return to.call(torch.Tensor.to, to.value(node.inputs[0]), dtype)


@lowering("Cast", 6)
def cast(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements in another type; those of floats are cut towards zero."""
    return _cast(node, to, _wanted(to, node.attributes["to"]))


@lowering("CastLike", 15)
def cast_like(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements in the type of another tensor."""
    return _cast(node, to, to.dtype(node.inputs[1]))


@lowering("ConstantOfShape", 9)
def constant_of_shape(node: Node, to: Builder) -> torch.fx.Node:
    """Return a tensor of one value, which was too large to be folded."""
    shape = to.ints(node.inputs[0], "shape")
    value = node.attributes.get("value")
    fill = 0.0 if value is None else value.reshape(-1)[0].item()
    return to.call(torch.full, shape, fill, dtype=to.dtype(node.outputs[0]))


@lowering("EyeLike", 9)
def eye_like(node: Node, to: Builder) -> torch.fx.Node:
    """Return ones on a diagonal, in the shape of the input."""
    rows, columns = to.shape(node.inputs[0])
    shift = node.attributes["k"]
    ones = to.call(torch.ones, (rows, columns), dtype=to.dtype(node.outputs[0]))
    return to.call(torch.triu, to.call(torch.tril, ones, shift), shift)


@lowering("Range", 11)
def sequence(node: Node, to: Builder) -> torch.fx.Node:
    """Return numbers in steps, which were too many to be folded."""
    start, limit, delta = (to.need(name, "bounds").reshape(-1)[0].item() for name in node.inputs)
    return to.call(torch.arange, start, limit, delta, dtype=to.dtype(node.outputs[0]))


@lowering("Identity", 1)
def identity(node: Node, to: Builder) -> torch.fx.Node:
    """Return the input."""
    return to.value(node.inputs[0])


@lowering("Dropout", 7, 11)
def dropout(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the input and a mask that keeps all of it: the operator outside training."""
    x = to.value(node.inputs[0])
    return x, to.call(torch.ones_like, x, dtype=torch.bool)


@lowering("Dropout", 12)
def dropout_by_input(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return the input and a mask that keeps all of it; training is refused."""
    if node.input(2) and bool(to.need(node.inputs[2], "training mode")):
        to.refuse("training_mode draws at random")
    return dropout(node, to)  # type: ignore[return-value]  # it returns a pair
