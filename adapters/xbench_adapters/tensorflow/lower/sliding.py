"""Windows over tensors with their channels last: padding, lengths that a run tells, slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench.graph.geometry.windows import (
    Ends,
    Length,
    Rule,
    Windows,
    known,
    positive,
    rule_of,
    settled,
)

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


@contextmanager
def refusing(to: Builder) -> Iterator[None]:
    """Refuse the node at hand where what is worked out raises a `ValueError`."""
    try:
        yield
    except ValueError as error:
        to.refuse(str(error))


def rule_at(node: Node, to: Builder) -> Rule:
    """Return how the node's windows slide, or refuse it."""
    with refusing(to):
        return rule_of(node)


def channels_last(name: str, to: Builder) -> Any:
    """Return a value with its channels last; its rank must be known."""
    if to.rank(name) < 3:
        to.refuse(f"{name!r} has no axes of space")
    return to.last(name)


def lengths_of(x: Any, start: int = 1, end: int | None = -1) -> list[Length]:
    """Return the lengths of axes, those of space by default: numbers where they are known."""
    places = range(*slice(start, end).indices(len(x.shape)))
    shape: Any = tf.shape(x) if any(x.shape[place] is None for place in places) else ()
    return [shape[one] if x.shape[one] is None else int(x.shape[one]) for one in places]


def demand(to: Builder, found: Length, least: int, detail: str) -> None:
    """Refuse the node unless a length is at least so long, or stop a run where it is not."""
    if not known(found):
        message = f"{to.node.name if to.node else ''}: {detail}"
        tf.debugging.Assert(tf.reduce_all(found >= least), [message])
    elif found < least:
        to.refuse(detail)


def framed(x: Any, ends: Ends, value: float = 0) -> Any:
    """Return a tensor with its axes of space widened, or cut where a number is below zero."""
    cuts = [(positive(-start), positive(-end)) for start, end in ends]
    if any(cut != (0, 0) for cut in map(_plain, cuts)):
        lengths = lengths_of(x)
        along = [
            slice(start, length - end) for (start, end), length in zip(cuts, lengths, strict=True)
        ]
        x = x[(slice(None), *along)]
    wide = [(positive(start), positive(end)) for start, end in ends]
    if all(one == (0, 0) for one in map(_plain, wide)):
        return x
    return tf.pad(x, [(0, 0), *wide, (0, 0)], constant_values=value)


def _plain(pair: tuple[Length, Length]) -> tuple[int | None, ...]:
    """Return numbers, and None for what a run tells."""
    return tuple(one if known(one) else None for one in pair)


def padding_of(ends: Ends) -> str | list[tuple[int, int]] | None:
    """Return padding as TensorFlow's operations on images take it; None where they do not."""
    if not all(known(*pair) and min(pair) >= 0 for pair in ends):
        return None
    if all(pair == (0, 0) for pair in ends):
        return "VALID"
    return [(0, 0), *ends, (0, 0)]


def is_same(windows: Windows, lengths: Sequence[Length], ends: Ends) -> bool:
    """Return whether padding is known to be what TensorFlow's ``SAME`` is for these windows."""
    rule = Rule(windows.strides, windows.dilations, (), "SAME_UPPER")
    same = settled(rule, windows.kernel, lengths).ends
    return all(known(*one, *other) and one == other for one, other in zip(same, ends, strict=True))


def flat(x: Any) -> Any:
    """Return a signal as an image of one row."""
    return tf.expand_dims(x, 1)


def widened(windows: Windows) -> Windows:
    """Return the windows of a signal as those of an image of one row.

    Some of TensorFlow's kernels want steps of one length along both axes.
    """
    return replace(
        windows,
        kernel=(1, *windows.kernel),
        strides=windows.strides * 2,
        dilations=(1, *windows.dilations),
        before=(0, *windows.before),
        after=(0, *windows.after),
    )


def folded(
    x: Any, windows: Windows, counts: Sequence[Length], fold: Callable[[Any, Any], Any]
) -> Any:
    """Return the fold over the elements of each window, of a tensor that is padded already.

    The fold is of one axis after the other: it must not depend on the order.
    """
    for place, count in enumerate(counts):
        found = None
        for tap in range(windows.kernel[place]):
            part = nth(x, windows, count, place, tap)
            found = part if found is None else fold(found, part)
        x = found
    return x


def nth(x: Any, windows: Windows, count: Length, place: int, tap: int) -> Any:
    """Return one element of each window along an axis, of a tensor that is padded already."""
    start, stride = tap * windows.dilations[place], windows.strides[place]
    along = slice(start, start + (count - 1) * stride + 1, stride)
    return x[(slice(None),) * (1 + place) + (along,)]
