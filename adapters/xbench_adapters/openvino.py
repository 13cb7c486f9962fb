"""OpenVINO on the CPU. It reads ``.onnx`` files itself.

Left alone it computes in bfloat16 wherever the CPU can, and imports a module that reports
its use over the network; neither happens here.

What a file's types ask for it takes for a hint only: where the CPU has no instructions for them, a
file of float16 or bfloat16 is computed in float32, and quantised products may be left in it. So
each node of the executed graph is asked what it was compiled to.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from xbench.adapter import Array, Availability, BoundModel, Facts, Fallback, Limits
from xbench.authoring import chosen, installed, joined, require, unsupported
from xbench.errors import BackendUnavailableError, UnsupportedNodeError, UsageError

FIX = "Install it with: pip install 'xbench[openvino]'"
DEVICE = "CPU"
TELEMETRY = "openvino_telemetry"
NAMED_NODES = 8

RECORDED = (
    "INFERENCE_PRECISION_HINT",
    "PERFORMANCE_HINT",
    "EXECUTION_MODE_HINT",
    "NUM_STREAMS",
    "ENABLE_CPU_PINNING",
    "ENABLE_HYPER_THREADING",
    "CPU_DENORMALS_OPTIMIZATION",
)

# The hint for each precision, and what the CPU has to name among its capabilities to hold it.
# Quantised products are in the graph; what is between them stays float32, as the file says.
HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16", "int8": "f32"}
CAPABILITIES = {"fp16": "FP16", "bf16": "BF16"}

PRECISIONS = {"i8": "int8", "u8": "int8", "bf16": "bf16", "f16": "fp16", "f32": "fp32"}
NARROWEST_FIRST = ("int8", "bf16", "fp16", "fp32")
NARROW_FLOATS = {"bf16", "fp16"}
# Nodes of the executed graph that multiply and add, by what it calls them.
PRODUCTS = {
    *("Convolution", "Deconvolution", "GroupConvolution", "DeformableConvolution"),
    *("MatMul", "FullyConnected", "GatherMatmul", "LLMMLP", "QKVProjection"),
    *("RNNCell", "RNNSeq", "AUGRUCell", "AUGRUSeq"),
    *("MHA", "ScaledDotProductAttention", "PagedAttention"),
}
# Those that compute nothing: their precision is that of what passes.
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
    variants: ClassVar[Mapping[str, str]] = {
        "": "CPU, latency mode, one stream",
        "bf16": "the same, hinted to compute the float32 model in bfloat16, as is its default",
    }
    precisions: ClassVar[Mapping[str, str]] = {"bf16": "bf16"}
    kinds: ClassVar[frozenset[str]] = frozenset({"cpu"})

    def __init__(self, variant: str = "") -> None:
        self._variant = chosen(self.name, self.variants, variant)

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
        """Return a session of one infer request, its shapes fixed before compiling.

        Raises:
            UnsupportedNodeError: If OpenVINO has no rule or no kernel for a node.
            UsageError: If the device or the precision cannot be held.
        """
        import openvino

        own = self.precisions.get(self._variant)
        held = (own,) if own else tuple(HINTS)
        require(limits, precision, backend=self.name, precisions=held)
        core = openvino.Core()
        hint = _hint(core, precision, must=own is not None)
        try:
            graph = core.read_model(model.path)
            graph.reshape(_shapes(graph, model))
            compiled = core.compile_model(graph, DEVICE, _options(limits, hint))
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
    """Return what the products of the executed graph compute in, such as ``fp32`` or ``int8+fp32``.

    Of a graph without products it is that of its other arithmetic; and where these are float32
    beside narrower floats, both are told. The hint alone is a wish, and so are the file's types.
    """
    nodes = [(_info(op, "layerType"), _info(op, "runtimePrecision")) for op in _executed(compiled)]
    products = {PRECISIONS.get(one) for kind, one in nodes if kind in PRODUCTS}
    others = {
        PRECISIONS.get(one) for kind, one in nodes if kind not in PRODUCTS | NO_ARITHMETIC
    } - {None}
    if None in products:
        return None
    if not products:
        return next((one for one in NARROWEST_FIRST[1:] if one in others), "fp32")
    found = products | (others & NARROW_FLOATS if products == {"fp32"} else set())
    return joined(one for one in found if one)


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


def _hint(core: Any, precision: str, *, must: bool) -> str:
    """Return the type that the CPU is told to compute floats in: float32 where it has no other.

    Raises:
        UsageError: If it has not, and it must.
    """
    needed = CAPABILITIES.get(precision)
    able = core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    if needed is None or needed in able:
        return HINTS[precision]
    if must:
        reason = f"this CPU has no {precision} (OpenVINO names {', '.join(able)})"
        raise UsageError(reason, "Ask for the backend openvino, without the variant")
    return HINTS["fp32"]


def _options(limits: Limits, hint: str) -> dict[str, Any]:
    """Return what holds the limits and the precision; everything else stays as OpenVINO has it."""
    return {
        "INFERENCE_PRECISION_HINT": hint,
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
    if hasattr(value, "get_type_name"):  # an element type
        return str(value.get_type_name())
    return str(getattr(value, "name", value))
