"""Pooling over regions of interest, and the choice among boxes that overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder

Corners = tuple[torch.Tensor, torch.Tensor]


def _corners(
    starts: torch.Tensor, steps: torch.Tensor, bins: int, samples: int, length: int
) -> Corners:
    """Return the two elements of an axis around each sample of each bin, and their weights.

    Both are of the shape regions, bins, samples, 2.
    """
    device = starts.device
    bin_starts = torch.arange(bins, device=device).reshape(-1, 1) * steps.reshape(-1, 1, 1)
    within = (torch.arange(samples, device=device) + 0.5) * steps.reshape(-1, 1, 1) / samples
    at = starts.reshape(-1, 1, 1) + bin_starts + within
    inside = (at >= -1) & (at <= length)
    low = at.clamp(min=0).floor().clamp(max=length - 1)
    high = (low + 1).clamp(max=length - 1)
    share = torch.where(low >= length - 1, 0.0, at.clamp(min=0) - low)
    places = torch.stack([low, high], -1).to(torch.int64)
    return places, torch.stack([1 - share, share], -1) * inside.unsqueeze(-1)


def _pooled(
    rows: torch.Tensor,
    batches: torch.Tensor,
    high: Corners,
    wide: Corners,
    width: int,
    largest: bool,
) -> torch.Tensor:
    """Return the pooled samples of each bin, one row of channels for each.

    Args:
        rows: One row of channels for each element of each image, images one after another.
        batches: Where the first row of each region's image is.
        high: What `_corners` gives for the vertical axis.
        wide: The same for the horizontal one.
        width: The length of the horizontal axis.
        largest: Whether the largest corner counts, weighed, else the mean of the samples.
    """
    (y, of_y), (x, of_x) = high, wide
    regions, tall, across = y.shape[0], y.shape[1], x.shape[1]
    # regions, bins down, bins across, then samples and corners of either axis
    down = y.reshape(regions, tall, 1, -1, 1) * width + batches.reshape(-1, 1, 1, 1, 1)
    places = (down + x.reshape(regions, 1, across, 1, -1)).reshape(regions * tall * across, -1)
    weights = of_y.reshape(regions, tall, 1, -1, 1) * of_x.reshape(regions, 1, across, 1, -1)
    weights = weights.reshape(places.shape)
    if not largest:
        mean = weights / (y.shape[2] * x.shape[2])
        return functional.embedding_bag(places, rows, mode="sum", per_sample_weights=mean)
    best = rows[places[:, 0]] * weights[:, :1]
    for number in range(1, places.shape[1]):
        best = torch.maximum(best, rows[places[:, number]] * weights[:, number, None])
    return best


def _bins(ends: torch.Tensor, size: tuple[int, int], shifted: bool) -> tuple[Corners, Corners]:
    """Return where each region starts, left and top, and the height and width of its bins."""
    extents = ends[:, 2:] - ends[:, :2]
    if not shifted:
        extents = extents.clamp(min=1.0)
    starts = ends[:, :2] - (0.5 if shifted else 0.0)
    return (starts[:, 0], starts[:, 1]), (extents[:, 1] / size[0], extents[:, 0] / size[1])


def region_aligned(
    x: torch.Tensor,
    rois: torch.Tensor,
    batches: torch.Tensor,
    size: tuple[int, int],
    samples: int,
    scale: float,
    largest: bool,
    shifted: bool,
) -> torch.Tensor:
    """Return each region pooled to a size, over samples between the elements.

    Args:
        x: Batch, channels, height, width.
        rois: Left, top, right and bottom of each region.
        batches: The image of each region.
        size: Height and width of the result.
        samples: How many a bin has along either axis; 0 for as many as it has elements.
        scale: Elements over units of ``rois``.
        largest: Whether the largest corner of the samples counts, else their mean.
        shifted: Whether elements lie half a unit further, and regions may be of any size.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    channels, height, width = x.shape[1:]
    rows = x.to(wide).permute(0, 2, 3, 1).reshape(-1, channels)
    (left, top), steps = _bins(rois.to(wide) * scale, size, shifted)

    def pooled(of: slice, tall: int, across: int) -> torch.Tensor:
        if tall <= 0 or across <= 0:
            return rows.new_zeros(size[0] * size[1], channels)
        down = _corners(top[of], steps[0][of], size[0], tall, height)
        along = _corners(left[of], steps[1][of], size[1], across, width)
        return _pooled(rows, batches[of] * (height * width), down, along, width, largest)

    if samples > 0:
        found = pooled(slice(None), samples, samples)
    else:
        counts = enumerate(torch.stack(steps, 1).ceil().to(torch.int64).tolist())
        parts = [pooled(slice(place, place + 1), *pair) for place, pair in counts]
        found = torch.cat([rows.new_zeros(0, channels), *parts])
    return found.reshape(-1, *size, channels).permute(0, 3, 1, 2).to(x.dtype)


@lowering("RoiAlign", 10)
def roi_align(node: Node, to: Builder) -> torch.fx.Node:
    """Return each region of interest pooled to a size, over samples between the elements."""
    read = node.attributes
    places = read.get("coordinate_transformation_mode", "output_half_pixel")
    if read["mode"] not in ("avg", "max") or places not in ("half_pixel", "output_half_pixel"):
        to.refuse(f"mode {read['mode']!r} with {places!r}")
    size = read["output_height"], read["output_width"]
    modes = read["sampling_ratio"], read["spatial_scale"], read["mode"] == "max"
    values = map(to.value, node.inputs)
    return to.call(region_aligned, *values, size, *modes, places == "half_pixel")


