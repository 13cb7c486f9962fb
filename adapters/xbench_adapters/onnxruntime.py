"""ONNX Runtime on the CPU. It reads ``.onnx`` files itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from xbench.adapter import Array, Availability, BoundModel, Facts, Fallback, Limits
from xbench.authoring import first_node, installed, require, unsupported
from xbench.errors import (
    BackendUnavailableError,
    UnsupportedNodeError,
    UsageError,
    XbenchError,
)

FIX = "Install it with: pip install 'xbench[onnxruntime]'"
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-qnn")
PROVIDER = "CPUExecutionProvider"
NAMED_NODES = 8
ERRORS_ONLY = 3  # its severities: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal
RECORD_PROVIDERS = "session.record_ep_graph_assignment_info"
ARM_BF16 = "mlas.enable_gemm_fastmath_arm64_bfloat16"

# What it says of an operator that it does not know, has no kernel for, or knows of later only.
REFUSED_NODE = (
    r'In Node, \("(?P<node>[^"]*)", (?P<operator>[^,]+), "(?P<domain>[^"]*)".* No Op registered',
    r"Fatal error: (?:(?P<domain>[^: ]+):)?(?P<operator>\w+)\(-?\d+\) is not a registered",
    r"find an implementation for (?P<operator>\w+)\(\d+\) node with name '(?P<node>[^']*)'",
)
REFUSED_OPSET = r"Opset (\d+) is under development.* support for domain (\S+) is till opset (\d+)"
REFUSED_IR = r"Unsupported model IR version: (\d+), max supported IR version: (\d+)"


class OnnxRuntimeAdapter:
    """Runs ``.onnx`` files; the harness, not the adapter, owns the clock."""

    name: ClassVar[str] = "onnxruntime"
    variants: ClassVar[Mapping[str, str]] = {
        "": "CPU, all graph optimisations",
        "reference": "CPU, graph optimisation off: what outputs are compared with",
    }
    hidden: ClassVar[frozenset[str]] = frozenset({"reference"})
    kinds: ClassVar[frozenset[str]] = frozenset({"cpu"})

    def __init__(self, variant: str = "") -> None:
        self._optimized = variant != "reference"

    def available(self) -> Availability:
        """Return whether one of its distributions is installed."""
        return installed(DISTRIBUTIONS, FIX)

    def prepare(self, limits: Limits) -> str:  # noqa: ARG002 -- each session has its own threads
        """Import ONNX Runtime and return its version; each session has its own threads."""
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise BackendUnavailableError(self.name, str(error), FIX) from error
        ort.set_default_logger_severity(ERRORS_ONLY)
        ort.disable_telemetry_events()
        return str(ort.__version__)

    def load(self, model: BoundModel, limits: Limits, precision: str) -> OnnxRuntimeSession:
        """Return a session on the CPU provider alone.

        The path is passed, not the bytes: files over 2 GB and external data work.
        """
        import onnxruntime as ort

        require(limits, precision, backend=self.name)
        options = self._options(ort, model, limits)
        try:
            inner = ort.InferenceSession(str(model.path), options, providers=[PROVIDER])
        except Exception as error:
            if typed := refusal(str(error), model.path):
                raise typed from error
            raise
        return OnnxRuntimeSession(inner, model.outputs)

    def _options(self, ort: Any, model: BoundModel, limits: Limits) -> Any:
        level = ort.GraphOptimizationLevel
        options = ort.SessionOptions()
        options.graph_optimization_level = (
            level.ORT_ENABLE_ALL if self._optimized else level.ORT_DISABLE_ALL
        )
        options.intra_op_num_threads = limits.threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = ERRORS_ONLY
        options.add_session_config_entry(RECORD_PROVIDERS, "1")
        for symbol, length in model.symbols.items():
            options.add_free_dimension_override_by_name(symbol, length)
        return options


class OnnxRuntimeSession:
    """One inference session: NumPy arrays in, NumPy arrays out."""

    def __init__(self, inner: Any, outputs: tuple[str, ...]) -> None:
        self._inner = inner
        self._names = outputs
        self._feeds: dict[str, Array] = {}
        self._outputs: list[Array] = []

    def bind(self, feeds: Mapping[str, Array]) -> None:
        """Keep the arrays; ONNX Runtime reads them where they lie."""
        self._feeds = dict(feeds)

    def run(self) -> None:
        """Run once; each run returns new arrays, as it does for its users."""
        self._outputs = self._inner.run(self._names, self._feeds)

    def synchronize(self) -> None:
        """Do nothing: `run` returns when the outputs are there."""

    def outputs(self) -> Mapping[str, Array]:
        """Return the arrays of the last run."""
        return dict(zip(self._names, self._outputs, strict=True))

    def facts(self) -> Facts:
        """Return what the session's own options and its partition say."""
        options = self._inner.get_session_options()
        return Facts(
            precision=None if _config(options, ARM_BF16) == "1" else "fp32",
            threads=options.intra_op_num_threads,
            fallback=_fallback(self._inner),
            options={
                "graph_optimization": options.graph_optimization_level.name,
                "execution_mode": options.execution_mode.name,
                "inter_op_threads": str(options.inter_op_num_threads),
                "intra_op_spinning": _config(options, "session.intra_op.allow_spinning") or "1",
                "memory_arena": str(options.enable_cpu_mem_arena),
            },
        )

    def close(self) -> None:
        """Give the session and its threads back."""
        self._inner, self._feeds, self._outputs = None, {}, []


def refusal(message: str, path: Path) -> XbenchError | None:
    """Return the typed error behind what ONNX Runtime said at loading; None if it is another."""
    said = " ".join(message.split())
    for pattern in REFUSED_NODE:
        if found := re.search(pattern, said):
            given = found.groupdict(default="")
            domain, operator, node = given.get("domain", ""), given["operator"], given.get("node")
            return unsupported(path, operator, "it has no kernel here", node=node, domain=domain)
    if found := re.search(REFUSED_OPSET, said):
        version, domain, last = int(found[1]), found[2], found[3]
        detail = f"operator set {version} of {domain} is newer than {last}, the last that it knows"
        node, operator = first_node(path, domain)
        return UnsupportedNodeError(node, operator, version, detail)
    if found := re.search(REFUSED_IR, said):
        reason = (
            f"the file has ONNX IR version {found[1]}; this ONNX Runtime reads up to {found[2]}"
        )
        return UsageError(reason, "Export the model for an older ONNX, or update onnxruntime")
    return None


def _config(options: Any, key: str) -> str | None:
    """Return a session's setting, or None where it was left at its default."""
    try:
        return str(options.get_session_config_entry(key))
    except RuntimeError:
        return None


def _fallback(inner: Any) -> Fallback | None:
    """Return the nodes that another provider was given; None where this version does not tell."""
    if not hasattr(inner, "get_provider_graph_assignment_info"):  # since 1.24
        return None
    parts = [p for p in inner.get_provider_graph_assignment_info() if p.ep_name != PROVIDER]
    names = [node.name or node.op_type for part in parts for node in part.get_nodes()]
    where = ", ".join(sorted({part.ep_name for part in parts})) or PROVIDER
    return Fallback(len(names), tuple(names[:NAMED_NODES]), where)
