"""Windows that slide over spatial axes: what convolutions and poolings share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from xbench.graph.plain import Dim, Node
    from xbench_adapters.pytorch.builder import Builder

Ints = tuple[int, ...]
Rule = tuple[Ints, Ints, Ints, str]
"""Strides, dilations and pads, each empty for the usual ones, and how to pad by itself.

Plain data, so that a node of `torch.fx` can hand it to a function that runs.
"""

_KINDS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True, slots=True)
class Windows:
    """How windows slide, one entry a spatial axis.

    Attributes:
        before: Padding at the start of each axis.
        after: Padding at the end of each axis.
    """

    kernel: Ints
    strides: Ints
    dilations: Ints
    before: Ints
    after: Ints

    @property
    def symmetric(self) -> bool:
        """Return whether every axis is padded alike at both ends."""
        return self.before == self.after

    @property
    def dilated(self) -> bool:
        """Return whether the windows have holes."""
        return any(dilation != 1 for dilation in self.dilations)

    @property
    def torch_pads(self) -> list[int]:
        """Return the padding as `torch.nn.functional.pad` takes it: last axis first."""
        pairs = zip(reversed(self.before), reversed(self.after), strict=True)
        return [length for pair in pairs for length in pair]

    @property
    def extents(self) -> Ints:
        """Return how far each window reaches, holes counted."""
        return extents_of(self.kernel, self.dilations)


def extents_of(kernel: Sequence[int], dilations: Sequence[int]) -> Ints:
    """Return how far windows of ``kernel`` elements reach, holes counted."""
    pairs = zip(kernel, dilations, strict=True)
    return tuple((taps - 1) * dilation + 1 for taps, dilation in pairs)


def rule_of(node: Node, to: Builder) -> Rule:
    """Return how a node's windows slide, as far as its attributes say."""
    kind = node.attributes.get("auto_pad") or "NOTSET"
    if kind not in _KINDS:
        to.refuse(f"auto_pad {kind!r}")
    strides, dilations, pads = (
        tuple(node.attributes.get(name) or ()) for name in ("strides", "dilations", "pads")
    )
    return strides, dilations, pads, kind


def settled(rule: Rule, kernel: Ints, lengths: Sequence[Dim] | None) -> Windows | None:
    """Return the windows, or None where their padding depends on a length that is open."""
    axes = len(kernel)
    strides, dilations = rule[0] or (1,) * axes, rule[1] or (1,) * axes
    before: Sequence[int]
    after: Sequence[int]
    if rule[3] in ("NOTSET", "VALID"):
        pads = (rule[2] if rule[3] == "NOTSET" else ()) or (0,) * (2 * axes)
        before, after = pads[:axes], pads[axes:]
    else:
        before, after = [], []
        for place, extent in enumerate(extents_of(kernel, dilations)):
            total = _same(None if lengths is None else lengths[place], strides[place], extent)
            if total is None:
                return None
            before.append(total - total // 2 if rule[3] == "SAME_LOWER" else total // 2)
            after.append(total - before[-1])
    return Windows(kernel, strides, dilations, tuple(before), tuple(after))


def _same(length: Dim, stride: int, extent: int) -> int | None:
    """Return the padding with which an axis of n gives ceil(n / stride) windows."""
    if stride == 1:
        return extent - 1
    if length is None or isinstance(length, str):
        return None
    return max((-(-length // stride) - 1) * stride + extent - length, 0)


def windows_at(rule: Rule, kernel: Sequence[int], lengths: Sequence[int]) -> Windows:
    """Return the windows over axes of these lengths, while a model runs."""
    windows = settled(rule, tuple(kernel), lengths)
    assert windows is not None, lengths
    return windows


def open_windows_of(node: Node, to: Builder, kernel: Ints) -> Windows | None:
    """Return the windows of a node, or None where they depend on a length that is open."""
    shape = to.graph.value(node.inputs[0]).shape
    return settled(rule_of(node, to), kernel, None if shape is None else shape[2:])


def counts_of(windows: Windows, lengths: Sequence[int], *, ceil: bool) -> list[int]:
    """Return how many windows each axis has, by ONNX's own rule.

    With ``ceil``, a window that would start in the padding at the end is left out.
    """
    found = []
    for place, length in enumerate(lengths):
        stride, before = windows.strides[place], windows.before[place]
        room = length + before + windows.after[place] - windows.extents[place]
        count = (-(-room // stride) if ceil else room // stride) + 1
        if ceil and (count - 1) * stride >= length + before:
            count -= 1
        found.append(count)
    return found


def overhang_of(windows: Windows, lengths: Sequence[int], *, ceil: bool) -> list[int]:
    """Return the padding with which plain windows, none cut off, are those of the node."""
    pairs = []
    for place, count in enumerate(counts_of(windows, lengths, ceil=ceil)):
        reach = (count - 1) * windows.strides[place] + windows.extents[place]
        before = windows.before[place]
        pairs.append((before, reach - lengths[place] - before))
    return [length for pair in reversed(pairs) for length in pair]


def elements_of(x: torch.Tensor, windows: Windows) -> torch.Tensor:
    """Return the elements of each window on axes at the end, as a view of a padded tensor."""
    for place, extent in enumerate(windows.extents):
        x = x.unfold(2 + place, extent, windows.strides[place])
        x = x[..., :: windows.dilations[place]]
    return x
