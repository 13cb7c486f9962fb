"""Convolutions and products with what ONNX Runtime's optimisers fuse into them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.fx
from torch.nn import functional

from xbench.graph.plain import Node, Value
from xbench_adapters.pytorch.lower.activation import above, selu, softplus
from xbench_adapters.pytorch.lower.shared.standard import as_standard, aside, first, known
from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench_adapters.pytorch.builder import Builder


def hard_sigmoid(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    """Return alpha * x + beta kept between 0 and 1."""
    return (x * alpha + beta).clamp(0.0, 1.0)


def scaled_tanh(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    """Return alpha * tanh(beta * x)."""
    return torch.tanh(x * beta) * alpha


_ACTIVATIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "Clip": (torch.clamp, 2),
    "Elu": (functional.elu, 1),
    "HardSigmoid": (hard_sigmoid, 2),
    "LeakyRelu": (functional.leaky_relu, 1),
    "Relu": (functional.relu, 0),
    "ScaledTanh": (scaled_tanh, 2),
    "Selu": (selu, 2),
    "Sigmoid": (torch.sigmoid, 0),
    "Silu": (functional.silu, 0),
    "Softplus": (softplus, 0),
    "Softsign": (functional.softsign, 0),
    "Tanh": (torch.tanh, 0),
    "ThresholdedRelu": (above, 1),
}
"""By name: the function, and how many numbers it takes."""


def _activated(
    node: Node, to: Builder, x: torch.fx.Node, numbers: Sequence[float]
) -> torch.fx.Node:
    """Return ``x`` through the activation that the node names, if it names one."""
    kind = node.attributes.get("activation", "")
    if not kind:
        return x
    if kind not in _ACTIVATIONS:
        to.refuse(f"the activation {kind!r}")
    function, count = _ACTIVATIONS[kind]
    if len(numbers) < count:
        to.refuse(f"the activation {kind!r} without its {count} numbers")
    return to.call(function, x, *numbers[:count])


def _numbers(node: Node) -> list[float]:
    """Return the numbers of an activation that are attributes one by one."""
    names = (f"activation_{name}" for name in ("alpha", "beta", "gamma"))
    return [node.attributes[name] for name in names if name in node.attributes]


def _finished(node: Node, to: Builder, x: torch.fx.Node) -> torch.fx.Node:
    """Return a convolution, plus a tensor where one is given, through an activation."""
    if node.input(3):
        x = to.call(torch.add, x, to.value(node.input(3)))
    return _activated(node, to, x, node.attributes.get("activation_params", ()))


@lowering("FusedConv", 1, domain=MICROSOFT)
def fused_conv(node: Node, to: Builder) -> torch.fx.Node:
    """Return a convolution, plus a tensor where one is given, through an activation."""
    outputs = (f"{node.name}/conv",)
    found = as_standard(node, to, "Conv", 11, inputs=node.inputs[:3], outputs=outputs)
    return _finished(node, to, first(found))


def _channels_second(value: Value) -> Value:
    if value.shape is None:
        return value
    return Value(value.dtype, (value.shape[0], value.shape[-1], *value.shape[1:-1]))


def _with_channels_second(
    node: Node, to: Builder, operator: str, version: int, others: Sequence[str] = ()
) -> torch.fx.Node:
    """Return an operator's result for an input whose channels are last, as they stay."""
    moved = to.call(torch.movedim, to.value(node.inputs[0]), -1, 1)
    value = _channels_second(to.graph.value(node.inputs[0]))
    name = aside(node, to, "channels_second", moved, value)
    outputs = (f"{node.name}/{operator}",)
    found = as_standard(node, to, operator, version, inputs=(name, *others), outputs=outputs)
    return to.call(torch.movedim, first(found), 1, -1)


@lowering("Conv", 1, domain="com.ms.internal.nhwc")
@lowering("NhwcFusedConv", 1, domain=MICROSOFT)
@lowering("NhwcConv", 1, domain=MICROSOFT)
def conv_channels_last(node: Node, to: Builder) -> torch.fx.Node:
    """Return what `fused_conv` does, with the channels of images last."""
    x = _with_channels_second(node, to, "Conv", 11, node.inputs[1:3])
    return _finished(node, to, x)


