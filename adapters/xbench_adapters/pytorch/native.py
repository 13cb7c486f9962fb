"""A module that was written in PyTorch, run as it is instead of the ONNX file made from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbench.building import INSTALL_IT
from xbench.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from xbench.adapter import Native


class Positional:
    """A module that is called with tensors in the order of the file's inputs.

    Attributes:
        module: What is called, perhaps compiled.
        names: Of the inputs, in that order; those of the module's arguments.
    """

    def __init__(self, module: Any, names: Iterable[str]) -> None:
        from xbench_models.pytorch.outputs import tensors

        self._module = module
        self._names = tuple(names)
        self._tensors = tensors

    def __call__(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return the tensors of the answer, in the order of the file's outputs."""
        return list(self._tensors(self._module(**dict(zip(self._names, inputs, strict=True)))))


def load_native(native: Native) -> nn.Module:
    """Return the module in evaluation mode; its weights ask for no gradient.

    Raises:
        ModelError: If it cannot be loaded, or may not.
    """
    try:
        from xbench_models.pytorch.recipe import make
        from xbench_models.pytorch.source import load_pickle
        from xbench_models.pytorch.traced import load_program
    except ImportError as error:
        raise ModelError(f"{native.target} cannot be loaded: {error}", INSTALL_IT) from error
    if native.form == "factory":
        module = make(native.target, native.seed).module
    elif native.form == "pt2":
        module = load_program(Path(native.target), native.trusted).module
    elif native.form == "pickle":
        module = load_pickle(Path(native.target), native.trusted)
    else:
        raise ModelError(f"PyTorch does not run what is of the form {native.form!r}")
    return module.requires_grad_(False)
