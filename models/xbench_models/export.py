"""A module to one ONNX file that every runtime reads, checked against the module."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xbench.errors import ModelError
from xbench_models.agree import check
from xbench_models.health import doubt
from xbench_models.outputs import run
from xbench_models.quiet import quiet
from xbench_models.recipe import Recipe, one_line

if TYPE_CHECKING:
    from onnx_ir import Function, Graph
    from torch.onnx import ONNXProgram

OPSET = 20  # has LayerNormalization and Gelu as whole operators, and every runtime reads it
TRACED_BATCH = 2  # 1 would be taken for a constant
CHECKED_BATCH = 3  # one that was not traced


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported file, and what its user should know.

    Attributes:
        path: The file; weights over 1.5 GB lie beside it.
        warnings: Each in one line.
    """

    path: Path
    warnings: tuple[str, ...]


def export(recipe: Recipe, path: Path) -> Exported:
    """Return the file at ``path``, which agrees with the module on seeded inputs.

    Where the module's batch axis cannot stay open, the file has the examples' batch size.

    Raises:
        ModelError: If the module cannot be exported, or the file disagrees with it.
    """
    warnings = []
    traced = _with_batch(recipe, TRACED_BATCH) if recipe.batch == 1 else recipe
    batch: int | None = CHECKED_BATCH if recipe.batch else None
    try:
        program = _trace(traced)
    except ModelError as error:
        if batch is None:
            raise
        traced, batch = replace(recipe, axes={}), None
        program = _trace(traced)
        warnings.append(f"the axes are fixed at the examples' lengths, since {error.reason}")
    _strip(program)
    program.save(path)
    _check_file(path)
    first, second = check(traced, path, batch)
    if reason := doubt(first, second):
        warnings.append(f"{reason}: no agreement between runtimes can be shown on this model")
    return Exported(path, tuple(warnings))


def _with_batch(recipe: Recipe, batch: int) -> Recipe:
    """Return the recipe with its examples repeated along the batch axis."""
    inputs = {
        name: value.repeat_interleave(batch, 0) if recipe.is_batched(name) else value
        for name, value in recipe.inputs.items()
    }
    return replace(recipe, inputs=inputs)


def _trace(recipe: Recipe) -> ONNXProgram:
    """Return the module as an ONNX program, its axes open as the recipe names them."""
    names, _ = _call(recipe)
    axes = {
        name: {axis: torch.export.Dim(symbol) for axis, symbol in recipe.axes.get(name, {}).items()}
        for name in recipe.inputs
    }
    try:
        with quiet():
            program = torch.onnx.export(
                recipe.module,
                (),
                kwargs=recipe.inputs,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=axes,
                input_names=list(recipe.inputs),
                output_names=names,
                verbose=False,
            )
    except Exception as error:  # the exporter raises whatever the module's code makes it
        raise ModelError(f"the module cannot be exported: {_cause(error)}") from error
    assert program is not None
    return program


def _call(recipe: Recipe) -> Any:
    try:
        return run(recipe.module, recipe.inputs)
    except ModelError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise ModelError(f"the module failed on its example inputs: {one_line(error)}") from error


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
