"""Whether an exported file computes what its module computes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xbench.errors import ModelError
from xbench_models.outputs import run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xbench_models.recipe import Recipe

LARGEST_ERROR = 1e-3  # of the output's norm; fp32 sums in another order stay far below


def check(recipe: Recipe, path: Path, batch: int | None) -> tuple[list[Tensor], list[Tensor]]:
    """Return the module's outputs on the examples and on other inputs, if the file agrees.

    Args:
        recipe: The module, and example inputs.
        path: The exported file.
        batch: Batch size of the other inputs; None where it is not open.

    Raises:
        ModelError: If the file's outputs differ from the module's.
    """
    both = []
    for inputs in (recipe.inputs, other_inputs(recipe, batch)):
        _, wanted = run(recipe.module, inputs)
        for place, (want, have) in enumerate(zip(wanted, _run_file(path, inputs), strict=True)):
            error = _relative_error(want.numpy(), have)
            if error > LARGEST_ERROR:
                raise ModelError(
                    f"the exported file disagrees with the module: output {place} is off by "
                    f"{error:.2g} of its size",
                    "A module that draws random numbers, or whose Python code decides by its "
                    "inputs' values, cannot be exported",
                )
        both.append(wanted)
    return both[0], both[1]


def other_inputs(recipe: Recipe, batch: int | None) -> dict[str, Tensor]:
    """Return inputs unlike the examples, made of the same values so that all stay valid."""
    generator = torch.Generator().manual_seed(1)
    found = {}
    for name, example in recipe.inputs.items():
        if batch is not None and recipe.is_batched(name):
            example = example[torch.arange(batch) % example.shape[0]]
        if example.is_floating_point() and not bool(example.any()):
            found[name] = torch.randn(example.shape, generator=generator, dtype=example.dtype)
        else:
            order = torch.randperm(example.numel(), generator=generator)
            found[name] = example.flatten()[order].view(example.shape)
    return found


def _run_file(path: Path, inputs: dict[str, Tensor]) -> list[NDArray[Any]]:
    feeds = {name: value.numpy() for name, value in inputs.items()}
    try:
        import onnxruntime
    except ImportError:  # slower by far, and always there
        from onnx.reference import ReferenceEvaluator

        return list(ReferenceEvaluator(str(path)).run(None, feeds))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def _relative_error(want: NDArray[Any], have: NDArray[Any]) -> float:
    """Return the norm of the difference over the norm of what is wanted; inf if incomparable."""
    if want.shape != have.shape or not np.array_equal(np.isnan(want), np.isnan(have)):
        return float("inf")
    want, have = (np.nan_to_num(array.astype(np.float64)) for array in (want, have))
    size, difference = np.linalg.norm(want), np.linalg.norm(want - have)
    return float(difference / size) if size else float(difference)
