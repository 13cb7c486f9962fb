"""A module as PyTorch's users keep it: a factory's, a ``.pt2`` program, or a pickle."""

from __future__ import annotations

import inspect
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xbench.errors import ModelError
from xbench_models.factory import one_line
from xbench_models.pytorch.digest import digest
from xbench_models.pytorch.recipe import Recipe, make, normalise

__all__ = ["digest", "recipe"]

Shapes = Mapping[str, tuple[int, ...]]

PICKLE = (
    "is a pickle, which runs whatever its author wrote into it as soon as it is loaded: "
    "it could read, change or send anything that you can"
)
SAFER = "Ask for a .pt2 (torch.export.save) or give a factory; if you trust its author, add --trust"
GIVE_A_FACTORY = "Write a factory that builds the module and loads them, and give module:factory"
GIVE_EXAMPLES = (
    "Say the shape of each input, as in --shape {}=1x3x224x224, or give --inputs FILE.npz"
)


def recipe(
    form: str,
    target: str,
    seed: int,
    trusted: bool,
    shapes: Shapes | None = None,
    inputs: Path | None = None,
) -> Recipe:
    """Return a module and how to call it.

    Args:
        form: ``factory``, ``pt2`` or ``pickle``.
        target: ``module:factory``, or the file's path.
        seed: Of the weights that a factory draws.
        trusted: Whether the file may run code.
        shapes: Shapes of example inputs, by name; values are drawn.
        inputs: An ``.npz`` of example inputs, by name.

    Raises:
        ModelError: If it cannot be loaded, or may not.
    """
    examples = _read(inputs) if inputs is not None else {}
    if form == "pickle":
        module = load_pickle(Path(target), trusted)
        return normalise((module, _examples(module, shapes or {}, examples)), target)
    if form == "pt2":
        from xbench_models.pytorch.traced import load_program

        found = load_program(Path(target), trusted)
    else:
        found = make(target, seed)
    return _with_examples(found, shapes or {}, examples)


def load_pickle(path: Path, trusted: bool) -> nn.Module:
    """Return the module in a pickle, in evaluation mode.

    Raises:
        ModelError: If it may not be loaded, or holds no module.
    """
    if _is_torchscript(path):
        raise ModelError(
            f"{path} is a TorchScript archive, which cannot become ONNX",
            "Give the module that it was scripted from, by a factory or a .pt2",
        )
    if not trusted:
        raise ModelError(f"{path} {PICKLE}", SAFER)
    try:
        found = torch.load(path, map_location="cpu", weights_only=False)
    except (AttributeError, ImportError) as error:
        fix = "Run where the classes that it names can be imported, or give a factory"
        raise ModelError(f"{path} cannot be loaded: {one_line(error)}", fix) from error
    except Exception as error:  # the pickle's code may raise anything
        fix = "It must be what torch.save wrote of a whole module"
        raise ModelError(f"{path} cannot be loaded: {one_line(error)}", fix) from error
    if isinstance(found, nn.Module):
        return found.eval()
    if isinstance(found, Mapping) and _holds_tensors(found):
        raise ModelError(f"{path} holds weights without the module that uses them", GIVE_A_FACTORY)
    raise ModelError(f"{path} holds {type(found).__name__}, not a module", GIVE_A_FACTORY)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return any("/code/" in name for name in names) and any("constants.pkl" in n for n in names)


def _holds_tensors(found: Mapping[Any, Any]) -> bool:
    """Return whether a mapping is a state dict, or has one, as checkpoints do."""
    return any(
        isinstance(value, Tensor) or (isinstance(value, Mapping) and _holds_tensors(value))
        for value in found.values()
    )


def _read(path: Path) -> dict[str, Tensor]:
    """Return the arrays of the user's file as tensors; nothing in it is executed."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: torch.from_numpy(np.array(stored[name])) for name in stored.files}
    except (OSError, ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        fix = "Write it with numpy.savez(path, name=array, ...), one array an input"
        raise ModelError(f"{path} cannot be read: {one_line(error)}", fix) from error


def _examples(module: nn.Module, shapes: Shapes, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return example inputs of a module that brings none."""
    generator = torch.Generator().manual_seed(0)
    drawn = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    examples = {**drawn, **given}
    parameters = inspect.signature(module.forward).parameters.values()
    known = [
        one.name for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
    ]
    wanted = [
        one.name
        for one in parameters
        if one.name in known and one.default is inspect.Parameter.empty
    ]
    fix = GIVE_EXAMPLES.format(wanted[0] if wanted else "x")
    if not examples:
        takes = f": it takes {', '.join(known)}" if known else ""
        raise ModelError(f"a pickle has no example inputs{takes}", fix)
    open_ended = any(one.kind is one.VAR_KEYWORD for one in parameters)
    if unknown := [name for name in examples if name not in known and not open_ended]:
        reason = f"the module has no input {unknown[0]!r}: it takes {', '.join(known)}"
        raise ModelError(reason, fix)
    if missing := [name for name in wanted if name not in examples]:
        raise ModelError(
            f"nothing is said of the input {missing[0]!r}", GIVE_EXAMPLES.format(missing[0])
        )
    return {name: examples[name] for name in (*known, *examples) if name in examples}


def _with_examples(found: Recipe, shapes: Shapes, given: dict[str, Tensor]) -> Recipe:
    """Return a recipe that brings example inputs with others in their place."""
    from dataclasses import replace

    if unknown := [name for name in (*shapes, *given) if name not in found.inputs]:
        reason = f"there is no input {unknown[0]!r}"
        raise ModelError(reason, f"It has {', '.join(found.inputs)}")
    drawn = {name: _redrawn(found.inputs[name], shape) for name, shape in shapes.items()}
    changed = {**found.inputs, **drawn, **given}
    for name, value in changed.items():
        own = found.inputs[name]
        if (value.dim(), value.dtype) != (own.dim(), own.dtype):
            reason = f"input {name!r} is {own.dtype} with {own.dim()} axes, not {value.dtype}"
            raise ModelError(f"{reason} with {value.dim()}", "Give it as its model takes it")
    return replace(found, inputs=changed)


def _redrawn(example: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return an input of another shape; whole numbers are those of the example, in any order."""
    generator = torch.Generator().manual_seed(0)
    if example.is_floating_point():
        return torch.randn(shape, generator=generator).to(example.dtype)
    picked = torch.randint(max(1, example.numel()), shape, generator=generator)
    return (
        example.reshape(-1)[picked] if example.numel() else torch.zeros(shape, dtype=example.dtype)
    )
