"""Sampling on grids, grids from affine maps, and images from columns."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, NoReturn

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

_MODES = {
    "linear": "bilinear", "bilinear": "bilinear",
    "cubic": "bicubic", "bicubic": "bicubic",
    "nearest": "nearest",
}  # fmt: skip
_WIDE = (torch.float32, torch.float64)


def sampled(
    x: torch.Tensor, grid: torch.Tensor, mode: str, padding: str, aligned: bool
) -> torch.Tensor:
    """Return ``x`` at the places that a grid tells, from -1 to 1 over each spatial axis.

    Args:
        x: Batch, channels, then any number of spatial axes.
        grid: Batch, the new spatial axes, then coordinates: that of the last axis first.
        mode: ``nearest``, ``bilinear`` or ``bicubic``, whatever the number of axes.
        padding: What lies outside: ``zeros``, ``border`` or ``reflection``.
        aligned: Whether -1 and 1 are the middles of the outermost elements, else their edges.
    """
    wide = torch.promote_types(x.dtype, torch.float32) if x.is_floating_point() else x.dtype
    places = grid.to(wide if x.is_floating_point() else torch.float64)
    if _native(x.ndim, mode) and x.is_floating_point():
        return functional.grid_sample(x.to(wide), places, mode, padding, aligned).to(x.dtype)
    taps = [
        _taps(places[..., x.ndim - 3 - axis], x.shape[2 + axis], mode, padding, aligned)
        for axis in range(x.ndim - 2)
    ]
    flat = x.to(wide).flatten(2)
    batch, channels = x.shape[:2]
    found: torch.Tensor | None = None
    for chosen in product(*(list(zip(*pair, strict=True)) for pair in taps)):
        at, weight = chosen[0]
        for axis, (more, factor) in enumerate(chosen[1:], start=1):
            at, weight = at * x.shape[2 + axis] + more, weight * factor
        picked = flat.gather(2, at.reshape(batch, 1, -1).expand(-1, channels, -1))
        part = picked * weight.reshape(batch, 1, -1).to(wide)
        found = part if found is None else found + part
    assert found is not None
    return found.reshape(batch, channels, *grid.shape[1:-1]).to(x.dtype)


def _native(rank: int, mode: str) -> bool:
    """Return whether PyTorch samples images of this rank in this mode."""
    return rank == 4 or (rank == 5 and mode != "bicubic")


def _taps(
    grid: torch.Tensor, length: int, mode: str, padding: str, aligned: bool
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the elements of one axis that count at each place, and how much."""
    low, high = (0.0, length - 1.0) if aligned else (-0.5, length - 0.5)
    at = (grid + 1) / 2 * (length - 1) if aligned else ((grid + 1) * length - 1) / 2
    if mode == "nearest":
        at = torch.round(at)
    beyond = (at < low) | (at > high)
    if padding == "border" and mode != "bicubic":
        at = torch.where(beyond, at.clamp(0, length - 1), at)
    elif padding == "reflection":
        at = torch.where(beyond, _reflected(at, low, high), at)
    first = torch.floor(at)
    weights = _weights(at - first, mode)
    places, shares = [], []
    for step, weight in weights:
        place = first + step
        inside = (place >= 0) & (place <= length - 1)
        if padding == "reflection":
            place = torch.where(inside, place, _reflected(place, low, high))
        places.append(place.clamp(0, length - 1).to(torch.int64))
        shares.append(weight * inside if padding == "zeros" else weight)
    return places, shares


def _reflected(at: torch.Tensor, low: float, high: float) -> torch.Tensor:
    span = high - low
    if span == 0:
        return torch.full_like(at, low)
    turn = torch.remainder(at - low, 2 * span)
    return low + torch.minimum(turn, 2 * span - turn)


def _weights(share: torch.Tensor, mode: str) -> list[tuple[int, torch.Tensor]]:
    """Return steps from the element before each place, and the weight of each."""
    if mode == "nearest":
        return [(0, torch.ones_like(share))]
    if mode == "bilinear":
        return [(0, 1 - share), (1, share)]
    a, rest = -0.75, 1 - share
    near = [((a + 2) * t - (a + 3)) * t * t + 1 for t in (share, rest)]
    far = [((a * t - 5 * a) * t + 8 * a) * t - 4 * a for t in (share + 1, rest + 1)]
    return [(-1, far[0]), (0, near[0]), (1, near[1]), (2, far[1])]


