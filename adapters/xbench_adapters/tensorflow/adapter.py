"""TensorFlow as a backend: an imported function, run as a graph or compiled by XLA."""

from __future__ import annotations

import os
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

from xbench import __version__
from xbench.adapter import Availability, Limits
from xbench.authoring import chosen, installed, require
from xbench.errors import BackendUnavailableError, UsageError

if TYPE_CHECKING:
    from xbench.adapter import BoundModel
    from xbench.graph.plain import Graph
    from xbench_adapters.tensorflow.session import TensorFlowSession

FIX = "Install it with: pip install 'xbench[tensorflow]'"
DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu")

ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "1",  # warnings and errors, which the worker's log keeps
    "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",  # oneDNN computes float32, and could do so in bf16
    "TF_SET_ONEDNN_FPMATH_MODE": "",  # TensorFlow's own name for the same
}
"""Read when TensorFlow is imported, or when it first computes; there are no calls for these."""

NARROWING = (
    "auto_mixed_precision",
    "auto_mixed_precision_onednn_bfloat16",
    "auto_mixed_precision_mkl",
    "auto_mixed_precision_cpu",
)
"""What the graph optimiser may do besides, and must not: compute in a narrower type."""


class TensorFlowAdapter:
    """Runs ONNX models as native TensorFlow functions; the harness owns the clock."""

    name: ClassVar[str] = "tensorflow"
    variants: ClassVar[Mapping[str, str]] = {
        "": "graph mode, the imported function",
        "onednn": "the same, with oneDNN's kernels; by default, TensorFlow asks the CPU's maker",
        "xla": "the same, compiled by XLA",
    }
    kinds: ClassVar[frozenset[str]] = frozenset({"cpu"})

    def __init__(self, variant: str = "") -> None:
        self.variant = chosen(self.name, self.variants, variant)

    def available(self) -> Availability:
        """Return whether one of its distributions is installed, without importing it."""
        return installed(DISTRIBUTIONS, FIX)

    def prepare(self, limits: Limits) -> str:
        """Import TensorFlow, set its threads, hold it to true fp32, and return its version.

        Raises:
            UsageError: If it has run in this process before, with other threads or kernels.
        """
        os.environ.update(ENVIRONMENT)
        if self.variant == "onednn":
            os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
        try:
            import tensorflow as tf
        except ImportError as error:
            raise BackendUnavailableError(self.name, str(error), FIX) from error
        try:
            tf.config.set_visible_devices([], "GPU")
            tf.config.threading.set_intra_op_parallelism_threads(limits.threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError as error:
            reason = f"TensorFlow has run in this process already ({error})"
            raise UsageError(reason, "Its threads are the process's: start a new one") from error
        from xbench_adapters.tensorflow import unfolded

        if self.variant == "onednn" and not unfolded.onednn_is_on():
            reason = "TensorFlow was imported in this process without oneDNN"
            raise UsageError(reason, "Its kernels are the process's: start a new one")
        tf.config.experimental.enable_tensor_float_32_execution(False)
        tf.config.optimizer.set_experimental_options(dict.fromkeys(NARROWING, False))
        return str(tf.__version__)

    def load(self, model: BoundModel, limits: Limits, precision: str) -> TensorFlowSession:
        """Return a session that runs ``model`` on the CPU at fp32.

        Raises:
            UnsupportedNodeError: If a node cannot be imported, an input or output is no tensor,
                or XLA cannot compile it.
            UsageError: If another precision or device is asked for.
        """
        require(limits, precision, backend=self.name)
        import tensorflow as tf

        from xbench_adapters.tensorflow import import_onnx
        from xbench_adapters.tensorflow.session import Loaded, TensorFlowSession

        if (set_to := tf.config.threading.get_intra_op_parallelism_threads()) != limits.threads:
            raise UsageError(f"TensorFlow is set to {set_to} threads", "Prepare it for the same")
        start_s = perf_counter()
        module = import_onnx(model.path, model.shapes)
        call = module.traced()
        if self.variant == "xla":
            from xbench_adapters.tensorflow.xla import compile_module

            call = compile_module(module)
        compiled = self.variant == "xla"
        graph = module.graph
        return TensorFlowSession(
            model,
            Loaded(
                call=call,
                owner=None,  # the function holds its weights
                compiled=compiled,
                precision=lambda: _effective(graph, compiled),
                importer=importer(graph),
                convert_s=perf_counter() - start_s,
                dtypes=[graph.value(name).dtype for name in graph.results],
            ),
        )


def importer(graph: Graph, *further: str) -> str:
    """Return how an ONNX graph became a function, and what came after, as `Facts` tells it."""
    fused = sum(graph.fused.values())
    parts = (f"tf.function, {len(graph.nodes)} nodes", f"{fused} fused", *further)
    return f"xbench {__version__} ({'; '.join(parts)})"


def _effective(graph: Graph, compiled: bool) -> str:
    """Return the precision of the arithmetic: of narrow weights, else of what is multiplied."""
    from xbench_adapters.tensorflow.precision import multiplied_in

    known = {"float16": "fp16", "bfloat16": "bf16"}
    narrow = {known.get(array.dtype.name) for array in graph.constants.values()} - {None}
    return "+".join(sorted(map(str, narrow))) if narrow else multiplied_in(compiled=compiled)
