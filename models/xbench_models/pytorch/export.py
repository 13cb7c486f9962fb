"""A module to one ONNX file that every runtime reads, checked against the module."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from xbench.errors import ModelError
from xbench_models.comparing import doubt
from xbench_models.exported import Exported
from xbench_models.factory import one_line
from xbench_models.pytorch.agree import check, other_inputs
from xbench_models.pytorch.axes import name_axes
from xbench_models.pytorch.outputs import run
from xbench_models.pytorch.recipe import Axes, Recipe
from xbench_models.quiet import quiet

if TYPE_CHECKING:
    from onnx_ir import Function, Graph
    from torch.onnx import ONNXProgram

OPSET = 20  # has LayerNormalization and Gelu as whole operators, and every runtime reads it
TRACED_BATCH = 2  # 1 would be taken for a constant
CHECKED_BATCH = 3  # one that was not traced


def export(recipe: Recipe, path: Path) -> Exported:
    """Return the file at ``path``, which agrees with the module on seeded inputs.

    Where the module's axes cannot stay open, the file has the examples' lengths.

    Raises:
        ModelError: If the module cannot be exported, or the file disagrees with it.
    """
    program, traced, warnings = _first_that_traces(recipe)
    _strip(program)
    if recipe.program is not None:
        name_axes(program.model, traced.axes)
    program.save(path)
    _check_file(path)
    first, second = check(traced, path, _checked_batch(traced))
    if reason := doubt(first, second):
        warnings.append(f"{reason}: no agreement between runtimes can be shown on this model")
    return Exported(path, tuple(warnings))


def _first_that_traces(recipe: Recipe) -> tuple[ONNXProgram, Recipe, list[str]]:
    """Return the program with as many open axes as can be, how it was traced, and warnings."""
    errors: list[ModelError] = []
    for attempt, fixed in _attempts(recipe):
        try:
            program = _trace(attempt)
        except ModelError as error:
            errors.append(error)
            continue
        return program, attempt, [f"{fixed}, since {one.reason}" for one in errors[:1]]
    raise errors[0]


def _attempts(recipe: Recipe) -> Iterator[tuple[Recipe, str]]:
    """Yield the recipe with fewer and fewer open axes, and what that makes of them."""
    opened = _with_batch(recipe, TRACED_BATCH) if recipe.batch == 1 else recipe
    if recipe.program is not None:  # it was traced with its own
        yield recipe, ""
        return
    yield opened, ""
    batch: Axes = {name: {0: "batch"} for name in recipe.inputs if recipe.is_batched(name)}
    if batch and batch != {name: own for name, own in recipe.axes.items() if own}:
        yield replace(opened, axes=batch), "all axes but the batch are fixed"
    if recipe.batch:
        yield replace(recipe, axes={}), "the axes are fixed at the examples' lengths"


def _with_batch(recipe: Recipe, batch: int) -> Recipe:
    """Return the recipe with its examples repeated along the batch axis."""
    inputs = {
        name: value.repeat_interleave(batch, 0) if recipe.is_batched(name) else value
        for name, value in recipe.inputs.items()
    }
    return replace(recipe, inputs=inputs)


def _trace(recipe: Recipe) -> ONNXProgram:
    """Return the module as an ONNX program, its axes open as the recipe names them."""
    names, _ = _call(recipe, recipe.inputs, "its example inputs")
    if recipe.program is None and any(recipe.axes.values()):
        _call(recipe, other_inputs(recipe, _checked_batch(recipe)), "inputs of other lengths")
    made_of: dict[str, Any] = {"model": recipe.program}
    if recipe.program is None:
        axes = {
            name: {axis: torch.export.Dim(symbol) for axis, symbol in opened.items()}
            for name, opened in ((name, recipe.axes.get(name, {})) for name in recipe.inputs)
        }
        made_of = {"model": _spelled(recipe), "kwargs": recipe.inputs, "dynamic_shapes": axes}
    try:
        with quiet():
            program = torch.onnx.export(
                **made_of,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(recipe.inputs),
                output_names=names,
                verbose=False,
            )
    except Exception as error:  # the exporter raises whatever the module's code makes it
        fix = "Give the module itself, by a factory" if recipe.program else ""
        raise ModelError(f"the module cannot be exported: {_cause(error)}", fix) from error
    assert program is not None
    return program


class _Spelled(nn.Module):
    """A module whose ``forward`` takes ``**inputs``, under a signature that has their names.

    ``torch.export`` mistakes where the open axes of such arguments belong.
    """

    def __init__(self, module: nn.Module, names: Iterable[str]) -> None:
        super().__init__()
        self.module = module

        def forward(**inputs: Tensor) -> Any:
            return module(**inputs)

        parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # any function has one
        self.forward = forward


def _spelled(recipe: Recipe) -> nn.Module:
    """Return the module, each input among the parameters of its ``forward``."""
    parameters = inspect.signature(recipe.module.forward).parameters
    if recipe.inputs.keys() <= parameters.keys():
        return recipe.module
    return _Spelled(recipe.module, recipe.inputs).eval()


def _call(recipe: Recipe, inputs: Mapping[str, Tensor], which: str) -> Any:
    try:
        return run(recipe.module, inputs)
    except ModelError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise ModelError(f"the module failed on {which}: {one_line(error)}") from error


def _checked_batch(recipe: Recipe) -> int | None:
    return CHECKED_BATCH if recipe.batch else None


def _cause(error: BaseException) -> str:
    """Return the first error of the chain in one line: the exporter wraps it in advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)


def _strip(program: ONNXProgram) -> None:
    """Remove what the exporter noted on each part: sources, stack traces, paths of this machine."""
    model = program.model
    model.doc_string = None
    model.metadata_props.clear()
    _strip_nodes(model.graph)
    for function in model.functions.values():
        _strip_nodes(function)
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


def _strip_nodes(graph: Graph | Function) -> None:
    graph.doc_string = None
    graph.metadata_props.clear()
    for node in graph.all_nodes():
        node.doc_string = None
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


def _check_file(path: Path) -> None:
    import onnx

    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise ModelError(f"the exporter wrote an invalid file: {one_line(error)}") from error