@lowering("GridSample", 16)
def grid_sample(node: Node, to: Builder) -> torch.fx.Node:
    """Return the tensor at the places that a grid tells."""
    data, grid = node.inputs
    mode, padding = _MODES.get(node.attributes["mode"]), node.attributes["padding_mode"]
    if mode is None or padding not in ("zeros", "border", "reflection"):
        to.refuse(f"mode {node.attributes['mode']!r} with padding_mode {padding!r}")
    dtype, rank = to.dtype(data), to.graph.value(data).rank
    if not dtype.is_floating_point and mode != "nearest":
        to.refuse("a blend of elements that are no floats")
    options = to.value(data), to.value(grid), mode, padding, bool(node.attributes["align_corners"])
    plain = dtype in _WIDE and to.dtype(grid) == dtype
    if plain and rank is not None and _native(rank, mode):
        return to.call(functional.grid_sample, *options)
    return to.call(sampled, *options)


def affine_grid(theta: torch.Tensor, size: list[int], aligned: bool) -> torch.Tensor:
    """Return the grid of an affine map for images of a size, batch and channels included."""
    if aligned and 1 in size[2:]:
        raise ValueError("runtimes disagree on the middle of an axis of length 1")
    wide = torch.promote_types(theta.dtype, torch.float32)
    return functional.affine_grid(theta.to(wide), size, align_corners=aligned).to(theta.dtype)


@lowering("AffineGrid", 20)
def affine_grid_node(node: Node, to: Builder) -> torch.fx.Node:
    """Return the grid of an affine map, two or three axes."""
    size, aligned = to.numbers(node.inputs[1]), bool(node.attributes["align_corners"])
    if aligned and isinstance(size, list) and 1 in size[2:]:
        to.refuse("align_corners with an axis of length 1, on which runtimes disagree")
    return to.call(affine_grid, to.value(node.inputs[0]), size, aligned)


def folded(
    x: torch.Tensor,
    image: list[int],
    block: list[int],
    dilations: list[int] | None,
    pads: list[int] | None,
    strides: list[int] | None,
) -> torch.Tensor:
    """Return images: blocks that lie in columns are added where they come from.

    Args:
        x: Batch, channels times elements of a block, blocks.
        image: Lengths of the images.
        block: Lengths of a block.
        dilations: Steps between the elements of a block; 1 without.
        pads: Elements before, then after each axis, which are cut off; none without.
        strides: Steps between blocks; 1 without.
    """
    rank = len(image)
    steps, strides = dilations or [1] * rank, strides or [1] * rank
    before, after = (pads[:rank], pads[rank:]) if pads else ([0] * rank, [0] * rank)
    whole = [sum(three) for three in zip(before, image, after, strict=True)]
    if rank == 2 and x.is_floating_point():
        four = (tuple(one) for one in (whole, block, steps, strides))
        size, kernel, holes, apart = four
        found = functional.fold(x, size, kernel, holes, 0, apart)
    else:
        found = _folded(x, whole, block, steps, strides)
    inner = [slice(start, start + length) for start, length in zip(before, image, strict=True)]
    return found[(slice(None), slice(None), *inner)]


def _folded(
    x: torch.Tensor, whole: list[int], block: list[int], steps: list[int], strides: list[int]
) -> torch.Tensor:
    batch, size = x.shape[0], prod(block)
    four = list(zip(whole, block, steps, strides, strict=True))
    counts = [(n - step * (k - 1) - 1) // stride + 1 for n, k, step, stride in four]
    parts = x.reshape(batch, -1, size, *counts)
    found = torch.zeros((batch, parts.shape[1], *whole), dtype=x.dtype, device=x.device)
    for number, place in enumerate(product(*map(range, block))):
        cuts = [
            slice(at * step, at * step + (count - 1) * stride + 1, stride)
            for at, step, count, stride in zip(place, steps, counts, strides, strict=True)
        ]
        found[(slice(None), slice(None), *cuts)] += parts[:, :, number]
    return found


@lowering("Col2Im", 18)
def col2im(node: Node, to: Builder) -> torch.fx.Node:
    """Return images whose blocks lie in columns."""
    image, block = (to.numbers(name) for name in node.inputs[1:3])
    rest = (node.attributes.get(name) or None for name in ("dilations", "pads", "strides"))
    return to.call(folded, to.value(node.inputs[0]), image, block, *rest)


@lowering("ImageDecoder", 20)
def image_decoder(_: Node, to: Builder) -> NoReturn:
    """Refuse: PyTorch itself reads no image formats."""
    to.refuse("PyTorch decodes no images: give the model decoded ones")
