"""TensorFlow as a backend: an imported function, run as a graph or compiled by XLA."""

from __future__ import annotations

import os
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from xbench import __version__
from xbench.adapter import Availability, Facts, Limits
from xbench.authoring import installed, require
from xbench.errors import BackendUnavailableError, UsageError

if TYPE_CHECKING:
    from xbench.adapter import Array, BoundModel
    from xbench.graph.plain import Graph

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

    def __init__(self, variant: str = "") -> None:
        if variant not in self.variants:
            known = ", ".join(one or "the default" for one in self.variants)
            raise UsageError(f"tensorflow has no variant {variant!r}", f"It has {known}")
        self.variant = variant

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
        if self.variant == "onednn" and not onednn_is_on():
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

        if (set_to := tf.config.threading.get_intra_op_parallelism_threads()) != limits.threads:
            raise UsageError(f"TensorFlow is set to {set_to} threads", "Prepare it for the same")
        start_s = perf_counter()
        module = import_onnx(model.path, model.shapes)
        call = module.traced()
        if self.variant == "xla":
            from xbench_adapters.tensorflow.xla import compiled

            call = compiled(module)
        convert_s = perf_counter() - start_s
        return TensorFlowSession(model, module.graph, call, self.variant == "xla", convert_s)


class TensorFlowSession:
    """An imported function, fed NumPy arrays and read as NumPy arrays."""

    def __init__(
        self, model: BoundModel, graph: Graph, call: Any, compiled: bool, convert_s: float
    ) -> None:
        import tensorflow as tf

        self._constant = tf.constant
        self._graph = graph
        self._call = call
        self._compiled = compiled
        self._convert_s = convert_s
        self._names = model.outputs
        self._order = tuple(spec.name for spec in model.inputs)
        self._feeds: list[Array] = []
        self._results: tuple[Any, ...] = ()

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
        found = (
            _as_onnx_has_it(one.numpy(), self._graph.value(name).dtype)
            for one, name in zip(self._results, self._graph.results, strict=True)
        )
        return dict(zip(self._names, found, strict=True))

    def facts(self) -> Facts:
        """Return what TensorFlow tells: its settings, and how it really multiplies."""
        import tensorflow as tf

        threading, graph = tf.config.threading, self._graph
        return Facts(
            precision=_effective(graph, self._compiled),
            threads=threading.get_intra_op_parallelism_threads() or None,  # 0: its own choice
            importer=importer(graph),
            convert_s=self._convert_s,
            options={
                "mode": "xla" if self._compiled else "graph",
                "interop_threads": str(threading.get_inter_op_parallelism_threads()),
                "tf32": str(tf.config.experimental.tensor_float_32_execution_enabled()),
                "onednn": "on" if onednn_is_on() else "off",
                "onednn_fpmath": os.environ.get("ONEDNN_DEFAULT_FPMATH_MODE", "").lower(),
            },
        )

    def close(self) -> None:
        """Let go of the function and of all arrays."""
        self._call, self._feeds, self._results = None, [], ()


def onednn_is_on() -> bool:
    """Return whether TensorFlow computes with oneDNN, by its own account."""
    from xbench_adapters.tensorflow.unfolded import onednn_is_on as told

    return told()


def importer(graph: Graph, *further: str) -> str:
    """Return how an ONNX graph became a function, and what came after, as `Facts` tells it."""
    fused = sum(graph.fused.values())
    parts = (f"tf.function, {len(graph.nodes)} nodes", f"{fused} fused", *further)
    return f"xbench {__version__} ({'; '.join(parts)})"


def _as_onnx_has_it(found: Any, dtype: Any) -> Array:
    """Return a result in ONNX's own type, where TensorFlow holds it in another one."""
    import numpy as np

    array: Array = np.asarray(found)
    if dtype is not None and dtype.kind == "O":
        array = np.vectorize(_text, otypes=[object])(array)
    return array.astype(dtype or array.dtype, copy=False)


def _text(one: Any) -> str:
    return one.decode() if isinstance(one, bytes) else str(one)


def _effective(graph: Graph, compiled: bool) -> str:
    """Return the precision of the arithmetic: of narrow weights, else of what is multiplied."""
    from xbench_adapters.tensorflow.precision import multiplied_in

    known = {"float16": "fp16", "bfloat16": "bf16"}
    narrow = {known.get(array.dtype.name) for array in graph.constants.values()} - {None}
    return "+".join(sorted(map(str, narrow))) if narrow else multiplied_in(compiled=compiled)
