"""Poolings that work out their windows while a model runs, and the rarer kinds of pooling."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.nn import functional

from xbench_adapters.pytorch.lower.shared.windows import (
    Ints,
    Rule,
    Windows,
    counts_of,
    elements_of,
    overhang_of,
    windows_at,
)

MAX: tuple[Any, ...] = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
AVERAGE: tuple[Any, ...] = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)
GAPS = "automatic padding of windows that leave gaps: runtimes differ"


def leaves_gaps(rule: Rule, windows: Windows, lengths: Sequence[int]) -> bool:
    """Return whether automatic padding would have to cut off the start of an axis.

    That is ONNX Runtime's reading; ONNX's inference pads with nothing instead.
    """
    along = zip(lengths, windows.strides, windows.extents, strict=True)
    totals = [(-(-n // stride) - 1) * stride + extent - n for n, stride, extent in along]
    return rule[3].startswith("SAME") and any(total < -1 for total in totals)


def _at(rule: Rule, kernel: Ints, lengths: Sequence[int]) -> Windows:
    windows = windows_at(rule, kernel, lengths)
    if leaves_gaps(rule, windows, lengths):
        raise ValueError(GAPS)
    return windows


def largest(x: torch.Tensor, kernel: Ints, rule: Rule, ceil: bool) -> torch.Tensor:
    """Return the largest element of each window; padding never wins."""
    windows = _at(rule, kernel, x.shape[2:])
    _all_cover(windows, x.shape[2:], ceil=ceil)
    wide = x if x.is_floating_point() else x.to(torch.float32)  # holds 8 bits, and -inf
    padded = functional.pad(wide, overhang_of(windows, x.shape[2:], ceil=ceil), value=-torch.inf)
    if len(kernel) > len(MAX):
        ends = tuple(range(-len(kernel), 0))
        return elements_of(padded, windows).amax(ends).to(x.dtype)
    run = MAX[len(kernel) - 1]
    found: torch.Tensor = run(padded, kernel, windows.strides, 0, windows.dilations)
    return found.to(x.dtype)


def largest_and_places(
    x: torch.Tensor, kernel: Ints, rule: Rule, ceil: bool, by_columns: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest element of each window, and where in the whole tensor it stands.

    Args:
        x: The input.
        kernel: The lengths of a window.
        rule: How the windows slide.
        ceil: Whether windows may reach over the end.
        by_columns: Whether places count along the first spatial axis first.
    """
    lengths = x.shape[2:]
    windows = _at(rule, kernel, lengths)
    _all_cover(windows, lengths, ceil=ceil)
    wide = x if x.dtype in (torch.float32, torch.float64) else x.to(torch.float32)
    padded = functional.pad(wide, overhang_of(windows, lengths, ceil=ceil), value=-torch.inf)
    run = MAX[len(kernel) - 1]
    options = (windows.strides, 0, windows.dilations)
    found, rest = run(padded, kernel, *options, return_indices=True)
    places = torch.zeros_like(rest)
    for axis in reversed(range(len(kernel))):
        length = padded.shape[2 + axis]
        place = (rest % length - windows.before[axis]).clamp(0, lengths[axis] - 1)
        rest = rest // length
        places = places + place * prod(lengths[:axis] if by_columns else lengths[axis + 1 :])
    planes = torch.arange(x.shape[0] * x.shape[1], device=x.device) * prod(lengths)
    planes = planes.reshape(x.shape[0], x.shape[1], *(1,) * len(kernel))
    return found.to(x.dtype), places + planes


