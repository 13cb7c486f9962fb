"""Normalisations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch import nn
from torch.nn import functional

from xbench_adapters.pytorch.builder import Builder
from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node


@lowering("BatchNormalization", 7)
def batch_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return a normalisation by running statistics; training is refused."""
    if node.attributes.get("training_mode", 0) or node.attributes.get("spatial", 1) == 0:
        to.refuse("training_mode=1 or spatial=0")
    if any(node.wants(place) for place in range(1, 5)):
        to.refuse("running statistics as outputs")
    x, scale, bias, mean, var = (to.value(name) for name in node.inputs)
    epsilon = node.attributes["epsilon"]
    return to.call(functional.batch_norm, x, mean, var, scale, bias, False, 0.0, epsilon)


@lowering("InstanceNormalization", 6)
def instance_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return each channel of each item normalised over its spatial axes."""
    x, scale, bias = (to.value(name) for name in node.inputs)
    return to.call(
        functional.instance_norm, x, None, None, scale, bias, True, 0.0, node.attributes["epsilon"]
    )


@lowering("GroupNormalization", 21)
def group_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return groups of channels normalised, with a scale and bias for each channel."""
    if node.attributes.get("stash_type", 1) != 1 and to.dtype(node.inputs[0]) != torch.float32:
        to.refuse("a stash type narrower than float32")
    x, scale, bias = (to.value(name) for name in node.inputs)
    return to.call(
        functional.group_norm,
        x,
        node.attributes["num_groups"],
        scale,
        bias,
        node.attributes["epsilon"],
    )


@lowering("GroupNormalization", 18, 20)
def group_normalization_by_group(node: Node, to: Builder) -> torch.fx.Node:
    """Return groups of channels normalised, with a scale and bias for each group."""
    groups = node.attributes["num_groups"]
    channels = to.shape(node.inputs[0])[1]
    x, *weights = (to.value(name) for name in node.inputs)
    spread = [to.call(torch.repeat_interleave, one, channels // groups) for one in weights]
    return to.call(functional.group_norm, x, groups, *spread, node.attributes["epsilon"])


@lowering("LayerNormalization", 17)
def layer_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return the trailing axes normalised: a native module where the weights are known."""
    shape = to.shape(node.inputs[0])
    if node.wants(1) or node.wants(2):
        to.refuse("the mean and deviation as outputs")
    normal = shape[to.axis(node.attributes["axis"], len(shape)) :]
    epsilon, x = node.attributes["epsilon"], to.value(node.inputs[0])
    names = [name for name in node.inputs[1:] if name]
    weights = [to.constant(name) for name in names]
    if all(one is not None and one.shape == normal for one in weights):
        module = nn.LayerNorm(normal, epsilon, bias=bool(node.input(2)), device="meta")
        module.weight = to.parameter(to.need(node.inputs[1], "scale"))
        if node.input(2):
            module.bias = to.parameter(to.need(node.inputs[2], "bias"))
        return to.module(module, x)
    plain = to.call(functional.layer_norm, x, normal, None, None, epsilon)
    scaled = to.call(torch.mul, plain, to.value(node.inputs[1]))
    return to.call(torch.add, scaled, to.value(node.inputs[2])) if node.input(2) else scaled


@lowering("RMSNormalization", 23)
def rms_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return the trailing axes over their root mean square."""
    shape = to.shape(node.inputs[0])
    normal = shape[to.axis(node.attributes["axis"], len(shape)) :]
    plain = to.call(
        functional.rms_norm, to.value(node.inputs[0]), normal, None, node.attributes["epsilon"]
    )
    return to.call(torch.mul, plain, to.value(node.inputs[1]))


@lowering("LRN", 1)
def local_response_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements over a power of the squares of the channels around them."""
    size = node.attributes["size"]
    if size % 2 == 0:
        to.refuse("an even size, which PyTorch centres elsewhere")
    if to.rank(node.inputs[0]) < 3:
        to.refuse("fewer than three dimensions")
    numbers = (node.attributes[name] for name in ("alpha", "beta", "bias"))
    return to.call(functional.local_response_norm, to.value(node.inputs[0]), size, *numbers)


@lowering("MeanVarianceNormalization", 9)
def mean_variance_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return (x - mean) / (deviation + 1e-9) over the axes given."""
    axes = list(node.attributes["axes"])
    x = to.value(node.inputs[0])
    centred = to.call(torch.sub, x, to.call(torch.mean, x, axes, keepdim=True))
    squares = to.call(torch.mean, to.call(torch.square, centred), axes, keepdim=True)
    deviation = to.call(torch.add, to.call(torch.sqrt, squares), 1e-9)
    return to.call(torch.div, centred, deviation)


@lowering("LpNormalization", 1)
def lp_normalization(node: Node, to: Builder) -> torch.fx.Node:
    """Return elements over their norm along an axis; zero where the norm is zero."""
    axis, x = node.attributes["axis"], to.value(node.inputs[0])
    norm = to.call(torch.linalg.vector_norm, x, node.attributes["p"], [axis], keepdim=True)
    safe = to.call(torch.where, to.call(torch.eq, norm, 0), 1.0, norm)
    return to.call(torch.div, x, safe)
