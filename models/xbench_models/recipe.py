"""What a factory returns, brought into one form."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from xbench.errors import ModelError

Axes = dict[str, dict[int, str]]
Made = tuple[nn.Module, dict[str, Tensor]]
MadeOpen = tuple[nn.Module, dict[str, Tensor], Axes]
RETURN_IT = "The factory must return `(module, example_inputs)`"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A module and how to call it.

    Attributes:
        module: In evaluation mode.
        inputs: Example inputs, by the name of the argument of ``forward``, in its order.
        axes: Names of the open axes of each input; ``batch`` among them where there is one.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    axes: Axes

    @property
    def batch(self) -> int | None:
        """Return the examples' batch size; None where no axis is one."""
        sizes = (value.shape[0] for name, value in self.inputs.items() if self.is_batched(name))
        return next(sizes, None)

    def is_batched(self, name: str) -> bool:
        """Return whether the input's first axis is the batch."""
        return self.axes.get(name, {}).get(0) == "batch"


def make(target: str, seed: int) -> Recipe:
    """Return what the factory ``module:factory`` makes, its random numbers seeded.

    Raises:
        ModelError: If there is no such factory, it fails, or it returns something else.
    """
    factory = _find(target)
    torch.manual_seed(seed)
    try:
        made = factory()
    except Exception as error:  # the user's code may raise anything
        raise ModelError(f"{target} failed: {one_line(error)}") from error
    return normalise(made, target)


def normalise(made: Any, target: str) -> Recipe:
    """Return the recipe in what a factory returned.

    Raises:
        ModelError: If it is not ``(module, example_inputs)``, with axes as a third if wanted.
    """
    if isinstance(made, nn.Module):
        raise ModelError(f"{target} returned a module without example inputs", RETURN_IT)
    if not isinstance(made, tuple) or len(made) not in (2, 3) or not isinstance(made[0], nn.Module):
        raise ModelError(f"{target} returned {type(made).__name__}, not a module", RETURN_IT)
    module = made[0].eval()
    inputs = _named(module, made[1], target)
    if not inputs:
        raise ModelError(f"{target} returned no example input", RETURN_IT)
    axes: Axes = {name: dict(open_) for name, open_ in (made[2] if len(made) == 3 else {}).items()}
    for name in batched(inputs):
        if "batch" not in axes.get(name, {}).values():
            axes.setdefault(name, {}).setdefault(0, "batch")
    return Recipe(module, inputs, axes)


def batched(inputs: Mapping[str, Tensor]) -> list[str]:
    """Return the inputs that share the leading dimension of the first one that has any."""
    leading = next((int(value.shape[0]) for value in inputs.values() if value.dim()), None)
    return [name for name, value in inputs.items() if value.dim() and value.shape[0] == leading]


def one_line(error: BaseException) -> str:
    """Return the kind and the first line of an error."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0].rstrip('.')}" if said else type(error).__name__


def _find(target: str) -> Callable[[], Any]:
    module_name, _, path = target.partition(":")
    try:
        found: Any = import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise ModelError(f"there is no {path!r} in {module_name}") from error
    except Exception as error:  # the user's module may raise anything
        raise ModelError(f"{module_name} cannot be imported: {one_line(error)}") from error
    if not callable(found):
        raise ModelError(f"{target} is no function", RETURN_IT)
    factory: Callable[[], Any] = found
    return factory


def _named(module: nn.Module, examples: Any, target: str) -> dict[str, Tensor]:
    """Return the example inputs by the name of the argument that takes them."""
    if isinstance(examples, Tensor):
        examples = (examples,)
    if isinstance(examples, tuple | list):
        names = list(inspect.signature(module.forward).parameters)
        if len(examples) > len(names):
            names = [f"input_{place}" for place in range(len(examples))]
        examples = dict(zip(names, examples, strict=False))
    if not isinstance(examples, Mapping) or not all(
        isinstance(value, Tensor) for value in examples.values()
    ):
        raise ModelError(f"{target} returned example inputs that are not tensors", RETURN_IT)
    return dict(examples)
