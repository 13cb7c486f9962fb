"""Functions that only move elements, applied to text as well as to tensors.

Text has no tensor: it is a NumPy array of objects. What moves numbers moves their places
too, and the places tell where each piece of text goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np
import torch

if TYPE_CHECKING:
    from xbench.graph.plain import Array
    from xbench_adapters.pytorch.builder import Builder

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Placer = Callable[Concatenate[torch.Tensor, torch.Tensor, Arguments], torch.Tensor]

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def moves(
    function: Callable[Concatenate[torch.Tensor, Arguments], Result],
) -> Callable[Concatenate[torch.Tensor, Arguments], Result]:
    """Return ``function`` for text too, where it moves elements and looks at none of them."""

    @wraps(function)
    def either(x: torch.Tensor, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if not isinstance(x, np.ndarray):
            return function(x, *args, **kwargs)
        places = torch.arange(x.size).reshape(x.shape)
        found: Any = function(places, *args, **kwargs)
        moved: Any = (
            tuple(text_at(x, one) for one in found)
            if isinstance(found, tuple)
            else (text_at(x, found))
        )
        return cast("Result", moved)  # arrays where tensors are declared

    return cast("Callable[Concatenate[torch.Tensor, Arguments], Result]", either)


def moves_both(function: Placer[Arguments]) -> Placer[Arguments]:
    """Return ``function`` for text too, where it only moves the elements of two tensors."""

    @wraps(function)
    def either(
        x: torch.Tensor, new: torch.Tensor, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> torch.Tensor:
        if not isinstance(x, np.ndarray):
            return function(x, new, *args, **kwargs)
        held: Any = np.asarray(new)
        places = torch.arange(x.size).reshape(x.shape)
        others = x.size + torch.arange(held.size).reshape(held.shape)
        elements = np.concatenate([x.reshape(-1), held.reshape(-1)])
        found: Any = text_at(elements, function(places, others, *args, **kwargs))
        return found  # an array, where a tensor is declared

    return either


def stacked(rows: Sequence[Any], axis: int) -> Any:
    """Return tensors, or arrays of text, stacked along a new axis."""
    if isinstance(rows[0], np.ndarray):
        return np.stack(rows, axis)
    return torch.stack([_bits(one) for one in rows], axis).view(rows[0].dtype)


def joined(rows: Sequence[Any], axis: int) -> Any:
    """Return tensors, or arrays of text, one after the other along an axis."""
    if isinstance(rows[0], np.ndarray):
        return np.concatenate(rows, axis)
    return torch.cat([_bits(one) for one in rows], axis).view(rows[0].dtype)


def _bits(x: torch.Tensor) -> torch.Tensor:
    """Return the elements of a type that PyTorch has few kernels for as numbers of that size."""
    rare = x.dtype in (torch.uint16, torch.uint32, torch.uint64) or (
        x.dtype.is_floating_point and x.dtype.itemsize == 1
    )
    return x.view(_BITS[x.dtype.itemsize]) if rare else x


def text_at(x: Array, places: torch.Tensor) -> Array:
    """Return the elements at flat places, in the shape of ``places``."""
    found = np.empty(tuple(places.shape), dtype=object)
    found[...] = x.reshape(-1)[places.numpy()]
    return found


def is_text(to: Builder, name: str) -> bool:
    """Return whether ``name`` is text, or may be: PyTorch's own functions take tensors only."""
    dtype = to.graph.value(name).dtype
    return dtype is None or dtype.name == "object"
