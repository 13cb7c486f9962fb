"""Convolutions and their transposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.fx
from torch import nn
from torch.nn import functional

from xbench.graph.plain import Dim, Node
from xbench_adapters.pytorch.builder import Builder
from xbench_adapters.pytorch.lower.shared.windows import (
    Ints,
    Rule,
    Windows,
    open_windows_of,
    rule_of,
    settled,
    windows_at,
)
from xbench_adapters.pytorch.registry import lowering

_MODULES: tuple[type[nn.modules.conv._ConvNd], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_FUNCTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_TRANSPOSED_FUNCTIONS = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)


def convolved(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    rule: Rule,
    groups: int,
) -> torch.Tensor:
    """Return a convolution whose padding depends on the lengths at hand."""
    windows = windows_at(rule, weight.shape[2:], x.shape[2:])
    padding: Ints = windows.before
    if not windows.symmetric or min(padding) < 0:
        x, padding = functional.pad(x, windows.torch_pads), (0,) * len(padding)
    run: Any = _FUNCTIONS[x.dim() - 3]
    found: torch.Tensor = run(x, weight, bias, windows.strides, padding, windows.dilations, groups)
    return found


@lowering("Conv", 1)
def conv(node: Node, to: Builder) -> torch.fx.Node:
    """Return a convolution: a native module where the weight is known."""
    kernel = _kernel(node, to)
    windows = None if kernel is None else open_windows_of(node, to, kernel)
    groups = node.attributes["group"]
    x = to.value(node.inputs[0])
    if kernel is None or windows is None:
        tensors = [to.optional(node.input(one)) for one in (1, 2)]
        return to.call(convolved, x, *tensors, rule_of(node, to), groups)
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
    weight = to.shape(node.inputs[1])
    module = _MODULES[place](
        weight[1] * groups,
        weight[0],
        windows.kernel,
        bias=bool(node.input(2)),
        device="meta",
        **options,
    )
    return to.module(_weighted(module, node, to), x)


def _kernel(node: Node, to: Builder) -> Ints | None:
    """Return how many elements a window has along each axis, if that is known."""
    given = tuple(node.attributes.get("kernel_shape") or ())
    x, weight = (to.graph.value(name) for name in node.inputs[:2])
    known = [one.rank - 2 for one in (x, weight) if one.rank is not None]
    for axes in known + [len(given)] * bool(given):
        if axes not in (1, 2, 3):
            to.refuse(f"{axes} spatial axes")
    lengths = [] if weight.shape is None else [n for n in weight.shape[2:] if isinstance(n, int)]
    if weight.rank is None or len(lengths) < weight.rank - 2:
        return given or None
    if given and given != tuple(lengths):
        to.refuse(f"kernel_shape {given} for a weight of {weight.shape}")
    return tuple(lengths)


def _known(node: Node, to: Builder) -> bool:
    names = [name for name in node.inputs[1:] if name]
    return all(to.constant(name) is not None for name in names)


def _weighted(module: nn.Module, node: Node, to: Builder) -> nn.Module:
    module.weight = to.parameter(to.need(node.inputs[1], "weight"))
    if node.input(2):
        module.bias = to.parameter(to.need(node.inputs[2], "bias"))
    return module


def transposed(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    rule: Rule,
    groups: int,
    sizes: tuple[Ints, Ints],
) -> torch.Tensor:
    """Return a transposed convolution whose padding depends on the lengths at hand.

    Args:
        x: The input.
        weight: The weight.
        bias: What is added, or None.
        rule: How the windows slide.
        groups: The number of groups.
        sizes: How much longer the result is at its end, and the lengths that it shall have;
            each empty where nothing is said.
    """
    axes = x.dim() - 2
    windows = _transposed_windows(rule, tuple(weight.shape[2:]), x.shape[2:], *sizes)
    assert windows is not None, rule
    run: Any = _TRANSPOSED_FUNCTIONS[axes - 1]
    options = {"stride": windows.strides, "groups": groups, "dilation": windows.dilations}
    whole: torch.Tensor = run(x, weight, None, **options)
    cut = functional.pad(whole, _ends(windows, sizes[0] or (0,) * axes))
    return cut if bias is None else cut + bias.reshape(-1, *(1,) * axes)


@lowering("ConvTranspose", 1)
def conv_transpose(node: Node, to: Builder) -> torch.fx.Node:
    """Return a transposed convolution; uneven padding is cut off its result."""
    kernel, rule = _kernel(node, to), rule_of(node, to)
    extra = tuple(node.attributes.get("output_padding") or ())
    wanted = tuple(node.attributes.get("output_shape") or ())
    groups, shape = node.attributes["group"], to.graph.value(node.inputs[0]).shape
    windows = None
    if kernel is not None:
        extra = extra or (0,) * len(kernel)
        lengths = None if shape is None else shape[2:]
        try:
            windows = _transposed_windows(rule, kernel, lengths, extra, wanted)
        except ValueError as error:
            to.refuse(str(error))
    x = to.value(node.inputs[0])
    if windows is None:
        tensors = [to.optional(node.input(one)) for one in (1, 2)]
        return to.call(transposed, x, *tensors, rule, groups, (extra, wanted))
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
    return _transposed(node, to, windows, options)


def _transposed(
    node: Node, to: Builder, windows: Windows, options: dict[str, Any]
) -> torch.fx.Node:
    """Return a native transposed convolution: a module where the weight is known."""
    x, place = to.value(node.inputs[0]), len(windows.kernel) - 1
    if not _known(node, to):
        tensors = [to.optional(node.input(one)) for one in (1, 2)]
        return to.call(_TRANSPOSED_FUNCTIONS[place], x, *tensors, **options)
    weight = to.shape(node.inputs[1])
    module = _TRANSPOSED[place](
        weight[0],
        weight[1] * options["groups"],
        windows.kernel,  # type: ignore[arg-type]  # as long as the class has axes
        bias=bool(node.input(2)),
        device="meta",
        **options,
    )
    return to.module(_weighted(module, node, to), x)


def _cut(node: Node, to: Builder, windows: Windows, extra: Ints) -> torch.fx.Node:
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
    cut = to.call(functional.pad, whole, _ends(windows, extra))
    if tensors[1] is None:
        return cut
    bias = to.call(torch.reshape, tensors[1], (-1,) + (1,) * len(windows.kernel))
    return to.call(torch.add, cut, bias)


def _ends(windows: Windows, extra: Ints) -> list[int]:
    """Return what `torch.nn.functional.pad` adds to the whole result, or cuts off it."""
    after = [more - end for more, end in zip(extra, windows.after, strict=True)]
    ends = zip(reversed(windows.before), reversed(after), strict=True)
    return [length for start, end in ends for length in (-start, end)]


def _transposed_windows(
    rule: Rule, kernel: Ints, lengths: Sequence[Dim] | None, extra: Ints, wanted: Ints
) -> Windows | None:
    """Return windows with what they cut off, or None where that depends on an open length.

    A result that is wanted longer than it is gets all of it at its end, as in ONNX Runtime.

    Raises:
        ValueError: If ONNX's reference and ONNX Runtime give results of different lengths.
    """
    wanted = wanted[-len(kernel) :]  # older models have all lengths of the result here
    fixed = rule[3] in ("NOTSET", "VALID") and not wanted
    plain = settled(rule if fixed else (rule[0], rule[1], (), "VALID"), kernel, None)
    if fixed or plain is None:
        return plain
    before, after = [], []
    for place, (stride, extent) in enumerate(zip(plain.strides, plain.extents, strict=True)):
        total = extent - stride + (extra[place] if extra else 0)  # to give n * stride
        if wanted:
            length = None if lengths is None else lengths[place]
            if length is None or isinstance(length, str):
                return None
            total += stride * length - wanted[place]
        if total < 0 and (not wanted or total <= -stride):
            raise ValueError("windows that do not reach the length asked for: runtimes differ")
        room = max(total, 0)
        before.append(room // 2 if rule[3] == "SAME_UPPER" else room - room // 2)
        after.append(total - before[-1])
    return Windows(kernel, plain.strides, plain.dilations, tuple(before), tuple(after))


def causal(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    past: torch.Tensor | None,
    activation: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each channel's convolution over what came before, and the end to go on from."""
    kept = weight.shape[2] - 1
    padded = functional.pad(x, (kept, 0)) if past is None else torch.cat([past, x], 2)
    found = functional.conv1d(padded, weight, bias, groups=weight.shape[0])
    if activation != "none":
        found = functional.silu(found)
    return found, padded[:, :, padded.shape[2] - kept :]


@lowering("CausalConvWithState", 27)
def causal_conv(node: Node, to: Builder) -> tuple[torch.fx.Node, ...]:
    """Return a causal convolution of each channel, and its state."""
    activation = node.attributes["activation"]
    if activation not in ("none", "silu", "swish"):
        to.refuse(f"activation {activation!r}")
    tensors = [to.optional(node.input(place)) for place in range(4)]
    return to.items(to.call(causal, *tensors, activation), 2)
