"""A program that ``torch.export`` traced, called by the names of its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind, TensorArgument
from torch.utils import _pytree as pytree

from xbench.errors import ModelError
from xbench_models.factory import one_line
from xbench_models.pytorch.recipe import Axes, Recipe
from xbench_models.pytorch.vetting import refuse_doubtful
from xbench_models.quiet import quiet

if TYPE_CHECKING:
    from torch.export import ExportedProgram

SAVE_AGAIN = "Save it with torch.export.save by this version of PyTorch, or give a factory"


class Traced(nn.Module):
    """A program that takes its tensors by name, and whatever else as it was traced with."""

    def __init__(self, program: ExportedProgram, leaves: list[tuple[str, Any]]) -> None:
        super().__init__()
        self.program = program.module()
        self.leaves = leaves
        self.arguments = program.call_spec.in_spec

    def forward(self, **tensors: Tensor) -> Any:
        """Return what the program returns."""
        leaves = [tensors.get(name, value) for name, value in self.leaves]
        args, kwargs = pytree.tree_unflatten(leaves, self.arguments)
        return self.program(*args, **kwargs)

    def train(self, mode: bool = True) -> Traced:  # noqa: ARG002 # nn.Module's own signature
        """Return itself: a program has the mode that it was traced in."""
        return self


def load_program(path: Path, trusted: bool) -> Recipe:
    """Return the program in a ``.pt2``, and the inputs that it was traced with.

    Raises:
        ModelError: If it cannot be read, or may run code and is not trusted.
    """
    if not trusted:
        refuse_doubtful(path)
    program = _load(path, trusted)
    specs = [one for one in program.graph_signature.input_specs if one.kind is InputKind.USER_INPUT]
    if program.example_inputs is None:
        raise ModelError(f"{path} holds no example inputs", SAVE_AGAIN)
    args, kwargs = program.example_inputs
    values = pytree.tree_leaves((args, kwargs))
    if len(values) != len(specs):
        raise ModelError(f"{path} holds example inputs that its program does not take", SAVE_AGAIN)
    leaves = [(spec.arg.name, value) for spec, value in zip(specs, values, strict=True)]
    inputs = {
        spec.arg.name: value.detach()
        for spec, value in zip(specs, values, strict=True)
        if isinstance(spec.arg, TensorArgument)
    }
    if not inputs:
        raise ModelError(f"{path} takes no tensor", SAVE_AGAIN)
    axes, ranges = _open(program, inputs)
    kept = [(name, None if name in inputs else value) for name, value in leaves]
    return Recipe(Traced(program, kept), inputs, axes, program, ranges)


def _load(path: Path, trusted: bool) -> ExportedProgram:
    """Return the program; one that is not trusted never in the older format, which is pickles."""
    from torch.export.pt2_archive._package import load_pt2

    try:
        with quiet():
            if trusted:
                return torch.export.load(path)
            programs: dict[str, ExportedProgram] = load_pt2(str(path)).exported_programs
    except Exception as error:  # whatever a file of another version makes it raise
        raise ModelError(f"{path} cannot be loaded: {one_line(error)}", SAVE_AGAIN) from error
    if "model" not in programs:
        raise ModelError(f"{path} holds no program named 'model'", SAVE_AGAIN)
    return programs["model"]


def _open(
    program: ExportedProgram, inputs: dict[str, Tensor]
) -> tuple[Axes, dict[str, tuple[int, int]]]:
    """Return the names of the axes that were traced open, and the lengths that they may have."""
    axes: Axes = {}
    names: dict[Any, str] = {}
    for name, axis, symbol in _symbols(program, inputs):
        if symbol not in names:
            names[symbol] = f"{name}_{axis}" if axis or "batch" in names.values() else "batch"
        axes.setdefault(name, {})[axis] = names[symbol]
    ranges = {
        names[symbol]: (int(limits.lower), int(limits.upper) if limits.upper.is_Integer else 2**31)
        for symbol, limits in program.range_constraints.items()
        if symbol in names
    }
    return axes, ranges


def _symbols(program: ExportedProgram, inputs: dict[str, Tensor]) -> Iterator[tuple[str, int, Any]]:
    """Yield each open axis of an input, and the symbol of its length."""
    for node in program.graph.nodes:
        if node.op != "placeholder" or node.name not in inputs:
            continue
        for axis, length in enumerate(node.meta["val"].shape):
            if isinstance(length, torch.SymInt) and length.node.expr.is_Symbol:
                yield node.name, axis, length.node.expr
