"""OpenVINO on the CPU. It reads ``.onnx`` files itself.

Left alone it computes in bfloat16 wherever the CPU can, and imports a module that reports
its use over the network; neither happens here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from xbench.adapter import Array, Availability, BoundModel, Facts, Fallback, Limits
from xbench.authoring import installed, require, unsupported
from xbench.errors import BackendUnavailableError, UnsupportedNodeError

FIX = "Install it with: pip install 'xbench[openvino]'"
DEVICE = "CPU"
TELEMETRY = "openvino_telemetry"
NAMED_NODES = 8

RECORDED = (
    "PERFORMANCE_HINT",
    "EXECUTION_MODE_HINT",
    "NUM_STREAMS",
    "ENABLE_CPU_PINNING",
    "ENABLE_HYPER_THREADING",
    "CPU_DENORMALS_OPTIMIZATION",
)

PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}
LOWEST_FIRST = ("bf16", "f16")
# Nodes of the executed graph that compute nothing: their precision is that of what passes.
NO_ARITHMETIC = {"Input", "Output", "Const", "Reorder", "Reshape", "Transpose", "Convert"}

# What it says of operators: it lacks them (``Foo-17, some.domain.Bar``), it cannot convert
# this use of them, or its CPU plug-in has no kernel.
NO_RULE = r"No conversion rule found for operations: ([\w.]+)"
NOT_CONVERTED = r"Conversion is failed for: ([\w.]+)"
NO_KERNEL = r"Unsupported operation of type: (\w+) name: (\S+)"
REFUSED_NODE = r"ONNX node '<Node\(\w+\): ([^>]*)>'"


class OpenVinoAdapter:
    """Runs ``.onnx`` files; the harness, not the adapter, owns the clock."""

    name: ClassVar[str] = "openvino"
    variants: ClassVar[Mapping[str, str]] = {"": "CPU, latency mode, one stream"}
    kinds: ClassVar[frozenset[str]] = frozenset({"cpu"})

    def __init__(self, variant: str = "") -> None:
        self._variant = variant

    def available(self) -> Availability:
        """Return whether its distribution is installed."""
        return installed(("openvino",), FIX)

    def prepare(self, limits: Limits) -> str:  # noqa: ARG002 -- each session has its own threads
        """Import OpenVINO without its telemetry, and return its version.

        Importing it sends an event, unless the module that sends is missing: then it takes a
        stub of its own. That leaves the user's own choice, kept in the home folder, alone.
        """
        if TELEMETRY not in sys.modules:
            sys.modules[TELEMETRY] = None  # type: ignore[assignment] # means "not to be had"
        try:
            import openvino
        except ImportError as error:
            raise BackendUnavailableError(self.name, str(error), FIX) from error
        return str(openvino.__version__).split("-")[0]

    def load(self, model: BoundModel, limits: Limits, precision: str) -> OpenVinoSession:
        """Return a session of one infer request, its shapes fixed before compiling."""
        import openvino

        require(limits, precision, backend=self.name)
        core = openvino.Core()
        try:
            graph = core.read_model(model.path)
            graph.reshape(_shapes(graph, model))
            compiled = core.compile_model(graph, DEVICE, _options(limits))
        except RuntimeError as error:
            if typed := refusal(str(error), model.path):
                raise typed from error
            raise
        return OpenVinoSession(openvino, compiled, model)


class OpenVinoSession:
    """One infer request: NumPy arrays in, NumPy arrays out.

    Inputs are read where they lie. Outputs lie in the request's own memory, as they do for
    its users; `outputs` copies them, outside the timed region.
    """

    def __init__(self, openvino: Any, compiled: Any, model: BoundModel) -> None:
        self._tensor = openvino.Tensor
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._names = model.outputs
        self._results = {name: compiled.output(name) for name in model.outputs}
        self._kept: list[Array] = []

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Hand the arrays to the request; it reads them where they lie."""
        import numpy as np

        self._kept = [np.require(array, requirements=["C", "W"]) for array in feeds.values()]
        for name, array in zip(feeds, self._kept, strict=True):
            self._request.set_tensor(name, self._tensor(array, shared_memory=True))

    def run(self) -> None:
        """Run once; the outputs are readable as NumPy arrays without a copy."""
        self._request.infer(share_outputs=True)

    def synchronize(self) -> None:
        """Do nothing: `run` returns when the outputs are there."""

    def outputs(self) -> Mapping[str, Array]:
        """Return copies of the outputs of the last run."""
        tensors = {name: self._request.get_tensor(self._results[name]) for name in self._names}
        return {name: tensor.data.copy() for name, tensor in tensors.items()}

    def facts(self) -> Facts:
        """Return what the compiled model says of itself, and of the nodes it really executes."""
        get = self._compiled.get_property
        devices = list(get("EXECUTION_DEVICES"))
        return Facts(
            precision=effective_precision(self._compiled),
            threads=int(get("INFERENCE_NUM_THREADS")),
            fallback=Fallback(0, (), DEVICE) if devices == [DEVICE] else None,
            options={key.lower(): _shown(get(key)) for key in RECORDED},
        )

    def close(self) -> None:
        """Give the request, the compiled model and its threads back."""
        self._request = self._compiled = None
        self._results, self._kept = {}, []