def _reach(starts: torch.Tensor, ends: torch.Tensor, bins: int, length: int) -> torch.Tensor:
    """Return which elements of an axis each bin of each region holds."""
    steps = ((ends - starts + 1).clamp(min=1) / bins).unsqueeze(1)
    bin_numbers = torch.arange(bins, device=starts.device)
    first = (torch.floor(bin_numbers * steps) + starts.unsqueeze(1)).clamp(0, length)
    last = (torch.ceil((bin_numbers + 1) * steps) + starts.unsqueeze(1)).clamp(0, length)
    places = torch.arange(length, device=starts.device)
    return (places >= first.unsqueeze(-1)) & (places < last.unsqueeze(-1))


def region_largest(
    x: torch.Tensor, rois: torch.Tensor, size: tuple[int, int], scale: float
) -> torch.Tensor:
    """Return the largest element of each bin of each region; 0 for bins that hold none.

    Args:
        x: Batch, channels, height, width.
        rois: The image, then left, top, right and bottom of each region, all included.
        size: Height and width of the result.
        scale: Elements over units of ``rois``.
    """
    wide = torch.promote_types(rois.dtype, torch.float32)
    exact = rois[:, 1:].to(wide) * scale
    ends = torch.sign(exact) * torch.floor(exact.abs() + 0.5)  # halves go away from zero
    down = _reach(ends[:, 1], ends[:, 3], size[0], x.shape[2])
    along = _reach(ends[:, 0], ends[:, 2], size[1], x.shape[3])
    images = x[rois[:, 0].to(torch.int64)]
    lowest = -float("inf")
    columns = torch.stack(
        [
            torch.where(along[:, None, None, number], images, lowest).amax(-1)
            for number in range(size[1])
        ],
        -1,
    )
    found = torch.stack(
        [
            torch.where(down[:, None, number, :, None], columns, lowest).amax(-2)
            for number in range(size[0])
        ],
        -2,
    )
    held = down.any(-1)[:, None, :, None] & along.any(-1)[:, None, None, :]
    return torch.where(held, found, 0.0)


@lowering("MaxRoiPool", 1)
def max_roi_pool(node: Node, to: Builder) -> torch.fx.Node:
    """Return the largest element of each bin of each region of interest."""
    size, scale = tuple(node.attributes["pooled_shape"]), node.attributes["spatial_scale"]
    return to.call(region_largest, *map(to.value, node.inputs), size, scale)


def kept_boxes(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    most: int,
    overlap: torch.Tensor | None,
    least: torch.Tensor | None,
    centred: bool,
) -> torch.Tensor:
    """Return image, class and number of the boxes that are kept, best of each class first.

    Args:
        boxes: Images, boxes, 4 numbers: two corners, or the centre and both extents.
        scores: Images, classes, boxes.
        most: How many boxes are kept for each image and class.
        overlap: Intersection over union above which a box gives way to a better one.
        least: The score that a box must exceed; any will do without.
        centred: Whether ``boxes`` tells centres and extents.
    """
    limit = boxes.new_zeros(()) if overlap is None else overlap.reshape(())
    kept = [torch.zeros((0, 3), dtype=torch.int64, device=boxes.device)]
    for image in range(scores.shape[0]):
        low, high = _ends(boxes[image], centred)
        for kind in range(scores.shape[1] if most > 0 else 0):
            ranked = scores[image, kind]
            order = torch.argsort(ranked, descending=True, stable=True)
            if least is not None:
                order = order[ranked[order] > least.reshape(())]
            chosen = _chosen(low, high, order, most, limit)
            labels = chosen.new_tensor([image, kind]).expand(chosen.shape[0], 2)
            kept.append(torch.cat([labels, chosen.unsqueeze(1)], 1))
    return torch.cat(kept)


def _ends(boxes: torch.Tensor, centred: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the lower and the upper corner of each box."""
    first, second = boxes[:, :2], boxes[:, 2:]
    if centred:
        return first - second / 2, first + second / 2
    return torch.minimum(first, second), torch.maximum(first, second)


def _chosen(
    low: torch.Tensor, high: torch.Tensor, order: torch.Tensor, most: int, limit: torch.Tensor
) -> torch.Tensor:
    """Return the boxes, in order, that overlap no better one too much."""
    areas = (high - low).prod(1)
    chosen: list[torch.Tensor] = []
    while order.numel() and len(chosen) < most:
        best, order = order[0], order[1:]
        chosen.append(best)
        sides = torch.minimum(high[best], high[order]) - torch.maximum(low[best], low[order])
        shared = sides.clamp(min=0).prod(1)
        union = areas[best] + areas[order] - shared
        counts = (shared > 0) & (areas[order] > 0) & (areas[best] > 0) & (union > 0)
        order = order[~(counts & (shared / union > limit))]
    return torch.stack(chosen) if chosen else order[:0]


@lowering("NonMaxSuppression", 10)
def non_max_suppression(node: Node, to: Builder) -> torch.fx.Node:
    """Return the boxes that are left when each gives way to better ones that it overlaps."""
    boxes, scores = map(to.value, node.inputs[:2])
    most = to.number(node.inputs[2]) if node.input(2) else 0
    limits = to.optional(node.input(3)), to.optional(node.input(4))
    centred = bool(node.attributes["center_point_box"])
    return to.call(kept_boxes, boxes, scores, most, *limits, centred)
