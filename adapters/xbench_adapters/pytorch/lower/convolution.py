"""Convolutions and their transposes."""

from __future__ import annotations

from typing import Any

import torch
import torch.fx
from torch import nn
from torch.nn import functional

from xbench.graph.plain import Node
from xbench_adapters.pytorch.builder import Builder
from xbench_adapters.pytorch.lower.windows import Windows, windows_of
from xbench_adapters.pytorch.registry import lowering

_MODULES: tuple[type[nn.modules.conv._ConvNd], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_FUNCTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_TRANSPOSED_FUNCTIONS = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)


@lowering("Conv", 1)
def conv(node: Node, to: Builder) -> torch.fx.Node:
    """Return a convolution: a native module where the weight is known."""
    weight = to.shape(node.inputs[1])
    windows = windows_of(node, to, weight[2:])
    groups = node.attributes["group"]
    x = to.value(node.inputs[0])
    padding = windows.before
    if not windows.symmetric or any(length < 0 for length in windows.before):
        x = to.call(functional.pad, x, windows.torch_pads)
        padding = (0,) * len(windows.kernel)
    place = len(windows.kernel) - 1
    options: dict[str, Any] = {
        "stride": windows.strides,
        "padding": padding,
        "dilation": windows.dilations,
        "groups": groups,
    }
    if not _known(node, to):
        tensors = [to.optional(node.input(one)) for one in (1, 2)]
        return to.call(_FUNCTIONS[place], x, *tensors, **options)
    module = _MODULES[place](
        weight[1] * groups,
        weight[0],
        windows.kernel,
        bias=bool(node.input(2)),
        device="meta",
        **options,
    )
    return to.module(_weighted(module, node, to), x)


def _known(node: Node, to: Builder) -> bool:
    names = [name for name in node.inputs[1:] if name]
    return all(to.constant(name) is not None for name in names)


def _weighted(module: nn.Module, node: Node, to: Builder) -> nn.Module:
    module.weight = to.parameter(to.need(node.inputs[1], "weight"))
    if node.input(2):
        module.bias = to.parameter(to.need(node.inputs[2], "bias"))
    return module


@lowering("ConvTranspose", 1)
def conv_transpose(node: Node, to: Builder) -> torch.fx.Node:
    """Return a transposed convolution; uneven padding is cut off its result."""
    weight = to.shape(node.inputs[1])
    windows, extra = _transposed_windows(node, to, weight[2:])
    groups, place = node.attributes["group"], len(windows.kernel) - 1
    even = windows.symmetric and all(
        0 <= more < max(stride, dilation)
        for more, stride, dilation in zip(extra, windows.strides, windows.dilations, strict=True)
    )
    if not even or any(length < 0 for length in windows.before):
        return _cut(node, to, windows, extra)
    options: dict[str, Any] = {
        "stride": windows.strides,
        "padding": windows.before,
        "output_padding": extra,
        "groups": groups,
        "dilation": windows.dilations,
    }
    x = to.value(node.inputs[0])
    if not _known(node, to):
        tensors = [to.optional(node.input(one)) for one in (1, 2)]
        return to.call(_TRANSPOSED_FUNCTIONS[place], x, *tensors, **options)
    module = _TRANSPOSED[place](
        weight[0],
        weight[1] * groups,
        windows.kernel,  # type: ignore[arg-type]  # as long as the class has axes
        bias=bool(node.input(2)),
        device="meta",
        **options,
    )
    return to.module(_weighted(module, node, to), x)


def _cut(node: Node, to: Builder, windows: Windows, extra: tuple[int, ...]) -> torch.fx.Node:
    """Return the whole result, cut or widened at each end; the bias fills what is widened."""
    tensors = [to.optional(node.input(one)) for one in (1, 2)]
    whole = to.call(
        _TRANSPOSED_FUNCTIONS[len(windows.kernel) - 1],
        to.value(node.inputs[0]),
        tensors[0],
        stride=windows.strides,
        groups=node.attributes["group"],
        dilation=windows.dilations,
    )
    after = tuple(more - end for more, end in zip(extra, windows.after, strict=True))
    ends = zip(reversed(windows.before), reversed(after), strict=True)
    cut = to.call(functional.pad, whole, [n for start, end in ends for n in (-start, end)])
    if tensors[1] is None:
        return cut
    bias = to.call(torch.reshape, tensors[1], (-1,) + (1,) * len(windows.kernel))
    return to.call(torch.add, cut, bias)


def _transposed_windows(
    node: Node, to: Builder, kernel: tuple[int, ...]
) -> tuple[Windows, tuple[int, ...]]:
    """Return windows with their padding, and how much longer the result is at its end."""
    axes = len(kernel)
    extra = tuple(node.attributes.get("output_padding") or (0,) * axes)
    wanted = node.attributes.get("output_shape")
    kind = node.attributes.get("auto_pad", "NOTSET")
    if not wanted and kind in ("NOTSET", "VALID", ""):
        return windows_of(node, to, kernel), extra
    unpadded = Node(
        node.name, node.operator, node.domain, node.version,
        {**node.attributes, "auto_pad": "VALID"}, node.inputs, node.outputs,
    )  # fmt: skip
    plain = windows_of(unpadded, to, kernel)
    shape = to.shape(node.inputs[0])[2:]
    lengths = [n * stride for n, stride in zip(shape, plain.strides, strict=True)]
    lengths = list(wanted[-axes:]) if wanted else lengths
    before, after = [], []
    for n, stride, extent, more, length in zip(
        shape, plain.strides, plain.extents, extra, lengths, strict=True
    ):
        total = stride * (n - 1) + more + extent - length
        half = total // 2 if kind == "SAME_UPPER" else total - total // 2
        before.append(half)
        after.append(total - half)
    return Windows(kernel, plain.strides, plain.dilations, tuple(before), tuple(after)), extra
