"""Keras and SavedModels as a backend: the function that the user's own framework would run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

from xbench.adapter import AS_GIVEN, Availability, Limits
from xbench.authoring import chosen, installed, require
from xbench.errors import BackendUnavailableError, ModelError, UsageError
from xbench_adapters.tensorflow.adapter import FIX, TensorFlowAdapter

if TYPE_CHECKING:
    from xbench.adapter import BoundModel
    from xbench_adapters.tensorflow.session import TensorFlowSession
    from xbench_models.tensorflow.program import Program


class KerasAdapter:
    """Runs what a model was before it became ONNX; the harness owns the clock."""

    name: ClassVar[str] = "keras"
    variants: ClassVar[Mapping[str, str]] = {
        "": "the model as it is in graph mode, as `predict` and a serving signature run it",
        "onednn": "the same, with oneDNN's kernels",
        "xla": "the same, compiled by XLA",
    }
    takes_onnx: ClassVar[bool] = False
    kinds: ClassVar[frozenset[str]] = frozenset({"cpu"})

    def __init__(self, variant: str = "") -> None:
        self.variant = chosen(self.name, self.variants, variant)

    def available(self) -> Availability:
        """Return whether Keras and a distribution of TensorFlow are installed."""
        found = TensorFlowAdapter().available()
        return found if found.reason else installed(("keras",), FIX)

    def prepare(self, limits: Limits) -> str:
        """Import Keras on TensorFlow, set as its own adapter sets it, and return both versions.

        Raises:
            UsageError: If it has run in this process before, with other threads.
        """
        os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported
        kernels = "onednn" if self.variant == "onednn" else ""
        tensorflow = TensorFlowAdapter(kernels).prepare(limits)
        try:
            import keras
        except ImportError as error:
            raise BackendUnavailableError(self.name, str(error), FIX) from error
        return f"{keras.__version__} on TensorFlow {tensorflow}"

    def load(self, model: BoundModel, limits: Limits, precision: str) -> TensorFlowSession:
        """Return a session that runs what ``model`` was made from, on the CPU at fp32.

        Raises:
            UsageError: If it was made from nothing that Keras runs, or another precision or
                device is asked for.
            ModelError: If it cannot be loaded, or is no longer what the ONNX file was made from.
            UnsupportedNodeError: If XLA cannot compile it.
        """
        require(limits, precision, backend=self.name)
        native = model.native
        if native is None or native.framework != self.name:
            reason = "keras runs Keras models and SavedModels, and this is an ONNX file"
            raise UsageError(reason, "Use tensorflow, which runs ONNX models")
        import tensorflow as tf

        from xbench_adapters.tensorflow.precision import multiplied_in
        from xbench_adapters.tensorflow.session import Loaded, TensorFlowSession
        from xbench_models.tensorflow.program import narrow
        from xbench_models.tensorflow.source import program

        if (set_to := tf.config.threading.get_intra_op_parallelism_threads()) != limits.threads:
            raise UsageError(f"TensorFlow is set to {set_to} threads", "Prepare it for the same")
        found = program(native.form, native.target, native.seed, native.trusted)
        start_s = perf_counter()
        traced = found.traced(_shapes(found, model))
        call = traced
        if self.variant == "xla":
            from xbench_adapters.keras.xla import compiled

            call = compiled(traced)
        below = "+".join(sorted(narrow(traced)))
        is_compiled = call is not traced
        return TensorFlowSession(
            model,
            Loaded(
                call=call,
                owner=found,
                compiled=is_compiled,
                precision=lambda: below or multiplied_in(compiled=is_compiled),
                importer=f"{AS_GIVEN}: {found.target}",
                convert_s=perf_counter() - start_s,
                dtypes=[None] * len(model.outputs),
            ),
        )


def _shapes(program: Program, model: BoundModel) -> dict[str, tuple[int, ...]]:
    """Return the shape of each input by the program's own names: both have the same order."""
    ours, theirs = len(program.inputs), len(model.inputs)
    if ours != theirs or len(program.outputs) != len(model.outputs):
        reason = f"{program.target} has {ours} inputs and {len(program.outputs)} outputs, and the "
        reason += f"ONNX file that was made from it {theirs} and {len(model.outputs)}"
        raise ModelError(reason, "It has changed since: run again")
    pairs = zip(program.inputs, model.inputs, strict=True)
    return {own.name: model.shapes[spec.name] for own, spec in pairs}
