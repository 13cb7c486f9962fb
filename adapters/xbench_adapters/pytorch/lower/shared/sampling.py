"""Where a resize samples, and how much each element weighs: worked out for one axis at a time.

All of it is computed in 64 bits and by torch, so that the same rules hold for lengths that
are known before the first run and for those that a run brings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from xbench.graph.geometry.resizing import Rule


class Axis(NamedTuple):
    """One axis that changes.

    Attributes:
        place: Which axis it is.
        before: Its length.
        after: The new length.
        scale: New length over old, as asked for: the new length may be rounded.
        start: Where the region that is resized starts, from 0 to 1 over the old axis.
        end: Where it ends.
    """

    place: int
    before: int
    after: int
    scale: float
    start: float = 0.0
    end: float = 1.0

    @property
    def changes(self) -> bool:
        """Return whether anything at all is done along it."""
        same = self.scale == 1 and self.before == self.after
        return not same or (self.start, self.end) != (0.0, 1.0)

    @property
    def exact(self) -> bool:
        """Return whether the lengths tell the scale, as PyTorch takes it, exactly."""
        return self.scale * self.before == self.after


def axes_of(
    shape: Sequence[int],
    places: Sequence[int] | None,
    scales: Sequence[float] | None,
    sizes: Sequence[int] | None,
    roi: Sequence[float] | None,
    policy: str,
    rule: Rule,
) -> list[Axis]:
    """Return the axes that change.

    Args:
        shape: All lengths.
        places: The axes that the other arguments tell of; None for every one.
        scales: New length over old, for each; None where ``sizes`` tells.
        sizes: New lengths, for each.
        roi: Where regions start, then where they end, for each.
        policy: How ``sizes`` are meant: ``stretch``, ``not_larger`` or ``not_smaller``.
        rule: How the axes are sampled.

    Raises:
        ValueError: If runtimes disagree on what is asked for.
    """
    chosen = [place % len(shape) for place in (range(len(shape)) if places is None else places)]
    lengths = [shape[place] for place in chosen]
    if scales is not None:
        # A whole factor as such: symbols of `torch.export` are then compared as whole numbers.
        factors = [int(one) if float(one).is_integer() else one for one in scales]
        after = [_scaled(*pair) for pair in zip(lengths, factors, strict=True)]
    else:
        factors, after = _stretched(lengths, sizes or [], policy)
    ends = _regions(roi, len(chosen)) if rule.crops else [(0.0, 1.0)] * len(chosen)
    axes = [
        Axis(place, before, new, factor, *region)
        for place, before, new, factor, region in zip(
            chosen, lengths, after, factors, ends, strict=True
        )
    ]
    return [_checked(axis, rule, scales is not None) for axis in axes if axis.changes]


def _stretched(
    lengths: Sequence[int], sizes: Sequence[int], policy: str
) -> tuple[list[float], list[int]]:
    """Return new length over old and the new length, for each axis."""
    pairs = zip(sizes, lengths, strict=True)
    factors = [1.0 if size == length else size / length for size, length in pairs]
    if policy == "stretch":
        return factors, list(sizes)
    factor = min(factors) if policy == "not_larger" else max(factors)
    return [factor] * len(lengths), [_whole(factor * length + 0.5) for length in lengths]


def _whole(number: float) -> int:
    """Return a number cut towards zero; a symbol of `torch.export` stays one."""
    cut: int = torch.sym_int(number)  # type: ignore[no-untyped-call] # PyTorch gives it no types
    return cut


def _scaled(length: int, scale: float) -> int:
    """Return the whole part of a product, which no rounding may decide."""
    if float(scale).is_integer():
        return length * int(scale)
    after = _whole(length * scale)
    if isinstance(length, int) and int(np.float32(length) * np.float32(scale)) != after:
        raise ValueError(f"{length} times {scale} is rounded to another length by some runtimes")
    return after


def _regions(roi: Sequence[float] | None, count: int) -> list[tuple[float, float]]:
    if roi is None or len(roi) != 2 * count:
        raise ValueError("tf_crop_and_resize without a region for each axis")
    return list(zip(roi[:count], roi[count:], strict=True))


def _checked(axis: Axis, rule: Rule, scaled: bool) -> Axis:
    if rule.counts_ends and scaled and not axis.exact:
        raise ValueError(f"{rule.places} with scales that give no whole lengths")
    if scaled and axis.end - axis.start != 1:
        raise ValueError("scales of a region, whose new length runtimes disagree on")
    return axis


Source = Callable[[Any, Axis], Any]
"""From places of the new axis, a tensor or an array, to places of the old one."""


def _half_pixel(at: Any, axis: Axis) -> Any:
    return (at + 0.5) / axis.scale - 0.5


def _asymmetric(at: Any, axis: Axis) -> Any:
    return at / axis.scale


def _half_pixel_but_one(at: Any, axis: Axis) -> Any:
    return _half_pixel(at, axis) if axis.after > 1 else at * 0.0


def _half_pixel_forward(at: Any, axis: Axis) -> Any:
    return (at + 0.5) / axis.scale


def _half_pixel_centred(at: Any, axis: Axis) -> Any:
    rounded = axis.after / (axis.scale * axis.before)
    return axis.before / 2 * (1 - rounded) + (at + 0.5) / axis.scale - 0.5


def _corners(at: Any, axis: Axis) -> Any:
    return at * (axis.before - 1) / (axis.after - 1) if axis.after > 1 else at * 0.0


def _cropped(at: Any, axis: Axis) -> Any:
    last = axis.before - 1
    if axis.after == 1:
        return at * 0.0 + (axis.start + axis.end) * last / 2
    return axis.start * last + at * (axis.end - axis.start) * last / (axis.after - 1)


SOURCES: dict[str, Source] = {
    "half_pixel": _half_pixel,
    "asymmetric": _asymmetric,
    "pytorch_half_pixel": _half_pixel_but_one,
    "tf_half_pixel_for_nn": _half_pixel_forward,
    "half_pixel_symmetric": _half_pixel_centred,
    "align_corners": _corners,
    "tf_crop_and_resize": _cropped,
}
"""Where each place of the new axis lies on the old one, by coordinate mode."""


def _down_up(at: torch.Tensor, axis: Axis) -> torch.Tensor:
    return torch.ceil(at) if axis.scale < 1 else torch.floor(at)


NEAREST: dict[str, Callable[[torch.Tensor, Axis], torch.Tensor]] = {
    "round_prefer_floor": lambda at, _: torch.ceil(at - 0.5),
    "round_prefer_ceil": lambda at, _: torch.floor(at + 0.5),
    "floor": lambda at, _: torch.floor(at),
    "ceil": lambda at, _: torch.ceil(at),
    "ceil_if_shorter": _down_up,
}
"""Which element a place between two stands for."""


def sources(axis: Axis, rule: Rule, device: Any = None) -> torch.Tensor:
    """Return where each place of the new axis lies on the old one."""
    at = torch.arange(axis.after, dtype=torch.float64, device=device)
    found: torch.Tensor = SOURCES[rule.places](at, axis)
    return found


def outside(axis: Axis, rule: Rule, device: Any = None) -> torch.Tensor:
    """Return which places of the new axis lie outside the old one, but for rounding."""
    at, slack = sources(axis, rule, device), 1e-7 * axis.before
    return (at < -slack) | (at > axis.before - 1 + slack)


def picks(axis: Axis, rule: Rule, device: Any = None) -> torch.Tensor:
    """Return the nearest element for each place of the new axis.

    Raises:
        ValueError: If rounding decides: ONNX's reference computes in 64 bits, runtimes in 32.
    """
    last = axis.before - 1
    found = NEAREST[rule.nearest](sources(axis, rule, device), axis).clamp(0, last)
    if isinstance(axis.before, int) and isinstance(axis.after, int):
        short = SOURCES[rule.places](np.arange(axis.after, dtype=np.float32), axis)
        other = NEAREST[rule.nearest](torch.from_numpy(short), axis).clamp(0, last)
        if not torch.equal(found, other.to(found)):
            raise ValueError("some place lies between two elements but for rounding")
    return found.to(torch.int64)


def neighbours(
    axis: Axis, rule: Rule, device: Any = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the elements before and after each place, and the share of the second."""
    at = sources(axis, rule, device).clamp(0, axis.before - 1)
    low = torch.floor(at)
    high = (low + 1).clamp(max=axis.before - 1)
    return low.to(torch.int64), high.to(torch.int64), at - low


