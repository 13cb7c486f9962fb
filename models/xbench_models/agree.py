"""Whether an exported file computes what its module computes."""

from __future__ import annotations

from collections.abc import Callable
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

    Feeds = dict[str, NDArray[Any]]

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
    run_file = _runner(path)
    both = []
    for inputs in (recipe.inputs, other_inputs(recipe, batch)):
        _, wanted = run(recipe.module, inputs)
        found = run_file({name: value.numpy() for name, value in inputs.items()})
        for place, (want, have) in enumerate(zip(wanted, found, strict=True)):
            _compare(place, want.numpy(), have)
        both.append(wanted)
    return both[0], both[1]


def other_inputs(recipe: Recipe, batch: int | None) -> dict[str, Tensor]:
    """Return inputs unlike the examples, made of the same values so that all stay valid."""
    generator = torch.Generator().manual_seed(1)
    found = {}
    for name, example in recipe.inputs.items():
        if batch is not None and recipe.is_batched(name):
            example = example[torch.arange(batch) % example.shape[0]]
        for axis in recipe.axes.get(name, {}).keys() - {0}:  # half as long, where that is open
            example = example.narrow(axis, 0, (example.shape[axis] + 1) // 2)
        if example.is_floating_point() and not bool(example.any()):
            found[name] = torch.randn(example.shape, generator=generator, dtype=example.dtype)
        else:
            order = torch.randperm(example.numel(), generator=generator)
            found[name] = example.reshape(-1)[order].view(example.shape)
    return found


def _runner(path: Path) -> Callable[[Feeds], list[NDArray[Any]]]:
    """Return what runs the file.

    Raises:
        ModelError: When it runs, if an output has another shape than the file declares.
    """
    try:
        import onnxruntime
    except ImportError:  # slower by far, and always there
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(str(path))
        return lambda feeds: list(evaluator.run(None, feeds))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])

    def run_it(feeds: Feeds) -> list[NDArray[Any]]:
        values = list(session.run(None, feeds))
        for declared, value in zip(session.get_outputs(), values, strict=True):
            _refuse_wrong_shape(declared.name, tuple(declared.shape), value.shape)
        return values

    return run_it


def _refuse_wrong_shape(name: str, declared: tuple[int | str, ...], shape: tuple[int, ...]) -> None:
    pairs = zip(declared, shape, strict=True)
    if any(isinstance(length, int) and length != actual for length, actual in pairs):
        raise ModelError(
            f"an axis that should be open is not: output {name!r} is declared as {declared}, "
            f"and was {shape}",
            "Leave that axis out of the axes that the factory returns",
        )


def _compare(place: int, want: NDArray[Any], have: NDArray[Any]) -> None:
    error = _relative_error(want, have)
    if error > LARGEST_ERROR:
        raise ModelError(
            f"the exported file disagrees with the module: output {place} is off by "
            f"{error:.2g} of its size",
            "A module that draws random numbers, or whose Python code decides by its "
            "inputs' values, cannot be exported",
        )


def _relative_error(want: NDArray[Any], have: NDArray[Any]) -> float:
    """Return the norm of the difference over the norm of what is wanted; inf if incomparable."""
    if want.shape != have.shape or not np.array_equal(np.isnan(want), np.isnan(have)):
        return float("inf")
    want, have = (np.nan_to_num(array.astype(np.float64)) for array in (want, have))
    size, difference = np.linalg.norm(want), np.linalg.norm(want - have)
    return float(difference / size) if size else float(difference)