@lowering("NhwcMaxPool", 1, domain=MICROSOFT)
def max_pool_channels_last(node: Node, to: Builder) -> torch.fx.Node:
    """Return the largest element of each window, with the channels of images last."""
    return _with_channels_second(node, to, "MaxPool", 12)


def product(
    left: torch.Tensor, right: torch.Tensor, turns: tuple[int, int, int, int], alpha: float
) -> torch.Tensor:
    """Return alpha * left @ right, either factor turned before.

    Args:
        left: The left factor.
        right: The right factor.
        turns: Whether rows of the left and of the right one are its columns, and whether
            they stand before the batch, not behind it.
        alpha: What the product is multiplied by.
    """
    factors = []
    for factor, turned, early in zip((left, right), turns[:2], turns[2:], strict=True):
        one = factor.movedim(0, -2) if early and factor.ndim > 2 else factor
        factors.append(one.transpose(-1, -2) if turned and one.ndim > 1 else one)
    whole = factors[0] @ factors[1]
    return whole if alpha == 1 else whole * alpha


def _product(node: Node, to: Builder) -> torch.fx.Node:
    get = node.attributes.get
    turns = tuple(get(name, 0) for name in ("transA", "transB", "transBatchA", "transBatchB"))
    alpha, (left, right) = get("alpha", 1.0), node.inputs[:2]
    weight = to.constant(right)
    if weight is None or weight.ndim != 2 or to.constant(left) is not None or turns[0] or turns[2]:
        return to.call(product, to.value(left), to.value(right), turns, alpha)
    weight = weight.T if turns[1] else weight
    weight = weight if alpha == 1 else (weight * np.float32(alpha)).astype(weight.dtype)
    names = (left, known(node, to, "weight", weight))
    return first(as_standard(node, to, "MatMul", 13, inputs=names))


@lowering("TransposeMatMul", 1, domain=MICROSOFT)
@lowering("FusedMatMul", 1, domain=MICROSOFT)
def fused_matmul(node: Node, to: Builder) -> torch.fx.Node:
    """Return a product of matrices, each transposed and all multiplied where asked."""
    return _product(node, to)


@lowering("FusedMatMulActivation", 1, domain=MICROSOFT)
def fused_matmul_activation(node: Node, to: Builder) -> torch.fx.Node:
    """Return what `fused_matmul` does, through an activation."""
    return _activated(node, to, _product(node, to), _numbers(node))


@lowering("FusedGemm", 1, domain=MICROSOFT)
def fused_gemm(node: Node, to: Builder) -> torch.fx.Node:
    """Return alpha * A @ B + beta * C through an activation."""
    return _activated(node, to, first(as_standard(node, to, "Gemm", 13)), _numbers(node))


@lowering("GemmFastGelu", 1, domain=MICROSOFT)
def gemm_fast_gelu(node: Node, to: Builder) -> torch.fx.Node:
    """Return a product plus a vector, through the Gaussian error linear unit by tanh."""
    outputs = (f"{node.name}/product",)
    x = first(as_standard(node, to, "MatMul", 13, inputs=node.inputs[:2], outputs=outputs))
    x = to.call(torch.add, x, to.value(node.input(2))) if node.input(2) else x
    return to.call(functional.gelu, x, approximate="tanh")


@lowering("ConvTransposeWithDynamicPads", 1, domain=MICROSOFT)
def conv_transpose(node: Node, to: Builder) -> torch.fx.Node:
    """Return a transposed convolution whose padding is an input that is known."""
    bias = (node.input(3),) if node.input(3) else ()
    pads = to.ints(node.input(2), "padding") if node.input(2) else []
    options: dict[str, Any] = {"pads": pads} if pads else {}
    inputs = (*node.inputs[:2], *bias)
    return first(as_standard(node, to, "ConvTranspose", 11, inputs=inputs, **options))
