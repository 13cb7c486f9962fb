"""How a session is made: what it is told, and what it says of that afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ERRORS_ONLY = 3  # its severities: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal
RECORD_PROVIDERS = "session.record_ep_graph_assignment_info"
ARM_BF16 = "mlas.enable_gemm_fastmath_arm64_bfloat16"
APPROXIMATE_GELU = "optimization.enable_gelu_approximation"
FLUSH_DENORMALS = "session.set_denormal_as_zero"
DISABLED = "optimization.disable_specified_optimizers"
ADD_FUSION = "MatMulAddFusion"
"""It makes one Gemm of MatMul and Add before quantised operators are looked for, and a Gemm whose
bias is float32 is none. Where shapes are fixed, as here, that takes the integer kernels away."""
BLOCKED_CONVOLUTIONS = "NchwcTransformer"
"""It has nothing to do in a graph without convolutions, and in 1.32 ends the process while it looks
at some float16 ones, such as a tagger's of two LSTMs."""

CPU, CUDA, TENSORRT = (
    "CPUExecutionProvider",
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
)

HELD = {ARM_BF16: "0", APPROXIMATE_GELU: "0", FLUSH_DENORMALS: "0"}
"""What would compute less than the file says. It is off by default, and so that no later default
changes that, off by our word."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a session is made of. JSON can hold it, so that another process makes the same one.

    Attributes:
        model: The file's path. Files over 2 GB and external data work, since no bytes are passed.
        symbols: The length given to each named dimension.
        threads: For one inference.
        optimized: Whether the graph is.
        disabled: Names of optimisations that are left out, by semicolons.
        providers: Of execution, with their options; the CPU's is behind them in any case.
    """

    model: str
    symbols: Mapping[str, int]
    threads: int
    optimized: bool
    disabled: str = ""
    providers: tuple[tuple[str, dict[str, str]], ...] = ((CPU, {}),)

    @property
    def provider(self) -> str:
        """Return the provider that was asked for."""
        return self.providers[0][0]


def session_options(ort: Any, setup: Setup) -> Any:
    """Return the options of a session."""
    level = ort.GraphOptimizationLevel
    options = ort.SessionOptions()
    options.graph_optimization_level = (
        level.ORT_ENABLE_ALL if setup.optimized else level.ORT_DISABLE_ALL
    )
    options.intra_op_num_threads = setup.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry(RECORD_PROVIDERS, "1")
    for key, value in HELD.items():
        options.add_session_config_entry(key, value)
    if setup.disabled:
        options.add_session_config_entry(DISABLED, setup.disabled)
    for symbol, length in setup.symbols.items():
        options.add_free_dimension_override_by_name(symbol, length)
    return options


def open_session(ort: Any, setup: Setup, options: Any = None) -> Any:
    """Return a session; by ``options`` where they are given, else by those of ``setup``.

    ONNX Runtime would otherwise try other providers by itself, and say so on stdout alone.
    """
    options = options if options is not None else session_options(ort, setup)
    providers = [(name, dict(given)) for name, given in setup.providers]
    return ort.InferenceSession(setup.model, options, providers=providers, enable_fallback=0)


def config(options: Any, key: str) -> str | None:
    """Return a session's setting, or None where it was left at its default."""
    try:
        return str(options.get_session_config_entry(key))
    except RuntimeError:
        return None


def told(inner: Any) -> dict[str, str]:
    """Return what a session says of its own options."""
    options = inner.get_session_options()
    return {
        "graph_optimization": options.graph_optimization_level.name,
        "execution_mode": options.execution_mode.name,
        "inter_op_threads": str(options.inter_op_num_threads),
        "intra_op_spinning": config(options, "session.intra_op.allow_spinning") or "1",
        "memory_arena": str(options.enable_cpu_mem_arena),
        "disabled_optimizers": config(options, DISABLED) or "none",
    }
