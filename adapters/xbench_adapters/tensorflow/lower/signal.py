"""Fourier transforms, and frames of signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.lower.places import length
from xbench_adapters.tensorflow.lower.widths import at_least_float32
from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


@lowering("DFT", 20)
def dft_by_input(node: Node, to: Builder) -> Any:
    """Return a Fourier transform along an axis that is an input."""
    return _dft(node, to, to.number(node.input(2)) if node.input(2) else -2)


@lowering("DFT", 17, 19)
def dft_by_attribute(node: Node, to: Builder) -> Any:
    """Return a Fourier transform along an axis that is an attribute."""
    return _dft(node, to, node.attributes["axis"])


def _dft(node: Node, to: Builder, axis: Any) -> Any:
    name, rank = node.inputs[0], to.rank(node.inputs[0])
    if not tf.is_tensor(axis):
        axis = to.axis(axis, rank)
    x, turn = to.value(name), _turn(axis, rank)
    size = to.number(node.input(1)) if node.input(1) else None
    size = tf.cast(size, tf.int32) if tf.is_tensor(size) else size
    inverse, onesided = bool(node.attributes["inverse"]), bool(node.attributes["onesided"])
    turned = tf.transpose(x, turn)
    turned.set_shape([*[None] * (rank - 1), x.shape[-1]])
    turned = signal_of(turned)
    found = back(turned, size, onesided) if inverse else transformed(turned, size, onesided)
    return tf.transpose(tf.cast(found, x.dtype), turn)


def _turn(axis: Any, rank: int) -> Any:
    """Return the order of axes that swaps one with that before the parts of numbers."""
    places = list(range(rank))
    if not tf.is_tensor(axis):
        places[axis], places[rank - 2] = rank - 2, axis
        return places
    axis = tf.cast(axis, tf.int32) % rank
    order = tf.constant(places)
    swapped = tf.where(tf.equal(order, axis), rank - 2, order)
    return tf.where(tf.equal(order, rank - 2), axis, swapped)


def signal_of(x: Any) -> Any:
    """Return the numbers whose parts lie along the last axis: real ones of one part, or complex."""
    wide = tf.cast(x, at_least_float32(x.dtype))
    real = wide[..., 0]
    # Where only the run tells whether there is a second part, its absence makes a sum of zero.
    return real if x.shape[-1] == 1 else tf.complex(real, tf.reduce_sum(wide[..., 1:], -1))


def _as_complex(x: Any) -> Any:
    if x.dtype.is_complex:
        return x
    return tf.cast(x, tf.complex128 if x.dtype == tf.float64 else tf.complex64)


def _parts(x: Any) -> Any:
    """Return complex numbers as pairs."""
    return tf.stack([tf.math.real(x), tf.math.imag(x)], -1)


def fitted(x: Any, size: Any) -> Any:
    """Return a signal cut along its last axis, or filled up with zeros."""
    x = x[..., :size]
    missing = size - length(x, -1)
    if isinstance(missing, int) and missing == 0:
        return x
    return tf.pad(x, [*[[0, 0]] * (x.shape.rank - 1), [0, missing]])


def transformed(x: Any, size: Any, onesided: bool) -> Any:
    """Return a Fourier transform along the last axis, its complex numbers as pairs.

    Args:
        x: The signal.
        size: How many numbers are transformed; None for as many as there are.
        onesided: Whether only the first half is given.
    """
    x = x if size is None else fitted(x, size)
    count = length(x, -1)
    if x.dtype.is_complex:
        found = tf.signal.fft(x)
        return _parts(found[..., : count // 2 + 1] if onesided else found)
    half = tf.signal.rfft(x)
    if onesided:
        return _parts(half)
    mirrored = tf.math.conj(tf.reverse(half[..., 1 : (count + 1) // 2], [-1]))
    return _parts(tf.concat([half, mirrored], -1))


def back(x: Any, size: Any, onesided: bool) -> Any:
    """Return what a Fourier transform came from: pairs, or real numbers of one half of it."""
    x = _as_complex(x)
    if not onesided:
        return _parts(tf.signal.ifft(x if size is None else fitted(x, size)))
    if size is None:
        size = 2 * (length(x, -1) - 1)
    half = fitted(x, size // 2 + 1)
    return tf.signal.irfft(half, [size])[..., tf.newaxis]


@lowering("STFT", 17)
def stft(node: Node, to: Builder) -> Any:
    """Return Fourier transforms of frames of a signal, each weighted by a window."""
    x, window = to.value(node.inputs[0]), to.optional(node.input(2))
    step = to.number(node.inputs[1])
    if node.input(3):
        size = to.number(node.inputs[3])
    else:
        size = length(x, 1) if window is None else length(window, 0)
    frames = _frames(signal_of(x), size, step)
    if window is not None:
        frames = frames * tf.cast(window, frames.dtype)
    found = transformed(frames, None, bool(node.attributes["onesided"]))
    return tf.cast(found, x.dtype)


def _frames(x: Any, size: Any, step: Any) -> Any:
    """Return overlapping parts of signals: batches, frames, numbers."""
    size, step = (tf.cast(one, tf.int32) for one in (size, step))
    count = (length(x, 1) - size) // step + 1
    places = tf.range(count)[:, tf.newaxis] * step + tf.range(size)
    return tf.gather(x, places, axis=1)
