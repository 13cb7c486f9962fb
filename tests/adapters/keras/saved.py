"""The adapter behind the public suite, which gives ONNX models: each is a SavedModel first."""

from __future__ import annotations

from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from xbench.adapter import BoundModel, Limits, Native
from xbench_adapters.keras import KerasAdapter

if TYPE_CHECKING:
    from xbench_adapters.tensorflow.session import TensorFlowSession


class SavedModelAdapter(KerasAdapter):
    """Runs the SavedModel that TensorFlow writes of an imported ONNX model."""

    def load(self, model: BoundModel, limits: Limits, precision: str) -> TensorFlowSession:
        """Return the session of the same model as a folder."""
        with TemporaryDirectory(prefix="xbench-saved-") as folder:
            write(model, folder)
            return super().load(replace(model, native=saved(folder)), limits, precision)


def saved(folder: str) -> Native:
    return Native("keras", "saved_model", folder)


def write(model: BoundModel, folder: str) -> None:
    """Write a SavedModel whose inputs and outputs are in the order of the ONNX model's."""
    import tensorflow as tf

    from xbench_adapters.tensorflow import import_onnx

    imported = import_onnx(model.path, model.shapes)
    named = [
        tf.TensorSpec(spec.shape, spec.dtype, name=f"input_{place:02}")
        for place, spec in enumerate(imported.call.input_signature)
    ]

    def serve(*inputs: Any) -> dict[str, Any]:
        return {f"output_{place:02}": one for place, one in enumerate(imported.call(*inputs))}

    served = tf.function(serve, input_signature=named, autograph=False)
    tf.saved_model.save(imported, folder, signatures=served)
