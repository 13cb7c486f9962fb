"""The tensors that a module returns, whatever it wraps them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from xbench.errors import ModelError


def run(module: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[list[str] | None, list[Tensor]]:
    """Return the names of the outputs, where the module gives them, and the outputs in order.

    Raises:
        ModelError: If it returns no tensor.
    """
    with torch.no_grad():
        returned = module(**inputs)
    outputs = [one.detach() for one in tensors(returned)]
    if not outputs:
        raise ModelError(f"the module returned {type(returned).__name__}, which holds no tensor")
    return _names(returned, len(outputs)), outputs


def tensors(returned: Any) -> Iterator[Tensor]:
    """Yield the tensors in what a module returned, in the order of an exported file's outputs."""
    if isinstance(returned, Tensor):
        yield returned
    elif isinstance(returned, Mapping):
        yield from tensors(list(returned.values()))
    elif isinstance(returned, list | tuple):
        for value in returned:
            yield from tensors(value)


def _names(returned: Any, count: int) -> list[str] | None:
    if not isinstance(returned, Mapping):
        return None
    names = [str(name) for name, value in returned.items() if value is not None]
    return names if len(names) == count else None  # nested: the exporter names them
