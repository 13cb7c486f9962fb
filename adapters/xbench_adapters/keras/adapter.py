"""Keras and SavedModels as a backend: the function that the user's own framework would run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from xbench.adapter import Availability, Facts, Limits
from xbench.authoring import installed, require
from xbench.errors import BackendUnavailableError, ModelError, UsageError
from xbench_adapters.tensorflow.adapter import FIX, TensorFlowAdapter

if TYPE_CHECKING:
    from xbench.adapter import Array, BoundModel
    from xbench_models.tensorflow.program import Program


class KerasAdapter:
    """Runs what a model was before it became ONNX; the harness owns the clock."""

    name: ClassVar[str] = "keras"
    variants: ClassVar[Mapping[str, str]] = {
        "": "the model as it is in graph mode, as `predict` and a serving signature run it",
        "xla": "the same, compiled by XLA",
    }
    takes_onnx: ClassVar[bool] = False

    def __init__(self, variant: str = "") -> None:
        if variant not in self.variants:
            known = ", ".join(one or "the default" for one in self.variants)
            raise UsageError(f"keras has no variant {variant!r}", f"It has {known}")
        self.variant = variant

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
        tensorflow = TensorFlowAdapter().prepare(limits)
        try:
            import keras
        except ImportError as error:
            raise BackendUnavailableError(self.name, str(error), FIX) from error
        return f"{keras.__version__} on TensorFlow {tensorflow}"

    def load(self, model: BoundModel, limits: Limits, precision: str) -> KerasSession:
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
        return KerasSession(model, found, traced, call, perf_counter() - start_s)


def _shapes(program: Program, model: BoundModel) -> dict[str, tuple[int, ...]]:
    """Return the shape of each input by the program's own names: both have the same order."""
    ours, theirs = len(program.inputs), len(model.inputs)
    if ours != theirs or len(program.outputs) != len(model.outputs):
        reason = f"{program.target} has {ours} inputs and {len(program.outputs)} outputs, and the "
        reason += f"ONNX file that was made from it {theirs} and {len(model.outputs)}"
        raise ModelError(reason, "It has changed since: run again")
    pairs = zip(program.inputs, model.inputs, strict=True)
    return {own.name: model.shapes[spec.name] for own, spec in pairs}


class KerasSession:
    """A model's function, fed NumPy arrays and read as NumPy arrays."""

    def __init__(
        self, model: BoundModel, program: Program, traced: Any, call: Any, convert_s: float
    ) -> None:
        import tensorflow as tf

        self._constant = tf.constant
        self._program: Program | None = program  # a function does not keep its variables
        self._traced = traced
        self._call = call
        self._compiled = call is not traced
        self._convert_s = convert_s
        self._importer = f"as it is: {program.target}"
        self._names = model.outputs
        self._order = tuple(spec.name for spec in model.inputs)
        self._feeds: list[Array] = []
        self._results: list[Any] = []

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Take the inputs of the next runs, by name."""
        from xbench_adapters.tensorflow.tensors import held

        self._feeds = [held(feeds[name]) for name in self._order]

    def run(self) -> None:
        """Run one inference; TensorFlow copies what it is given, as it does for its users.

        The results lie in the host's memory, where NumPy could read them without a copy.
        """
        self._results = self._call(*map(self._constant, self._feeds))

    def synchronize(self) -> None:
        """Return at once: a function's call returns when its results are there."""

    def outputs(self) -> dict[str, Array]:
        """Return copies of the outputs of the last run, by name, in the graph's order."""
        import numpy as np

        found = [np.array(one.numpy()) for one in self._results]
        return dict(zip(self._names, found, strict=True))

    def facts(self) -> Facts:
        """Return what TensorFlow tells: its settings, and how it really multiplies."""
        import tensorflow as tf

        from xbench_adapters.tensorflow.precision import multiplied_in
        from xbench_models.tensorflow.program import narrow

        threading = tf.config.threading
        below = "+".join(sorted(narrow(self._traced)))
        return Facts(
            precision=below or multiplied_in(compiled=self._compiled),
            threads=threading.get_intra_op_parallelism_threads() or None,  # 0: its own choice
            importer=self._importer,
            convert_s=self._convert_s,
            options={
                "mode": "xla" if self._compiled else "graph",
                "interop_threads": str(threading.get_inter_op_parallelism_threads()),
                "tf32": str(tf.config.experimental.tensor_float_32_execution_enabled()),
                "onednn_fpmath": os.environ.get("ONEDNN_DEFAULT_FPMATH_MODE", "").lower(),
            },
        )

    def close(self) -> None:
        """Let go of the model, its function and all arrays."""
        self._program = self._call = self._traced = None
        self._feeds, self._results = [], []
