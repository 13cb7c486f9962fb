"""Windows that slide over axes of space: what convolutions and poolings have in common.

A length is a number, or whatever a framework has for one that only a run tells: it must add,
multiply, divide without a rest and have an absolute value. What is worked out from numbers alone
is a number again. A vector of lengths will do too, where one is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xbench.graph.plain import Node

Ints = tuple[int, ...]
Length = Any
Ends = list[tuple[Length, Length]]
"""What is put before and after each axis; a number below zero cuts off."""

_KINDS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True, slots=True)
class Rule:
    """How a node's windows slide, as far as its attributes say.

    Attributes:
        strides: Empty for steps of one.
        dilations: Empty for windows without holes.
        pads: At the starts, then at the ends; empty for none.
        kind: Whether to pad so, or by the lengths.
    """

    strides: Ints
    dilations: Ints
    pads: Ints
    kind: str

    @property
    def same(self) -> bool:
        """Return whether the lengths decide about the padding."""
        return self.kind.startswith("SAME")


@dataclass(frozen=True, slots=True)
class Windows:
    """How windows slide, one entry an axis.

    Attributes:
        before: Padding at the start of each axis.
        after: Padding at the end of each axis.
    """

    kernel: tuple[Length, ...]
    strides: Ints
    dilations: Ints
    before: tuple[Length, ...]
    after: tuple[Length, ...]

    @property
    def dilated(self) -> bool:
        """Return whether the windows have holes."""
        return any(dilation != 1 for dilation in self.dilations)

    @property
    def extents(self) -> tuple[Length, ...]:
        """Return how far each window reaches, holes counted."""
        return _extents(self.kernel, self.dilations)

    @property
    def ends(self) -> Ends:
        """Return the padding before and after each axis."""
        return list(zip(self.before, self.after, strict=True))


def rule_of(node: Node) -> Rule:
    """Return how a node's windows slide, as far as its attributes say.

    Raises:
        ValueError: If ONNX has no such way to pad.
    """
    kind = node.attributes.get("auto_pad") or "NOTSET"
    if kind not in _KINDS:
        raise ValueError(f"auto_pad {kind!r}")
    strides, dilations, pads = (
        tuple(node.attributes.get(name) or ()) for name in ("strides", "dilations", "pads")
    )
    return Rule(strides, dilations, pads, kind)


def known(*lengths: Length) -> bool:
    """Return whether all lengths are numbers."""
    return all(isinstance(length, int) for length in lengths)


def positive(length: Length) -> Length:
    """Return a length, or zero where it is less; no comparison, which tensors answer late."""
    return (length + abs(length)) // 2


def least(one: Length, other: Length) -> Length:
    """Return the smaller length."""
    return one - positive(one - other)


def settled(rule: Rule, kernel: Sequence[Length], lengths: Sequence[Length]) -> Windows:
    """Return the windows over axes of these lengths."""
    axes = len(kernel)
    strides, dilations = rule.strides or (1,) * axes, rule.dilations or (1,) * axes
    if not rule.same:
        pads = (rule.pads if rule.kind == "NOTSET" else ()) or (0,) * (2 * axes)
        return Windows(tuple(kernel), strides, dilations, pads[:axes], pads[axes:])
    before, after = [], []
    for place, extent in enumerate(_extents(kernel, dilations)):
        total = extent - 1  # for steps of one, whatever the length
        if strides[place] != 1:
            total = positive(_total(lengths[place], strides[place], extent))
        before.append(total - total // 2 if rule.kind == "SAME_LOWER" else total // 2)
        after.append(total - before[-1])
    return Windows(tuple(kernel), strides, dilations, tuple(before), tuple(after))


def _extents(kernel: Sequence[Length], dilations: Ints) -> tuple[Length, ...]:
    pairs = zip(kernel, dilations, strict=True)
    return tuple((taps - 1) * dilation + 1 for taps, dilation in pairs)


def _total(length: Length, stride: int, extent: Length) -> Length:
    """Return the padding with which an axis of n gives ceil(n / stride) windows."""
    return (-(-length // stride) - 1) * stride + extent - length


def gaps_of(rule: Rule, windows: Windows, lengths: Sequence[Length]) -> list[Length]:
    """Return by how much automatic padding may leave gaps, more than 1 where it does.

    ONNX Runtime then cuts off the start of an axis; ONNX's inference pads with nothing instead.
    Axes of which no length could leave a gap have no entry.
    """
    if not rule.same:
        return []
    along = zip(lengths, windows.strides, windows.extents, strict=True)
    return [
        -_total(length, stride, extent)
        for length, stride, extent in along
        if not (known(extent) and stride <= extent + 1)
    ]


def counts_of(windows: Windows, lengths: Sequence[Length], *, ceil: bool) -> list[Length]:
    """Return how many windows each axis has, by ONNX's own rule.

    With ``ceil``, a window that would start in the padding at the end is left out.
    """
    found = []
    for place, length in enumerate(lengths):
        stride, filled = windows.strides[place], length + windows.before[place]
        room = filled + windows.after[place] - windows.extents[place]
        count = (-(-room // stride) if ceil else room // stride) + 1
        if ceil:
            count -= least(positive((count - 1) * stride - filled + 1), 1)
        found.append(count)
    return found


def overhang_of(windows: Windows, lengths: Sequence[Length], counts: Sequence[Length]) -> Ends:
    """Return the padding with which none of so many windows reaches beyond an end.

    What they leave over at an end is not cut off.
    """
    found = []
    for place, count in enumerate(counts):
        reach = (count - 1) * windows.strides[place] + windows.extents[place]
        before = windows.before[place]
        found.append((before, positive(reach - lengths[place] - before)))
    return found


def counted_of(
    windows: Windows, place: int, length: Length, numbers: Length, *, pads: bool
) -> Length:
    """Return how many elements of each window along an axis are no padding.

    Args:
        windows: How the windows slide.
        place: The axis.
        length: Its length.
        numbers: The vector 0, 1, ... with an entry for each window.
        pads: Whether padding counts too; what a window reaches beyond it never does.
    """
    before, taps = windows.before[place], windows.kernel[place]
    starts = numbers * windows.strides[place]
    first = 0 if pads else before
    last = before + length + (windows.after[place] if pads else 0)
    skipped, reached = (
        least(positive(-((starts - end) // windows.dilations[place])), taps)
        for end in (first, last)
    )
    return reached - skipped


def covered(windows: Windows) -> bool:
    """Return whether each window lies over an element, whatever the lengths are."""
    pads = list(zip(windows.before, windows.after, windows.kernel, strict=True))
    if windows.dilated or not all(known(*one) for one in pads):
        return False
    return all(max(start, end) < taps for start, end, taps in pads)


def transposed(
    rule: Rule,
    kernel: Sequence[Length],
    lengths: Sequence[Length],
    extra: Ints,
    wanted: Ints,
) -> Windows:
    """Return the windows of a transposed convolution, padded by what they cut off its result.

    A result that is wanted longer than it is gets all of it at its end, as in ONNX Runtime.

    Args:
        rule: How the windows slide.
        kernel: The lengths of a window.
        lengths: Those of the input.
        extra: By how much the result is longer at its end.
        wanted: The lengths that it shall have; empty where nothing is said.

    Raises:
        ValueError: If ONNX's reference and ONNX Runtime give results of different lengths.
    """
    wanted = wanted[-len(kernel) :]  # older models have all lengths of the result here
    if not (rule.same or wanted):
        return settled(rule, kernel, lengths)
    plain = settled(Rule(rule.strides, rule.dilations, (), "VALID"), kernel, lengths)
    before, after = [], []
    for place, (stride, extent) in enumerate(zip(plain.strides, plain.extents, strict=True)):
        total = extent - stride + extra[place]  # to give n * stride
        if wanted:
            total += stride * lengths[place] - wanted[place]
        if known(total) and total < 0 and (not wanted or total <= -stride):
            raise ValueError(SHORT)
        room = positive(total)
        before.append(room // 2 if rule.kind == "SAME_UPPER" else room - room // 2)
        after.append(total - before[-1])
    return Windows(plain.kernel, plain.strides, plain.dilations, tuple(before), tuple(after))


GAPS = "automatic padding of windows that leave gaps: runtimes differ"
EMPTY = "a window lies over nothing but padding"
SHORT = "windows that do not reach the length asked for: runtimes differ"
