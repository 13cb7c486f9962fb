"""Functions that only move elements, applied to text as well as to tensors.

Text has no tensor: it is a NumPy array of objects. What moves numbers moves their places
too, and the places tell where each piece of text goes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np
import torch

if TYPE_CHECKING:
    from xbench.graph.plain import Array
    from xbench_adapters.pytorch.builder import Builder

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


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


def text_at(x: Array, places: torch.Tensor) -> Array:
    """Return the elements at flat places, in the shape of ``places``."""
    found = np.empty(tuple(places.shape), dtype=object)
    found[...] = x.reshape(-1)[places.numpy()]
    return found


def is_text(to: Builder, name: str) -> bool:
    """Return whether ``name`` is text, or may be: PyTorch's own functions take tensors only."""
    dtype = to.graph.value(name).dtype
    return dtype is None or dtype.name == "object"
