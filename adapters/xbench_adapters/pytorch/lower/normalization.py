"""Normalisations over groups of channels, or over trailing axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch import nn
from torch.nn import functional

from xbench_adapters.pytorch.builder import Builder
from xbench_adapters.pytorch.registry import lowering
from xbench_adapters.pytorch.tensors import FLOATS

if TYPE_CHECKING:
    from xbench.graph.plain import Node


def _stash(node: Node, to: Builder) -> tuple[torch.dtype, bool]:
    """Return the type for statistics, and whether PyTorch's own operators use one as good."""
    code = node.attributes.get("stash_type", 1)
    if code not in FLOATS:
        to.refuse(f"stash_type={code}")
    stash = FLOATS[code]
    return stash, stash in (torch.float32, to.dtype(node.inputs[0]))


def _trailing(node: Node, to: Builder) -> tuple[int, ...] | None:
    """Return the lengths of the axes that are normalised, if they are known."""
    shape = to.graph.value(node.inputs[0]).shape
    if shape is None:
        return None
    trailing = shape[to.axis(node.attributes["axis"], len(shape)) :]
    lengths = tuple(one for one in trailing if isinstance(one, int))
    return lengths if len(lengths) == len(trailing) else None


@lowering("InstanceNormalization")
def instance_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return each channel of each item normalised over its spatial axes."""
    x, scale, bias = (to.value(name) for name in node.inputs)
    epsilon = node.attributes["epsilon"]
    # The function of `torch.nn.functional` would refuse a single spatial element.
    return to.call(torch.instance_norm, x, scale, bias, None, None, True, 0.0, epsilon, True)


@lowering("GroupNormalization", 21)
def group_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return groups of channels normalised, with a scale and bias for each channel."""
    x, scale, bias = (to.value(name) for name in node.inputs)
    groups, epsilon = node.attributes["num_groups"], node.attributes["epsilon"]
    stash, native = _stash(node, to)
    if native:
        return to.call(torch.group_norm, x, groups, scale, bias, epsilon, True)
    return to.call(group_norm_in, x, scale, bias, groups, epsilon, stash)


@lowering("GroupNormalization", 18, 20)
def group_normalization_by_group(node: Node, to: Builder) -> torch.fx.Node:
    """Return groups of channels normalised, with a scale and bias for each group."""
    groups = node.attributes["num_groups"]
    x, *weights = (to.value(name) for name in node.inputs)
    spread = [to.call(by_channel, one, x) for one in weights]
    return to.call(torch.group_norm, x, groups, *spread, node.attributes["epsilon"], True)


def by_channel(weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return a weight for each channel, from one for each group of them."""
    return torch.repeat_interleave(weights, x.shape[1] // weights.shape[0])


def group_norm_in(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    groups: int,
    epsilon: float,
    stash: torch.dtype,
) -> torch.Tensor:
    """Return groups of channels normalised in a type of their own, then scaled in theirs."""
    wide = x.to(stash).reshape(x.shape[0], groups, -1)
    var, mean = torch.var_mean(wide, -1, correction=0, keepdim=True)
    plain = ((wide - mean) / torch.sqrt(var + epsilon)).reshape(x.shape).to(x.dtype)
    lengths = [1, -1, *[1] * (x.ndim - 2)]
    return plain * scale.reshape(lengths) + bias.reshape(lengths)


@lowering("LayerNormalization", 17)
def layer_normalization(node: Node, to: Builder) -> torch.fx.Node | tuple[torch.fx.Node, ...]:
    """Return the trailing axes normalised: a native module where the weights are known."""
    stash, native = _stash(node, to)
    axis, epsilon = node.attributes["axis"], node.attributes["epsilon"]
    x, bias = to.value(node.inputs[0]), node.input(2)
    normal = _trailing(node, to)
    if node.wants(1) or node.wants(2) or not native:
        scale = to.value(node.inputs[1])
        found = to.call(layer_norm_in, x, scale, to.optional(bias), axis, epsilon, stash)
        return to.items(found, 3)
    if normal is None:
        scale = to.value(node.inputs[1])
        return to.call(layer_norm, x, scale, to.optional(bias), axis, epsilon)
    weights = [to.constant(name) for name in node.inputs[1:] if name]
    if all(one is not None and one.shape == normal for one in weights):
        return _module(node, to, normal)
    plain = to.call(functional.layer_norm, x, normal, None, None, epsilon)
    scaled = to.call(torch.mul, plain, to.value(node.inputs[1]))
    return to.call(torch.add, scaled, to.value(bias)) if bias else scaled


def _module(node: Node, to: Builder, normal: tuple[int, ...]) -> torch.fx.Node:
    """Return the result of a native module that holds the weights."""
    bias = node.input(2)
    module = nn.LayerNorm(normal, node.attributes["epsilon"], bias=bool(bias), device="meta")
    module.weight = to.parameter(to.need(node.inputs[1], "scale"))
    if bias:
        module.bias = to.parameter(to.need(bias, "bias"))
    return to.module(module, to.value(node.inputs[0]))


def layer_norm(
    x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None, axis: int, epsilon: float
) -> torch.Tensor:
    """Return the axes from one on normalised, scaled and shifted."""
    normal = x.shape[axis:]
    if scale.shape == normal and (bias is None or bias.shape == normal):
        return functional.layer_norm(x, normal, scale, bias, epsilon)
    scaled = functional.layer_norm(x, normal, None, None, epsilon) * scale
    return scaled if bias is None else scaled + bias


def layer_norm_in(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None,
    axis: int,
    epsilon: float,
    stash: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the axes from one on normalised, and in a type of their own mean and 1/deviation."""
    wide = x.to(stash)
    axes = list(range(axis % x.ndim, x.ndim))
    var, mean = torch.var_mean(wide, axes, correction=0, keepdim=True)
    inverse = torch.reciprocal(torch.sqrt(var + epsilon))
    scaled = ((wide - mean) * inverse).to(x.dtype) * scale
    return scaled if bias is None else scaled + bias, mean, inverse


@lowering("RMSNormalization", 23)
def rms_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return the trailing axes over their root mean square."""
    if to.dtype(node.inputs[0]) != to.dtype(node.inputs[1]):
        to.refuse("a scale of another type: ONNX's texts differ on the result's")
    stash, native = _stash(node, to)
    axis, epsilon = node.attributes["axis"], node.attributes["epsilon"]
    x, scale, normal = to.value(node.inputs[0]), to.value(node.inputs[1]), _trailing(node, to)
    if not native:
        return to.call(rms_norm_in, x, scale, axis, epsilon, stash)
    if normal is None:
        return to.call(rms_norm, x, scale, axis, epsilon)
    return to.call(torch.mul, to.call(functional.rms_norm, x, normal, None, epsilon), scale)


def rms_norm(x: torch.Tensor, scale: torch.Tensor, axis: int, epsilon: float) -> torch.Tensor:
    """Return the axes from one on over their root mean square, scaled."""
    return functional.rms_norm(x, x.shape[axis:], None, epsilon) * scale


def rms_norm_in(
    x: torch.Tensor, scale: torch.Tensor, axis: int, epsilon: float, stash: torch.dtype
) -> torch.Tensor:
    """Return the axes from one on over their root mean square, which has a type of its own."""
    wide = x.to(stash)
    axes = list(range(axis % x.ndim, x.ndim))
    root = torch.sqrt(torch.mean(torch.square(wide), axes, keepdim=True) + epsilon)
    return (wide / root).to(x.dtype) * scale
