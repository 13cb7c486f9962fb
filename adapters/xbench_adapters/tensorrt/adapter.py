"""TensorRT as a backend: an engine built from the ONNX graph, run on a CUDA stream.

What it calls is checked against the bindings that NVIDIA publishes, and run against a double of
them; ``docs/evidence`` says what has been seen on hardware.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

from xbench.adapter import Availability, BoundModel, Limits
from xbench.authoring import chosen, installed, require
from xbench_adapters.tensorrt import gpu
from xbench_adapters.tensorrt.gpu import FIX, Gpu
from xbench_adapters.tensorrt.session import TensorRtSession

if TYPE_CHECKING:
    from xbench_adapters.tensorrt.engine import Engine

DISTRIBUTIONS = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
CUDA_DISTRIBUTIONS = ("cuda-bindings", "cuda-python")
OLDEST = (10, 1)
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8")


class TensorRtAdapter:
    """Runs ONNX files as TensorRT engines; the harness, not the adapter, owns the clock."""

    name: ClassVar[str] = "tensorrt"
    variants: ClassVar[Mapping[str, str]] = {
        "": "GPU, a strongly typed engine, enqueued on a stream",
        "graph": "the same, its copies and kernels captured once and launched as a CUDA graph",
    }

    kinds: ClassVar[frozenset[str]] = frozenset({"cuda"})

    def __init__(self, variant: str = "") -> None:
        self.variant = chosen(self.name, self.variants, variant)
        self._unloaded: dict[Any, Engine] = {}
        self._known: WeakValueDictionary[Any, Engine] = WeakValueDictionary()

    def available(self) -> Availability:
        """Return whether it and CUDA's bindings are installed, and which GPUs the driver lists.

        Its metadata and the driver's library say so; neither TensorRT nor CUDA is imported.
        """
        found = installed(DISTRIBUTIONS, FIX)
        if found.version is None:
            return Availability(None, (), found.reason, found.fix)
        if tuple(int(part) for part in found.version.split(".")[:2]) < OLDEST:
            reason = f"TensorRT {found.version} is too old; 10.1 to 11 are supported"
            return Availability(None, (), reason, FIX)
        if missing := installed(CUDA_DISTRIBUTIONS, FIX).reason:
            return Availability(None, (), missing, FIX)
        count, absent = gpu.count()
        if not count:
            return Availability(None, (), absent, "It needs an NVIDIA GPU and its driver")
        return Availability(found.version, tuple(f"cuda:{place}" for place in range(count)))

    def prepare(self, limits: Limits) -> str:  # noqa: ARG002 -- a GPU's threads are its own
        """Import TensorRT and CUDA's runtime, and return TensorRT's version."""
        trt, _ = gpu.modules()
        return str(trt.__version__)

    def load(self, model: BoundModel, limits: Limits, precision: str) -> TensorRtSession:
        """Return a session of an engine that another process has built, or that was kept.

        From then on the engine is the session's: it goes with the last one that runs it.

        Raises:
            UnsupportedNodeError: If TensorRT refuses a node; the others are named with it.
            UsageError: If the device or the precision cannot be held.
            DeviceMemoryError: If the GPU has too little memory.
        """
        device = self._device(limits, precision)
        engine = self._engine(model, device, precision)
        self._unloaded.pop(_decides(model, device, precision), None)
        return TensorRtSession(engine, model, device, captured=self.variant == "graph")

    def convert(self, model: BoundModel, limits: Limits, precision: str) -> None:
        """Have the engine of ``model`` at hand, which another process builds unless it was kept.

        Raises:
            UnsupportedNodeError: If TensorRT refuses a node; the others are named with it.
            UsageError: If the device or the precision cannot be held.
            DeviceMemoryError: If the GPU has too little memory.
        """
        device = self._device(limits, precision)
        engine = self._engine(model, device, precision)
        self._unloaded[_decides(model, device, precision)] = engine

    def check(self, model: BoundModel, limits: Limits, precision: str) -> None:
        """Raise what TensorRT's parser refuses, in a process of its own; nothing is built.

        Raises:
            UnsupportedNodeError: If TensorRT refuses a node.
            UsageError: If the device or the precision cannot be held.
        """
        from xbench_adapters.tensorrt.engine import parse

        parse(model, self._device(limits, precision), precision)

    def _engine(self, model: BoundModel, device: Gpu, precision: str) -> Engine:
        """Return the engine of ``model``, got anew unless it is at hand."""
        from xbench_adapters.tensorrt.engine import engine_of

        decides = _decides(model, device, precision)
        if (found := self._known.get(decides)) is not None:
            return found
        trt, cudart = gpu.modules()
        gpu.check(cudart, cudart.cudaSetDevice(device.ordinal))
        engine = engine_of(model, device, precision, str(trt.__version__))
        self._known[decides] = engine
        return engine

    def _device(self, limits: Limits, precision: str) -> Gpu:
        """Return the GPU that was asked for, once sure that it and the precision can be held."""
        named = limits.uuid or re.fullmatch(r"cuda:(\d+)", limits.device)
        held = (limits.device,) if named else ("cuda:0",)
        require(limits, precision, backend=self.name, devices=held, precisions=PRECISIONS)
        _, cudart = gpu.modules()
        found = gpu.find(cudart, limits.device, limits.uuid)
        if precision == "tf32":
            gpu.require_tf32(found)
        return found


def _decides(model: BoundModel, device: Gpu, precision: str) -> tuple[Any, ...]:
    """Return what decides an engine within one process."""
    return model.path, tuple(model.shapes.items()), device, precision
