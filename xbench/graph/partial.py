"""Shape vectors of which some entries are known.

A model with open dimensions computes shapes from shapes: it takes the shape of a tensor,
picks entries, multiplies, joins them, and reshapes to the result. Each entry is followed
here as a length, as the symbol of an open dimension, or as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from xbench.graph.plain import Array, Dim


@dataclass(frozen=True, slots=True)
class Entries:
    """A vector of integers, or a single one, as far as it is known."""

    dims: tuple[Dim, ...]
    scalar: bool = False

    @property
    def array(self) -> Array | None:
        """Return the vector as int64, if every entry is known."""
        if not all(isinstance(dim, int) for dim in self.dims):
            return None
        whole = np.array(self.dims, np.int64)
        return whole.reshape(()) if self.scalar else whole


def entries_of(array: Array) -> Entries | None:
    """Return a small constant as entries; None if it is no vector of integers."""
    if array.dtype.kind not in "iu" or array.ndim > 1 or array.size > 64:
        return None
    return Entries(tuple(int(one) for one in array.reshape(-1)), array.ndim == 0)


def _gather(attributes: Mapping[str, Any], inputs: Sequence[Entries]) -> Entries | None:
    data, places = inputs
    if data.scalar or attributes.get("axis", 0) not in (0, -1):
        return None
    picked: list[Dim] = []
    for place in places.dims:
        if not isinstance(place, int) or not -len(data.dims) <= place < len(data.dims):
            return None
        picked.append(data.dims[place])
    return Entries(tuple(picked), places.scalar)


def _concat(_attributes: Mapping[str, Any], inputs: Sequence[Entries]) -> Entries | None:
    if any(one.scalar for one in inputs):
        return None
    return Entries(tuple(dim for one in inputs for dim in one.dims))


def _squeeze(_attributes: Mapping[str, Any], inputs: Sequence[Entries]) -> Entries | None:
    return Entries(inputs[0].dims, True) if len(inputs[0].dims) == 1 else None


def _unsqueeze(attributes: Mapping[str, Any], inputs: Sequence[Entries]) -> Entries | None:
    axes = inputs[1].dims if len(inputs) > 1 else attributes.get("axes", ())
    return Entries(inputs[0].dims) if inputs[0].scalar and len(axes) == 1 else None


def _slice(_attributes: Mapping[str, Any], inputs: Sequence[Entries]) -> Entries | None:
    bounds = [one.array for one in inputs[1:]]
    if inputs[0].scalar or not bounds:  # until version 9 the bounds were attributes: not followed
        return None
    if any(bound is None or bound.size != 1 for bound in bounds):
        return None
    start, stop, *rest = (int(bound.reshape(())) for bound in bounds if bound is not None)
    step = rest[1] if len(rest) > 1 else 1
    if step <= 0:
        return None
    return Entries(inputs[0].dims[start:stop:step])


def _cast(attributes: Mapping[str, Any], inputs: Sequence[Entries]) -> Entries | None:
    import onnx

    whole = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    return inputs[0] if attributes.get("to") in whole else None


def _arithmetic(operation: Callable[[int, int], int]) -> Callable[..., Entries | None]:
    def combined(_attributes: Mapping[str, Any], inputs: Sequence[Entries]) -> Entries | None:
        left, right = inputs
        length = max(len(left.dims), len(right.dims))
        if any(len(one.dims) not in (1, length) for one in inputs):
            return None
        pairs = zip(_spread(left, length), _spread(right, length), strict=True)
        dims = tuple(
            operation(a, b) if isinstance(a, int) and isinstance(b, int) else None for a, b in pairs
        )
        return Entries(dims, left.scalar and right.scalar)

    return combined


def _spread(one: Entries, length: int) -> tuple[Dim, ...]:
    return one.dims if len(one.dims) == length else one.dims * length


RULES: Mapping[str, Callable[[Mapping[str, Any], Sequence[Entries]], Entries | None]] = {
    "Gather": _gather,
    "Concat": _concat,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Cast": _cast,
    "Add": _arithmetic(lambda a, b: a + b),
    "Sub": _arithmetic(lambda a, b: a - b),
    "Mul": _arithmetic(lambda a, b: a * b),
}
"""How entries go through an operator; what is not listed is not followed."""


def reshape_target(target: Entries, source: tuple[Dim, ...] | None) -> Array | None:
    """Return a shape that `Reshape` (0 copies, -1 infers) reads as ``target``, or None.

    An open entry becomes 0 where the source has the same symbol in the same place; one
    that is left becomes -1.
    """
    dims: list[int] = []
    for place, dim in enumerate(target.dims):
        same = source is not None and place < len(source) and source[place] == dim
        dims.append(dim if isinstance(dim, int) else 0 if same and dim is not None else -1)
    return np.array(dims, np.int64) if dims.count(-1) <= 1 else None
