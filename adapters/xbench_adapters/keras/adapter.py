"""Keras and SavedModels as a backend: the function that the user's own framework would run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

from xbench.adapter import AS_GIVEN, Availability, Limits
from xbench.authoring import chosen, installed
from xbench.errors import BackendUnavailableError, ModelError, UsageError
from xbench_adapters.tensorflow import process
from xbench_adapters.tensorflow.adapter import TensorFlowAdapter
from xbench_adapters.tensorflow.process import FIX

if TYPE_CHECKING:
    from xbench.adapter import BoundModel
    from xbench_adapters.tensorflow.session import TensorFlowSession
    from xbench_models.tensorflow.program import Program

AS_THEY_ARE = ("fp32", "tf32")
"""At other precisions the file is narrowed, and a model of Keras's own is none."""


class KerasAdapter:
    """Runs what a model was before it became ONNX; the harness owns the clock."""

    name: ClassVar[str] = "keras"
    variants: ClassVar[Mapping[str, str]] = {
        "": "the model as it is in graph mode, as `predict` and a serving signature run it",
        "onednn": "the same, with oneDNN's kernels",
        "xla": "the same, compiled by XLA",
    }
    takes_onnx: ClassVar[bool] = False
    kinds: ClassVar[frozenset[str]] = frozenset({"cpu", "cuda"})
    variant_kinds: ClassVar[Mapping[str, frozenset[str]]] = {"onednn": frozenset({"cpu"})}

    def __init__(self, variant: str = "") -> None:
        self.variant = chosen(self.name, self.variants, variant)

    def available(self) -> Availability:
        """Return whether Keras and a distribution of TensorFlow are installed."""
        found = TensorFlowAdapter().available()
        if found.reason:
            return found
        return replace(installed(("keras",), FIX), devices=found.devices)

    def prepare(self, limits: Limits) -> str:
        """Import Keras on TensorFlow, set as its own adapter sets it, and return both versions.

        Raises:
            BackendUnavailableError: If either cannot be imported, or cannot use the GPU.
            UsageError: If TensorFlow has run in this process before, with other threads.
        """
        os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported
        onednn = self.variant == "onednn"
        tensorflow = process.prepare(limits, backend=self.name, onednn=onednn)
        try:
            import keras
        except ImportError as error:
            raise BackendUnavailableError(self.name, str(error), FIX) from error
        return f"{keras.__version__} on TensorFlow {tensorflow}"

    def load(self, model: BoundModel, limits: Limits, precision: str) -> TensorFlowSession:
        """Return a session that runs what ``model`` was made from, as it is.

        Raises:
            UsageError: If it was made from nothing that Keras runs, it would have to be narrowed,
                or the device cannot be held.
            ModelError: If it cannot be loaded, or is no longer what the ONNX file was made from.
            UnsupportedNodeError: If XLA cannot compile it.
            DeviceMemoryError: If its weights do not fit the GPU.
        """
        process.require_kernels(limits, precision, self.variant, backend=self.name)
        if precision not in AS_THEY_ARE:
            reason = f"keras runs models as they are, and none is narrowed to {precision}"
            raise UsageError(reason, "Use tensorflow, which runs the narrowed ONNX file")
        native = model.native
        if native is None or native.framework != self.name:
            reason = "keras runs Keras models and SavedModels, and this is an ONNX file"
            raise UsageError(reason, "Use tensorflow, which runs ONNX models")
        process.hold(limits, precision)
        from xbench_adapters.tensorflow.memory import typed_memory
        from xbench_adapters.tensorflow.precision import effective
        from xbench_adapters.tensorflow.resident import session_on
        from xbench_adapters.tensorflow.session import Loaded
        from xbench_models.tensorflow.source import program

        with typed_memory(on_gpu=process.wants_gpu(limits)):
            found = program(native.form, native.target, native.seed, native.trusted)
            start_s = perf_counter()
            call = traced = found.traced(_shapes(found, model))
            if self.variant == "xla":
                from xbench_adapters.keras.xla import compiled

                call = compiled(traced)
        is_compiled = call is not traced
        loaded = Loaded(
            call=call,
            owner=found,
            compiled=is_compiled,
            precision=partial(effective, traced, call if is_compiled else None),
            importer=f"{AS_GIVEN}: {found.target}",
            convert_s=perf_counter() - start_s,
            dtypes=[None] * len(model.outputs),
        )
        return session_on(model, loaded, limits)


def _shapes(program: Program, model: BoundModel) -> dict[str, tuple[int, ...]]:
    """Return the shape of each input by the program's own names: both have the same order."""
    ours, theirs = len(program.inputs), len(model.inputs)
    if ours != theirs or len(program.outputs) != len(model.outputs):
        reason = f"{program.target} has {ours} inputs and {len(program.outputs)} outputs, and the "
        reason += f"ONNX file that was made from it {theirs} and {len(model.outputs)}"
        raise ModelError(reason, "It has changed since: run again")
    pairs = zip(program.inputs, model.inputs, strict=True)
    return {own.name: model.shapes[spec.name] for own, spec in pairs}
