"""What a factory returns, brought into one form."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from xbench.errors import ModelError
from xbench_models.factory import call

if TYPE_CHECKING:
    from torch.export import ExportedProgram

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
        program: What the module was loaded from, where that has been traced already: its axes
            are open as they were traced, and by these names in the file.
        ranges: The least and the greatest length of open axes, where these are known.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    axes: Axes
    program: ExportedProgram | None = None
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)

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
    return normalise(call(target, seed), target)


def normalise(made: Any, target: str) -> Recipe:
    """Return the recipe in what a factory returned.

    Raises:
        ModelError: If it is not ``(module, example_inputs)``, with axes as a third if wanted.
    """
    if isinstance(made, nn.Module):
        raise ModelError(f"{target} returned a module without example inputs", RETURN_IT)
    if not isinstance(made, tuple) or len(made) not in (2, 3) or not isinstance(made[0], nn.Module):
        raise ModelError(f"{target} returned {type(made).__name__}, not a module", RETURN_IT)
    try:
        module = made[0].eval()
    except NotImplementedError as error:  # a traced program knows one mode only
        fix = "Save it with torch.export.save, and give that file"
        raise ModelError(f"{target} returned a program that torch.export traced", fix) from error
    inputs = _named(module, made[1], target)
    if not inputs:
        raise ModelError(f"{target} returned no example input", RETURN_IT)
    axes = _axes(made[2], inputs, target) if len(made) == 3 else {}
    for name in batched(inputs):
        if "batch" not in axes.get(name, {}).values():
            axes.setdefault(name, {}).setdefault(0, "batch")
    return Recipe(module, inputs, axes)


def batched(inputs: Mapping[str, Tensor]) -> list[str]:
    """Return the inputs that share the leading dimension of the first one that has any."""
    leading = next((int(value.shape[0]) for value in inputs.values() if value.dim()), None)
    return [name for name, value in inputs.items() if value.dim() and value.shape[0] == leading]


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
    return {str(name): value.detach() for name, value in examples.items()}


def _axes(given: Any, inputs: Mapping[str, Tensor], target: str) -> Axes:
    """Return the names of open axes by input and place, if they are of inputs that there are."""
    fix = "The third must be like `{'input_ids': {1: 'sequence'}}`, by the names of the inputs"
    if not isinstance(given, Mapping) or not all(isinstance(o, Mapping) for o in given.values()):
        raise ModelError(f"{target} returned axes that are no dictionary of dictionaries", fix)
    for name, opened in given.items():
        if name not in inputs:
            raise ModelError(f"{target} returned axes of {name!r}, which is no input", fix)
        if not all(axis in range(inputs[name].dim()) for axis in opened):
            raise ModelError(f"{target} returned axes that input {name!r} does not have", fix)
    return {name: dict(opened) for name, opened in given.items()}
