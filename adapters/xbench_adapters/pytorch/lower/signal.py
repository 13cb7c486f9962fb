"""Fourier transforms, windows, and the mel scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.fx

from xbench_adapters.pytorch.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.pytorch.builder import Builder


def signal_of(x: torch.Tensor) -> torch.Tensor:
    """Return the numbers whose parts lie along the last axis: real ones of one part, or complex."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return wide[..., 0] if x.shape[-1] == 1 else torch.complex(wide[..., 0], wide[..., 1])


def transformed(x: torch.Tensor, length: int, axis: int, onesided: bool) -> torch.Tensor:
    """Return a Fourier transform, its complex numbers as pairs; the first half where asked."""
    if not onesided:
        return torch.view_as_real(torch.fft.fft(x, length, axis))
    if not x.is_complex():
        return torch.view_as_real(torch.fft.rfft(x, length, axis))
    half = torch.fft.fft(x, length, axis).narrow(axis, 0, length // 2 + 1)
    return torch.view_as_real(half)


def dft(
    x: torch.Tensor, length: int | None, axis: int, inverse: bool, onesided: bool
) -> torch.Tensor:
    """Return a Fourier transform along an axis.

    Args:
        x: The signal; its last axis has one part of each number, or two.
        length: How many numbers are transformed: a signal is cut, or filled up with zeros.
        axis: The axis, from either end of ``x``.
        inverse: Whether to transform back.
        onesided: Whether of the transform of a real signal only one half is given, or taken.
    """
    place, signal = axis % x.ndim, signal_of(x)
    if length is None:
        length = x.shape[place]
        length = 2 * (length - 1) if inverse and onesided else length
    if not inverse:
        return transformed(signal, length, place, onesided).to(x.dtype)
    if onesided:
        real: torch.Tensor = torch.fft.irfft(signal, length, place)
        return real.unsqueeze(-1).to(x.dtype)
    # Of a real signal PyTorch gives the conjugate of a transform, not worked out.
    found = torch.fft.ifft(signal, length, place).resolve_conj()
    return torch.view_as_real(found).to(x.dtype)


@lowering("DFT", 20)
def dft_by_input(node: Node, to: Builder) -> torch.fx.Node:
    """Return a Fourier transform along an axis that is an input."""
    axis = to.number(node.input(2)) if node.input(2) else -2
    return _dft(node, to, axis)


@lowering("DFT", 17, 19)
def dft_by_attribute(node: Node, to: Builder) -> torch.fx.Node:
    """Return a Fourier transform along an axis that is an attribute."""
    return _dft(node, to, node.attributes["axis"])


def _dft(node: Node, to: Builder, axis: int | torch.fx.Node) -> torch.fx.Node:
    length = to.number(node.input(1)) if node.input(1) else None
    inverse, onesided = bool(node.attributes["inverse"]), bool(node.attributes["onesided"])
    return to.call(dft, to.value(node.inputs[0]), length, axis, inverse, onesided)


@lowering("STFT", 17)
def stft(node: Node, to: Builder) -> torch.fx.Node:
    """Return Fourier transforms of frames of a signal."""
    step = to.number(node.inputs[1])
    length = to.number(node.input(3)) if node.input(3) else None
    onesided, window = bool(node.attributes["onesided"]), to.optional(node.input(2))
    return to.call(framed_dft, to.value(node.inputs[0]), step, window, length, onesided)


def framed_dft(
    x: torch.Tensor, step: int, window: torch.Tensor | None, length: int | None, onesided: bool
) -> torch.Tensor:
    """Return Fourier transforms of frames of a signal, each weighted by a window.

    Args:
        x: Batches of signals, one number a row.
        step: How far apart frames start.
        window: Weights within a frame.
        length: The length of a frame: else the window's, or the signal's.
        onesided: Whether only the first half of each transform is given.
    """
    if length is None:
        length = x.shape[1] if window is None else window.shape[0]
    frames = signal_of(x).unfold(1, length, step)
    if window is not None:
        frames = frames * window.to(frames.real.dtype)
    return transformed(frames, length, 2, onesided).to(x.dtype)


_COSINES = {
    "HannWindow": (0.5, 0.5, 0.0),
    "HammingWindow": (25 / 46, 21 / 46, 0.0),
    "BlackmanWindow": (0.42, 0.5, 0.08),
}


def _register_window(operator: str) -> None:
    @lowering(operator, 17, raw=True)
    def window(node: Node, to: Builder) -> torch.fx.Node:
        size = node.inputs[0]
        periodic, dtype = bool(node.attributes["periodic"]), to.dtype(node.outputs[0])
        weights = _COSINES[operator]
        return to.call(cosines, to.number(size), to.value(size), periodic, *weights, dtype)


for _operator in _COSINES:
    _register_window(_operator)


def cosines(
    size: int,
    beside: torch.Tensor,
    periodic: bool,
    constant: float,
    first: float,
    second: float,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Return a window that is a sum of cosines, on the device of another tensor.

    Args:
        size: Its length.
        beside: A tensor on the device wanted.
        periodic: Whether its end meets its start; else it is symmetric.
        constant: What the cosines are added to.
        first: What is taken of the cosine of one turn.
        second: What is added of the cosine of two turns.
        dtype: The type of the result; whole numbers are cut towards zero.
    """
    places = torch.arange(size, dtype=torch.float64, device=beside.device)
    angles = places * (2 * math.pi) / torch.full_like(places, size if periodic else size - 1)
    return (constant - first * torch.cos(angles) + second * torch.cos(2 * angles)).to(dtype)


@lowering("MelWeightMatrix", 17, raw=True)
def mel_weight_matrix(node: Node, to: Builder) -> torch.fx.Node:
    """Return the weights of frequencies in the bands of the mel scale."""
    counts = [to.number(name) for name in node.inputs[:3]]
    edges = [to.value(name) for name in node.inputs[3:]]
    return to.call(mel_weights, *counts, *edges, to.dtype(node.outputs[0]))


def mel_weights(
    bands: int, length: int, rate: int, low: torch.Tensor, high: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Return triangles: one row a frequency of a transform, one column a band.

    Args:
        bands: How many bands there are.
        length: The length of the transform.
        rate: Samples in a second.
        low: The frequency at which the first band starts.
        high: The frequency below which the last ends.
        dtype: The type of the result; whole numbers are cut towards zero.
    """
    ends = [2595 * torch.log10(1 + one.reshape(()).double() / 700) for one in (low, high)]
    steps = torch.arange(bands + 2, dtype=torch.float64, device=low.device)
    mels = steps * ((ends[1] - ends[0]) / (bands + 2)) + ends[0]
    hertz = 700 * torch.expm1(mels / 2595 * math.log(10))
    bins = torch.floor((length + 1) * hertz / rate)
    left, centre, right = bins[:-2], bins[1:-1], bins[2:]
    places = torch.arange(length // 2 + 1, device=low.device).unsqueeze(1)
    rising = torch.where(centre == left, 1.0, (places - left) / (centre - left))
    falling = (right - places) / (right - centre)
    found = torch.where((places >= left) & (places <= centre), rising, 0.0)
    return torch.where((places >= centre) & (places < right), falling, found).to(dtype)
