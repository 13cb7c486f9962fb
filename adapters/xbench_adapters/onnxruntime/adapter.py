"""ONNX Runtime as a backend: on the CPU, with CUDA, and with TensorRT behind it.

What is asked of the CUDA and TensorRT providers is checked against the package that has them, and
run against a double of a GPU; ``docs/evidence`` says what has been seen on hardware.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from xbench.adapter import Availability, BoundModel, Limits
from xbench.authoring import chosen, installed, require
from xbench.errors import BackendUnavailableError, UsageError
from xbench_adapters.onnxruntime import cuda, said
from xbench_adapters.onnxruntime.options import (
    ADD_FUSION,
    BLOCKED_CONVOLUTIONS,
    CPU,
    CUDA,
    ERRORS_ONLY,
    TENSORRT,
    Setup,
    open_session,
)
from xbench_adapters.onnxruntime.plain import has_convolution
from xbench_adapters.onnxruntime.resident import ResidentSession
from xbench_adapters.onnxruntime.session import OnnxRuntimeSession

FIX = "Install it with: pip install 'xbench[onnxruntime]'"
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-qnn")
ON_CPU = ("fp32", "fp16", "bf16", "int8")
ON_GPU = ("fp32", "tf32", "fp16", "bf16", "int8")


class OnnxRuntimeAdapter:
    """Runs ``.onnx`` files; the harness, not the adapter, owns the clock."""

    name: ClassVar[str] = "onnxruntime"
    variants: ClassVar[Mapping[str, str]] = {
        "": "all graph optimisations; on a GPU the CUDA provider",
        "tensorrt": "GPU, the TensorRT provider, which builds engines while it loads",
        "reference": "CPU, graph optimisation off: what outputs are compared with",
    }
    hidden: ClassVar[frozenset[str]] = frozenset({"reference"})
    kinds: ClassVar[frozenset[str]] = frozenset({"cpu", "cuda"})
    variant_kinds: ClassVar[Mapping[str, frozenset[str]]] = {
        "tensorrt": frozenset({"cuda"}),
        "reference": frozenset({"cpu"}),
    }

    def __init__(self, variant: str = "") -> None:
        self.variant = chosen(self.name, self.variants, variant)

    def available(self) -> Availability:
        """Return whether one of its distributions is installed, and what that can use."""
        found = installed(DISTRIBUTIONS, FIX)
        if found.version is None or self.variant == "reference":
            return found
        if self.variant == "":
            return replace(found, devices=("cpu", *cuda.devices(CUDA)))
        if not cuda.has_library(TENSORRT):
            return Availability(None, (), f"this ONNX Runtime has no {TENSORRT}", cuda.GPU_FIX)
        if not cuda.has_tensorrt():
            reason = "TensorRT, which its provider loads, is not installed"
            return Availability(None, (), reason, cuda.TENSORRT_FIX)
        if not (devices := cuda.devices(TENSORRT)):
            return Availability(None, (), "no GPU was found", "It needs an NVIDIA GPU")
        return replace(found, devices=devices)

    def prepare(self, limits: Limits) -> str:
        """Import ONNX Runtime and return its version; each session has its own threads."""
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise BackendUnavailableError(self.name, str(error), FIX) from error
        ort.set_default_logger_severity(ERRORS_ONLY)
        ort.disable_telemetry_events()
        if limits.device != "cpu":
            cuda.preload(ort, self._provider(limits))
        return str(ort.__version__)

    def load(self, model: BoundModel, limits: Limits, precision: str) -> OnnxRuntimeSession:
        """Return a session on the provider that was asked for.

        Raises:
            UnsupportedNodeError: If a node has no kernel.
            UsageError: If the device or precision cannot be held, or the provider not be enabled.
            DeviceMemoryError: If the GPU has too little memory.
        """
        import onnxruntime as ort

        provider = self._provider(limits)
        precisions = ON_CPU if provider == CPU else ON_GPU
        require(
            limits, precision, backend=self.label, devices=(limits.device,), precisions=precisions
        )
        setup = Setup(
            model=str(model.path),
            symbols=dict(model.symbols),
            threads=limits.threads,
            optimized=self.variant != "reference",
            disabled=_disabled(model.path, precision) if provider == CPU else "",
        )
        if provider != CPU:
            return self._on_gpu(ort, model, setup, limits, precision)
        inner = _opened(ort, model, setup)
        return OnnxRuntimeSession(inner, model.outputs, setup, precision)

    @property
    def label(self) -> str:
        """Return the backend's name."""
        return f"{self.name}:{self.variant}" if self.variant else self.name

    def _provider(self, limits: Limits) -> str:
        """Return the provider for a device.

        Raises:
            UsageError: If this variant has none for it.
        """
        kinds = self.variant_kinds.get(self.variant, self.kinds)
        gpu = limits.uuid or re.fullmatch(r"cuda:\d+", limits.device)
        kind = "cuda" if gpu else limits.device
        require(
            replace(limits, device=kind),
            "",
            backend=self.label,
            devices=sorted(kinds),
            precisions=("",),
        )
        if kind == "cpu":
            return CPU
        return TENSORRT if self.variant == "tensorrt" else CUDA

    def _on_gpu(
        self, ort: Any, model: BoundModel, setup: Setup, limits: Limits, precision: str
    ) -> ResidentSession:
        provider = self._provider(limits)
        cuda.require_built(ort, provider)
        cuda.hold_tf32(limits, precision)
        events = cuda.events()
        try:
            stream = events.handle if events else None
            setup = replace(setup, providers=cuda.providers(provider, precision, stream))
            inner = _opened(ort, model, setup)
            cuda.require_enabled(inner, provider, dict(setup.providers[0][1]))
        except Exception:
            if events:
                events.close()
            raise
        setup = replace(setup, providers=cuda.without_stream(setup.providers))
        return ResidentSession(inner, model.outputs, setup, precision, ort=ort, events=events)


def _disabled(path: Path, precision: str) -> str:
    """Return the optimisations that a file of that precision does without on the CPU."""
    if precision == "int8":
        return ADD_FUSION
    return BLOCKED_CONVOLUTIONS if precision == "fp16" and not has_convolution(path) else ""


def _opened(ort: Any, model: BoundModel, setup: Setup) -> Any:
    """Return ONNX Runtime's session, or what it said as an error of ours."""
    try:
        return open_session(ort, setup)
    except Exception as error:
        message = str(error)
        typed = said.refusal(message, model.path)
        if typed is None and setup.provider != CPU:
            typed = said.fault(message)
        if typed is None and "install TensorRT" in message:
            typed = UsageError("ONNX Runtime cannot load TensorRT's libraries", cuda.TENSORRT_FIX)
        if typed:
            raise typed from error
        raise