def _triangle(distance: torch.Tensor, _: float) -> torch.Tensor:
    return (1 - distance.abs()).clamp(min=0)


def _cubic(distance: torch.Tensor, a: float) -> torch.Tensor:
    t = distance.abs()
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))


_FILTERS = {"linear": (1, _triangle), "cubic": (2, _cubic)}


def weights(axis: Axis, rule: Rule, device: Any = None) -> torch.Tensor:
    """Return how much each element of the old axis weighs at each place of the new one."""
    at = sources(axis, rule, device)
    width, kernel = _FILTERS[rule.mode]
    shrink = min(axis.scale, 1.0) if rule.antialias else 1.0
    reach = math.ceil(width / shrink)
    steps = torch.arange(2 * reach, device=device) - (reach - 1)
    taps = torch.floor(at).unsqueeze(1) + steps
    found = kernel((taps - at.unsqueeze(1)) * shrink, rule.sharpness)
    if rule.antialias:
        found = found / found.sum(1, keepdim=True)
    if rule.excluded:
        found = torch.where((taps >= 0) & (taps <= axis.before - 1), found, 0.0)
        total = found.sum(1, keepdim=True)
        found = found / torch.where(total == 0, 1.0, total)
    places = taps.clamp(0, axis.before - 1).to(torch.int64)
    whole = torch.zeros(axis.after, axis.before, dtype=torch.float64, device=device)
    return whole.scatter_add(1, places, found)
