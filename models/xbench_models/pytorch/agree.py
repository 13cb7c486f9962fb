"""Whether an exported file computes what its module computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xbench.errors import ModelError
from xbench_models.comparing import LARGEST_ERROR, compare, runner
from xbench_models.pytorch.outputs import run

if TYPE_CHECKING:
    from xbench.adapter import Array
    from xbench_models.pytorch.recipe import Recipe

DETERMINED = (
    "A module that draws random numbers, or whose Python code decides by its inputs' values, "
    "cannot be exported"
)


def check(recipe: Recipe, path: Path, batch: int | None) -> tuple[list[Array], list[Array]]:
    """Return the module's outputs on the examples and on other inputs, if the file agrees.

    Args:
        recipe: The module, and example inputs.
        path: The exported file.
        batch: Batch size of the other inputs; None where it is not open.

    Raises:
        ModelError: If the file's outputs differ from the module's.
    """
    run_file = runner(path)
    both = []
    for inputs in (recipe.inputs, _accepted(recipe, batch)):
        _, wanted = run(recipe.module, inputs)
        found = run_file({name: value.numpy() for name, value in inputs.items()})
        if len(wanted) != len(found):
            reason = f"the module returns {len(wanted)} tensors, and the exported file {len(found)}"
            raise ModelError(reason, "Return each tensor once, and no numbers among them")
        own = [value.numpy() for value in wanted]
        for place, (want, have) in enumerate(zip(own, found, strict=True)):
            compare(place, want, have, LARGEST_ERROR, source="module", fix=DETERMINED)
        both.append(own)
    return both[0], both[1]


def _accepted(recipe: Recipe, batch: int | None) -> dict[str, Tensor]:
    """Return other inputs, in the examples' shapes if a traced program takes no others."""
    inputs = other_inputs(recipe, batch)
    if recipe.program is None:
        return inputs
    try:
        run(recipe.module, inputs)
    except Exception:  # the program's own conditions on its lengths, of any kind
        return other_inputs(replace(recipe, axes={}), None)
    return inputs


def other_inputs(recipe: Recipe, batch: int | None) -> dict[str, Tensor]:
    """Return inputs unlike the examples, made of the same values so that all stay valid."""
    generator = torch.Generator().manual_seed(1)
    batch = None if batch is None else _allowed(recipe, "batch", batch)
    found = {}
    for name, example in recipe.inputs.items():
        if batch is not None and recipe.is_batched(name):
            example = example[torch.arange(batch) % example.shape[0]]
        for axis, symbol in recipe.axes.get(name, {}).items():
            if symbol != "batch":  # half as long, where that is open
                half = _allowed(recipe, symbol, (example.shape[axis] + 1) // 2)
                example = example.narrow(axis, 0, min(half, example.shape[axis]))
        if example.is_floating_point() and not bool(example.any()):
            found[name] = torch.randn(example.shape, generator=generator, dtype=example.dtype)
        else:
            order = torch.randperm(example.numel(), generator=generator)
            found[name] = example.reshape(-1)[order].view(example.shape)
    return found


def _allowed(recipe: Recipe, symbol: str, length: int) -> int:
    """Return the length next to ``length`` that an open axis may have."""
    least, most = recipe.ranges.get(symbol, (length, length))
    return max(least, min(length, most))
