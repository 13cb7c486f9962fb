"""ONNX models in TensorFlow: `TensorFlowAdapter` measures them, `import_onnx` imports them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from xbench_adapters.tensorflow.adapter import TensorFlowAdapter

if TYPE_CHECKING:
    import onnx

    from xbench_adapters.tensorflow.importer import Imported

__all__ = ["TensorFlowAdapter", "import_onnx"]


def import_onnx(
    model: onnx.ModelProto | Path | str, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Imported:
    """Return a `tf.Module` that takes the graph's inputs in order and returns a tuple of outputs.

    Its ``call`` is a `tf.function` of native operations, which takes large weights from outside of
    the graph: they are held once, and no limit on the size of a graph is theirs.

    Args:
        model: A file, external data beside it, or a ModelProto, which is left as it was.
        shapes: The shape of inputs, by name; others keep the model's own, open or not.

    Raises:
        UnsupportedNodeError: If a node cannot be run as ONNX defines it.
        ModelError: If the model cannot be read or its nodes do not fit together.
        ShapeError: If a shape does not fit the model.
    """
    from xbench_adapters.tensorflow.importer import import_onnx as run_import

    return run_import(model, shapes)
