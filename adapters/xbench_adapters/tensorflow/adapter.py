"""TensorFlow as a backend: an imported function, run as a graph or compiled by XLA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

from xbench import __version__
from xbench.adapter import Availability, Limits
from xbench.authoring import chosen, installed
from xbench_adapters.tensorflow import process
from xbench_adapters.tensorflow.process import FIX

if TYPE_CHECKING:
    from xbench.adapter import BoundModel
    from xbench.graph.plain import Graph
    from xbench_adapters.tensorflow.session import TensorFlowSession

WITH_CUDA = "tensorflow"
DISTRIBUTIONS = (WITH_CUDA, "tensorflow-cpu")


class TensorFlowAdapter:
    """Runs ONNX models as native TensorFlow functions; the harness owns the clock."""

    name: ClassVar[str] = "tensorflow"
    variants: ClassVar[Mapping[str, str]] = {
        "": "graph mode, the imported function",
        "onednn": "the same, with oneDNN's kernels; by default, TensorFlow asks the CPU's maker",
        "xla": "the same, compiled by XLA",
    }
    kinds: ClassVar[frozenset[str]] = frozenset({"cpu", "cuda"})
    variant_kinds: ClassVar[Mapping[str, frozenset[str]]] = {"onednn": frozenset({"cpu"})}

    def __init__(self, variant: str = "") -> None:
        self.variant = chosen(self.name, self.variants, variant)

    def available(self) -> Availability:
        """Return whether one of its distributions is installed, without importing it."""
        found = installed(DISTRIBUTIONS, FIX)
        if found.reason is None and installed((WITH_CUDA,), FIX).reason is None:
            return replace(found, devices=("cpu", "cuda"))
        return found

    def prepare(self, limits: Limits) -> str:
        """Import TensorFlow, set its threads, hold it to true fp32, and return its version.

        Raises:
            BackendUnavailableError: If it cannot be imported, or cannot use the GPU.
            UsageError: If it has run in this process before, with other threads or kernels.
        """
        return process.prepare(limits, backend=self.name, onednn=self.variant == "onednn")

    def load(self, model: BoundModel, limits: Limits, precision: str) -> TensorFlowSession:
        """Return a session that runs ``model`` in the arithmetic of its file.

        Raises:
            UnsupportedNodeError: If a node cannot be imported, an input or output is no tensor,
                or XLA cannot compile it.
            UsageError: If the device or precision cannot be held.
            DeviceMemoryError: If its weights do not fit the GPU.
        """
        process.require_kernels(limits, precision, self.variant, backend=self.name)
        process.hold(limits, precision)
        from xbench_adapters.tensorflow import import_onnx
        from xbench_adapters.tensorflow.memory import typed_memory
        from xbench_adapters.tensorflow.precision import effective
        from xbench_adapters.tensorflow.resident import session_on
        from xbench_adapters.tensorflow.session import Loaded

        start_s = perf_counter()
        with typed_memory(on_gpu=process.wants_gpu(limits)):
            module = import_onnx(model.path, model.shapes)
            call = traced = module.traced()
            if self.variant == "xla":
                from xbench_adapters.tensorflow.xla import compile_module

                call = compile_module(module)
        compiled = call is not traced
        graph = module.graph
        loaded = Loaded(
            call=call,
            owner=None,  # the function holds its weights
            compiled=compiled,
            precision=partial(effective, traced, call if compiled else None),
            importer=importer(graph),
            convert_s=perf_counter() - start_s,
            dtypes=[graph.value(name).dtype for name in graph.results],
        )
        return session_on(model, loaded, limits)


def importer(graph: Graph, *further: str) -> str:
    """Return how an ONNX graph became a function, and what came after, as `Facts` tells it."""
    fused = sum(graph.fused.values())
    parts = (f"tf.function, {len(graph.nodes)} nodes", f"{fused} fused", *further)
    return f"xbench {__version__} ({'; '.join(parts)})"