def effective_precision(compiled: Any) -> str | None:
    """Return the lowest floating-point precision that a node of the executed graph computes in.

    The hint alone is a wish: each node of the executed graph says what it was compiled to.
    """
    if (hint := compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()) != "f32":
        return PRECISIONS.get(hint)
    kinds = [(_info(op, "layerType"), _info(op, "runtimePrecision")) for op in _executed(compiled)]
    found = {precision for kind, precision in kinds if kind not in NO_ARITHMETIC}
    return next((PRECISIONS[one] for one in LOWEST_FIRST if one in found), "fp32")


def refusal(message: str, path: Path) -> UnsupportedNodeError | None:
    """Return the typed error behind what OpenVINO said at loading; None if it is another."""
    node = found[1] if (found := re.search(REFUSED_NODE, message)) else None
    if found := re.search(NO_RULE, message):
        domain, _, operator = found[1].rpartition(".")
        return unsupported(path, operator, "OpenVINO has no rule for it", domain=domain)
    if found := re.search(NOT_CONVERTED, message):
        domain, _, operator = found[1].rpartition(".")
        return unsupported(path, operator, _why(message), node=node, domain=domain)
    if found := re.search(NO_KERNEL, message):
        return unsupported(path, found[1], "OpenVINO has no CPU kernel for it", node=found[2])
    return None


def _why(message: str) -> str:
    """Return the sentence that says why a node was not converted: the last before the summary."""
    log = message.partition("\nSummary:")[0]
    return [line.strip() for line in log.splitlines() if line.strip()][-1][:200].rstrip(".")


def _options(limits: Limits) -> dict[str, Any]:
    """Return what holds the limits and true fp32; everything else stays as OpenVINO has it."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": limits.threads,
        "ENABLE_HYPER_THREADING": True,  # else it may take fewer threads than it was asked to
        "ENABLE_CPU_PINNING": False,  # the parent's affinity decides, for every backend alike
    }


def _shapes(graph: Any, model: BoundModel) -> dict[Any, list[int]]:
    """Return the shape of each input by its port, as ``reshape`` takes them."""
    return {graph.input(name): list(shape) for name, shape in model.shapes.items()}


def _executed(compiled: Any) -> list[Any]:
    return list(compiled.get_runtime_model().get_ops())


def _info(op: Any, key: str) -> str:
    return str(op.get_rt_info()[key].value)


def _shown(value: Any) -> str:
    """Return a property as people write it: ``ACCURACY`` for ``ExecutionMode.ACCURACY``."""
    return str(getattr(value, "name", value))
