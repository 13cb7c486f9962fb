"""ONNX models in PyTorch: `PyTorchAdapter` measures them, `import_onnx` imports them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from xbench_adapters.pytorch.adapter import PyTorchAdapter

if TYPE_CHECKING:
    import onnx
    import torch.fx

__all__ = ["PyTorchAdapter", "import_onnx"]


def import_onnx(
    model: onnx.ModelProto | Path | str, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> torch.fx.GraphModule:
    """Return a module that takes the graph's inputs in order and returns a tuple of its outputs.

    It is in evaluation mode, its parameters ask for no gradient, and both
    `torch.export.export` and `torch.compile(fullgraph=True)` accept it.

    Args:
        model: A file, external data beside it, or a ModelProto, which is left as it was.
        shapes: The shape of inputs, by name; needed where the model leaves dimensions open
            that its shape arithmetic depends on.

    Raises:
        UnsupportedNodeError: If a node cannot be run as ONNX defines it.
        ModelError: If the model cannot be read or its nodes do not fit together.
        ShapeError: If a shape does not fit the model.
    """
    from xbench_adapters.pytorch.importer import import_onnx as run_import

    return run_import(model, shapes)
