"""Windows that slide over spatial axes: what convolutions and poolings share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


@dataclass(frozen=True, slots=True)
class Windows:
    """How windows slide, one entry a spatial axis.

    Attributes:
        before: Padding at the start of each axis.
        after: Padding at the end of each axis.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def symmetric(self) -> bool:
        """Return whether every axis is padded alike at both ends."""
        return self.before == self.after

    @property
    def torch_pads(self) -> list[int]:
        """Return the padding as `torch.nn.functional.pad` takes it: last axis first."""
        pairs = zip(reversed(self.before), reversed(self.after), strict=True)
        return [length for pair in pairs for length in pair]

    @property
    def extents(self) -> tuple[int, ...]:
        """Return how far each window reaches, holes counted."""
        pairs = zip(self.kernel, self.dilations, strict=True)
        return tuple((kernel - 1) * dilation + 1 for kernel, dilation in pairs)


def windows_of(node: Node, to: Builder, kernel: tuple[int, ...]) -> Windows:
    """Return the windows of a node, its automatic padding worked out."""
    axes = len(kernel)
    if axes not in (1, 2, 3):
        to.refuse(f"{axes} spatial axes")
    strides = tuple(node.attributes.get("strides") or (1,) * axes)
    dilations = tuple(node.attributes.get("dilations") or (1,) * axes)
    kind = node.attributes.get("auto_pad", "NOTSET")
    if kind in ("NOTSET", ""):
        pads = tuple(node.attributes.get("pads") or (0,) * (2 * axes))
        before, after = pads[:axes], pads[axes:]
    elif kind == "VALID":
        before = after = (0,) * axes
    else:
        shape = to.shape(node.inputs[0])[2:]
        plain = Windows(kernel, strides, dilations, (0,) * axes, (0,) * axes)
        before, after = _same(shape, plain, lower=kind == "SAME_LOWER")
    return Windows(tuple(kernel), strides, dilations, before, after)


def _same(
    shape: tuple[int, ...], windows: Windows, *, lower: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the padding with which an axis of n gives ceil(n / stride) windows."""
    before, after = [], []
    for length, stride, extent in zip(shape, windows.strides, windows.extents, strict=True):
        total = max((-(-length // stride) - 1) * stride + extent - length, 0)
        before.append(total - total // 2 if lower else total // 2)
        after.append(total - before[-1])
    return tuple(before), tuple(after)