def counted_of(windows: Windows, place: int, length: int, count: int, pads: bool) -> list[int]:
    """Return how many elements of each window along an axis are no padding.

    Args:
        windows: How the windows slide.
        place: The spatial axis.
        length: Its length.
        count: How many windows it has.
        pads: Whether padding counts too; what a window reaches beyond it never does.

    Raises:
        ValueError: If a window has no such element.
    """
    before, taps = windows.before[place], windows.kernel[place]
    dilation, stride = windows.dilations[place], windows.strides[place]
    first = 0 if pads else before
    last = before + length + (windows.after[place] if pads else 0)
    found = []
    for start in range(0, count * stride, stride):
        skipped = min(max(-((start - first) // dilation), 0), taps)
        reached = min(max(-((start - last) // dilation), 0), taps)
        found.append(reached - skipped)
    if not all(found):
        raise ValueError("a window lies over nothing but padding")
    return found


def _all_cover(windows: Windows, lengths: Sequence[int], *, ceil: bool) -> None:
    """Raise an error if a window lies over nothing but padding."""
    pads = zip(windows.before, windows.after, windows.kernel, strict=True)
    if not windows.dilated and all(max(start, end) < taps for start, end, taps in pads):
        return
    for place, count in enumerate(counts_of(windows, lengths, ceil=ceil)):
        counted_of(windows, place, lengths[place], count, pads=False)


def mean(x: torch.Tensor, kernel: Ints, rule: Rule, ceil: bool, pads: bool) -> torch.Tensor:
    """Return the mean of each window, over the elements that count.

    Args:
        x: The input.
        kernel: The lengths of a window.
        rule: How the windows slide.
        ceil: Whether windows may reach over the end.
        pads: Whether padding counts.
    """
    lengths = x.shape[2:]
    windows = _at(rule, kernel, lengths)
    padded = functional.pad(x, overhang_of(windows, lengths, ceil=ceil))
    if windows.dilated or len(kernel) > len(AVERAGE):
        found = elements_of(padded, windows).mean(tuple(range(-len(kernel), 0)))
    else:
        found = AVERAGE[len(kernel) - 1](padded, kernel, windows.strides)
    for place, count in enumerate(counts_of(windows, lengths, ceil=ceil)):
        counted = counted_of(windows, place, lengths[place], count, pads)
        if all(one == kernel[place] for one in counted):
            continue
        shares = [kernel[place] / one for one in counted]
        along = torch.tensor(shares, dtype=x.dtype, device=x.device)
        found = found * along.reshape(-1, *(1,) * (len(kernel) - place - 1))
    return found


def norm(x: torch.Tensor, kernel: Ints, rule: Rule, ceil: bool, p: float) -> torch.Tensor:
    """Return the Lp norm of each window."""
    windows = _at(rule, kernel, x.shape[2:])
    padded = functional.pad(x, overhang_of(windows, x.shape[2:], ceil=ceil))
    ends = list(range(-len(kernel), 0))
    found: torch.Tensor = torch.linalg.vector_norm(elements_of(padded, windows), p, ends)
    return found


def _over(x: torch.Tensor) -> list[int]:
    if x.dim() < 3:
        raise ValueError(f"a tensor of {x.dim()} dimensions has no spatial axes")
    return list(range(2, x.dim()))


def global_mean(x: torch.Tensor) -> torch.Tensor:
    """Return the mean over all spatial axes, which stay with length 1."""
    return torch.mean(x, _over(x), keepdim=True)


def global_largest(x: torch.Tensor) -> torch.Tensor:
    """Return the maximum over all spatial axes, which stay with length 1."""
    return torch.amax(x, _over(x), keepdim=True)


def global_norm(x: torch.Tensor, p: float) -> torch.Tensor:
    """Return the Lp norm over all spatial axes, which stay with length 1."""
    found: torch.Tensor = torch.linalg.vector_norm(x, p, _over(x), keepdim=True)
    return found


def unpooled(
    x: torch.Tensor, places: torch.Tensor, kernel: Ints, strides: Ints, pads: Ints
) -> torch.Tensor:
    """Return zeros with each element at its place in the whole tensor."""
    shape = [*x.shape[:2], *unpooled_lengths(x.shape[2:], kernel, strides, pads)]
    flat = x.new_zeros(prod(shape))
    return flat.scatter(0, places.reshape(-1), x.reshape(-1)).reshape(shape)


def unpooled_lengths(lengths: Sequence[int], kernel: Ints, strides: Ints, pads: Ints) -> list[int]:
    """Return the lengths of the axes that windows were pooled from."""
    axes = len(kernel)
    strides, pads = strides or (1,) * axes, pads or (0,) * (2 * axes)
    return [
        (length - 1) * strides[place] + kernel[place] - pads[place] - pads[axes + place]
        for place, length in enumerate(lengths)
    ]
