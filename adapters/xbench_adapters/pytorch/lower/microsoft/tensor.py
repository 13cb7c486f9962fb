"""ONNX Runtime's own operators on tensors: those that ONNX got later, and a few more."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import torch
import torch.fx
from torch.nn import functional

from xbench_adapters.pytorch.lower.shared.standard import as_standard, first
from xbench_adapters.pytorch.registry import MICROSOFT, lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def _register(operator: str, version: int) -> None:
    @lowering(operator, 1, domain=MICROSOFT)
    def lowered(node: Node, to: Builder) -> torch.fx.Node:
        return first(as_standard(node, to, operator, version))


for _operator, _version in (("GatherND", 12), ("Pad", 13), ("Trilu", 14)):
    _register(_operator, _version)


@lowering("Unique", 1, domain=MICROSOFT)
def unique(node: Node, to: Builder) -> tuple[torch.fx.Node | None, ...]:
    """Return the different elements in the order that they come, the place of each, counts."""
    names = (*node.outputs, "", "")[:3]
    outputs = (names[0], "", *names[1:])
    found = as_standard(node, to, "Unique", 11, outputs=outputs, sorted=0)
    return found[0], found[2], found[3]


@lowering("ExpandDims", 1, domain=MICROSOFT)
def expand_dims(node: Node, to: Builder) -> torch.fx.Node:
    """Return a tensor with one more axis, of length 1."""
    return to.call(torch.unsqueeze, to.value(node.inputs[0]), to.number(node.inputs[1]))


def counted(start: torch.Tensor, limit: torch.Tensor, step: torch.Tensor | None) -> torch.Tensor:
    """Return numbers from ``start`` to before ``limit``, ``step`` or 1 apart."""
    low, high = start.reshape(()).item(), limit.reshape(()).item()
    apart = 1 if step is None else step.reshape(()).item()
    count = max(ceil((high - low) / apart), 0)
    places = torch.arange(count, dtype=start.dtype, device=start.device)
    return places * apart + low


@lowering("Range", 1, domain=MICROSOFT)
def number_range(node: Node, to: Builder) -> torch.fx.Node:
    """Return numbers that are evenly apart."""
    given = (to.optional(node.input(place)) for place in range(3))
    return to.call(counted, *given)


@lowering("UnfoldTensor", 1, domain=MICROSOFT)
def unfold_tensor(node: Node, to: Builder) -> torch.fx.Node:
    """Return the windows along an axis, whose elements are a new last axis."""
    get = node.attributes.get
    options = get("dim", -1), node.attributes["size"], get("step", 1)
    return to.call(torch.Tensor.unfold, to.value(node.inputs[0]), *options)


@lowering("TorchEmbedding", 1, domain=MICROSOFT)
def torch_embedding(node: Node, to: Builder) -> torch.fx.Node:
    """Return the row of a table for each index."""
    table, places = (to.value(name) for name in node.inputs[:2])
    return to.call(functional.embedding, places, table)


def _wide(x: torch.Tensor) -> torch.Tensor:
    """Return floats in a type that PyTorch has linear algebra for."""
    return x.to(torch.float32) if x.dtype.itemsize < 4 else x


def inverse(x: torch.Tensor) -> torch.Tensor:
    """Return the inverse of each matrix, in its own type."""
    found: torch.Tensor = torch.linalg.inv(_wide(x))
    return found.to(x.dtype)


@lowering("Inverse", 1, domain=MICROSOFT)
def microsoft_inverse(node: Node, to: Builder) -> torch.fx.Node:
    """Return the inverse of each matrix."""
    return to.call(inverse, to.value(node.inputs[0]))


def distances(left: torch.Tensor, right: torch.Tensor, squared: bool) -> torch.Tensor:
    """Return the distance of each row to each, found by differences."""
    found = torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")
    return found.square() if squared else found


@lowering("CDist", 1, domain=MICROSOFT)
def cdist(node: Node, to: Builder) -> torch.fx.Node:
    """Return the distance of each row of one matrix to each of another."""
    metric = node.attributes.get("metric", "sqeuclidean")
    if metric not in ("euclidean", "sqeuclidean"):
        to.refuse(f"the metric {metric!r}")
    return to.call(distances, *map(to.value, node.inputs), metric == "sqeuclidean")


def complex_product(left: torch.Tensor, right: torch.Tensor, conjugate: bool) -> torch.Tensor:
    """Return products of complex numbers, whose two parts are the last axis."""
    a, b = left[..., 0], left[..., 1]
    c, d = right[..., 0], -right[..., 1] if conjugate else right[..., 1]
    return torch.stack((a * c - b * d, a * d + b * c), -1)


@lowering("ComplexMulConj", 1, domain=MICROSOFT)
@lowering("ComplexMul", 1, domain=MICROSOFT)
def complex_mul(node: Node, to: Builder) -> torch.fx.Node:
    """Return products of complex numbers, the second conjugated where the name says so."""
    conjugate = node.operator == "ComplexMulConj"
    return to.call(complex_product, *map(to.value, node.inputs), conjugate)


def rfft(x: torch.Tensor) -> torch.Tensor:
    """Return the Fourier transform of the last axis, its two parts in one more axis."""
    return torch.view_as_real(torch.fft.rfft(_wide(x))).to(x.dtype)


def irfft(x: torch.Tensor) -> torch.Tensor:
    """Return what the Fourier transform was made of: a last axis of even length."""
    found: torch.Tensor = torch.fft.irfft(torch.view_as_complex(_wide(x).contiguous()))
    return found.to(x.dtype)


@lowering("Irfft", 1, domain=MICROSOFT)
@lowering("Rfft", 1, domain=MICROSOFT)
def fourier(node: Node, to: Builder) -> torch.fx.Node:
    """Return the Fourier transform of one axis of real numbers, or its inverse."""
    get = node.attributes.get
    if get("signal_ndim", 1) != 1 or get("normalized", 0) or not get("onesided", 1):
        to.refuse("several axes, a factor or both sides")
    function = rfft if node.operator == "Rfft" else irfft
    return to.call(function, to.value(node.inputs[0]))


def _lines(low: torch.Tensor, high: torch.Tensor, count: int, length: int) -> torch.Tensor:
    """Return the places of ``count`` lines from ``low`` to ``high``, both in 0..1 of an axis."""
    if count == 1:
        return (low + high)[:, None] * 0.5 * (length - 1)
    steps = torch.arange(count, dtype=low.dtype, device=low.device)
    every = (high - low) * (length - 1) / (count - 1)
    return (low * (length - 1))[:, None] + steps * every[:, None]


def cropped(
    x: torch.Tensor,
    boxes: torch.Tensor,
    items: torch.Tensor,
    size: list[int],
    nearest: bool,
    fill: float,
) -> torch.Tensor:
    """Return each box of an image as an image of one size; ``fill`` where it reaches out.

    Args:
        x: Images.
        boxes: Top, left, bottom and right, 0 to 1 for each.
        items: Which image each box is of.
        size: Height and width of the results.
        nearest: Whether pixels are picked, not mixed.
        fill: What lies outside of an image.
    """
    height, width = x.shape[2:]
    rows = _lines(boxes[:, 0], boxes[:, 2], size[0], height)
    columns = _lines(boxes[:, 1], boxes[:, 3], size[1], width)
    inside = ((rows >= 0) & (rows <= height - 1))[:, :, None]
    inside = inside & ((columns >= 0) & (columns <= width - 1))[:, None]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    pixels, which = x.movedim(1, -1), items.to(torch.int64)[:, None, None]

    def at(ys: torch.Tensor, xs: torch.Tensor) -> torch.Tensor:
        return pixels[which, ys.to(torch.int64)[:, :, None], xs.to(torch.int64)[:, None]]

    if nearest:
        found = at((rows + 0.5).floor(), (columns + 0.5).floor())
    else:
        down, along = rows.frac()[:, :, None, None], columns.frac()[:, None, :, None]
        upper = torch.lerp(
            at(rows.floor(), columns.floor()), at(rows.floor(), columns.ceil()), along
        )
        lower = torch.lerp(at(rows.ceil(), columns.floor()), at(rows.ceil(), columns.ceil()), along)
        found = torch.lerp(upper, lower, down)
    return torch.where(inside[..., None], found, fill).movedim(-1, 1)


@lowering("CropAndResize", 1, domain=MICROSOFT)
def crop_and_resize(node: Node, to: Builder) -> torch.fx.Node:
    """Return boxes of images, all of one size."""
    mode = node.attributes.get("mode", "bilinear")
    if mode not in ("bilinear", "nearest"):
        to.refuse(f"the mode {mode!r}")
    given = (to.value(name) for name in node.inputs[:3])
    fill = node.attributes.get("extrapolation_value", 0.0)
    return to.call(cropped, *given, to.numbers(node.inputs[3]), mode == "nearest", fill)
