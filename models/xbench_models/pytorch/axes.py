"""Names of a program's open axes, in a file that numbers them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx_ir import Model, Value

    from xbench_models.pytorch.recipe import Axes


def name_axes(model: Model, axes: Axes) -> None:
    """Give the open axes of a file the recipe's names instead of ``s77``, wherever they stand."""
    names = dict(_renamed(model, axes))
    if not names:
        return
    pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, names)) + r")\b")
    for value in _values(model):
        if value.shape is None:
            continue
        for axis, length in enumerate(value.shape):
            if not isinstance(length, int) and length.value is not None:
                value.shape[axis] = pattern.sub(lambda found: names[found[0]], length.value)


def _renamed(model: Model, axes: Axes) -> Iterator[tuple[str, str]]:
    """Yield what the file calls each open axis of an input, and what the recipe does."""
    for value in model.graph.inputs:
        for axis, name in axes.get(value.name or "", {}).items():
            length = value.shape[axis] if value.shape is not None else None
            if length is not None and not isinstance(length, int) and length.value:
                yield length.value, name


def _values(model: Model) -> Iterator[Value]:
    yield from model.graph.inputs
    for node in model.graph.all_nodes():
        yield from node.outputs
