"""NVIDIA GPUs: the providers for them, their options, and whether they were really enabled.

A worker sees one GPU, which is number 0 there. ONNX Runtime goes on without a provider whose
libraries it cannot load, and computes on the CPU; its option against other providers does not
change that. So what it has enabled is read back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from ctypes.util import find_library
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xbench.adapter import Limits
from xbench.errors import BackendUnavailableError, UsageError
from xbench_adapters.onnxruntime.options import CUDA, TENSORRT
from xbench_adapters.tensorrt import gpu
from xbench_adapters.tensorrt.gpu import TF32_OVERRIDE, Gpu
from xbench_adapters.tensorrt.stream import Stream

GPU_FIX = (
    "Install it with: pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]', "
    "of the CUDA that the driver knows"
)
TENSORRT_FIX = (
    "Install the TensorRT of the version that this onnxruntime-gpu was made with (1.31: TensorRT "
    "10 for CUDA 13): pip install tensorrt-cu13==10.*"
)
BINDINGS_FIX = "Install it with: pip install cuda-bindings"
LIBRARIES = {CUDA: "cuda", TENSORRT: "tensorrt"}
NARROWED = {"fp16": "trt_fp16_enable", "bf16": "trt_bf16_enable", "int8": "trt_int8_enable"}


def has_library(provider: str) -> bool:
    """Return whether the ONNX Runtime that is installed has a provider; it is not imported."""
    spec = find_spec("onnxruntime")
    folders = (spec and spec.submodule_search_locations) or ()
    name = f"libonnxruntime_providers_{LIBRARIES[provider]}.so"
    return any((Path(folder) / "capi" / name).exists() for folder in folders)


def has_tensorrt() -> bool:
    """Return whether TensorRT's library is there, as a Python package or for the linker to find."""
    return bool(find_spec("tensorrt_libs") or find_library("nvinfer"))


def devices(provider: str) -> tuple[str, ...]:
    """Return the GPUs that the driver lists, if the ONNX Runtime that is installed can use them."""
    found, _ = gpu.count() if has_library(provider) else (0, None)
    return tuple(f"cuda:{place}" for place in range(found))


def preload(ort: Any, provider: str) -> None:
    """Load the libraries of CUDA, cuDNN and TensorRT that lie among the Python packages.

    ONNX Runtime finds them afterwards; those of the system it finds by itself.
    """
    if hasattr(ort, "preload_dlls"):  # since 1.21
        ort.preload_dlls()
    if provider == TENSORRT:
        with suppress(ImportError, OSError):  # then it is the system's, or ONNX Runtime says so
            import_module("tensorrt")


def hold_tf32(limits: Limits, precision: str) -> None:
    """Switch TF32 off in this process, or make sure that it can be on.

    The CUDA provider has an option for it. The TensorRT provider has none, and builds engines that
    use it: this variable, which NVIDIA's libraries read once, is the only way.

    Raises:
        UsageError: If TF32 was asked for, and the GPU has none or it is switched off from outside.
    """
    if precision == "tf32":
        gpu.require_tf32(found(limits))
    else:
        os.environ[TF32_OVERRIDE] = "0"


def found(limits: Limits) -> Gpu:
    """Return the GPU that was asked for, as the driver knows it.

    Raises:
        UsageError: If the driver has none of that name.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
        if limits.uuid:
            handle = pynvml.nvmlDeviceGetHandleByUUID(limits.uuid)
        else:
            handle = pynvml.nvmlDeviceGetHandleByIndex(int(limits.device.removeprefix("cuda:")))
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        model, uuid = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetUUID(handle)
        driver = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError as error:
        reason = f"{limits.device} cannot be used: {error}"
        raise UsageError(reason, "`xbench devices` lists them") from None
    return Gpu(limits.device, 0, model, uuid, f"{major}.{minor}", driver)


def providers(
    provider: str, precision: str, stream: int | None
) -> tuple[tuple[str, dict[str, str]], ...]:
    """Return the provider that was asked for with its options, and behind it those it needs.

    Args:
        provider: CUDA's or TensorRT's.
        precision: What was asked for.
        stream: The CUDA stream to use; None for the provider's own.
    """
    shared = {"device_id": "0"}
    if stream is not None:
        shared |= {"has_user_compute_stream": "1", "user_compute_stream": str(stream)}
    cuda = {
        **shared,
        "use_tf32": "1" if precision == "tf32" else "0",  # on by default
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "do_copy_in_default_stream": "1",
    }
    if provider == CUDA:
        return ((CUDA, cuda),)
    # Its networks are weakly typed: float16 and int8 of the file count for nothing unless allowed.
    allowed = {option: "1" if one == precision else "0" for one, option in NARROWED.items()}
    return (TENSORRT, {**shared, **allowed, "trt_engine_cache_enable": "0"}), (CUDA, cuda)


def without_stream(
    given: tuple[tuple[str, dict[str, str]], ...],
) -> tuple[tuple[str, dict[str, str]], ...]:
    """Return providers as another process can have them: a stream is of this one only."""
    return tuple(
        (name, {k: v for k, v in options.items() if "user_compute_stream" not in k})
        for name, options in given
    )


def require_built(ort: Any, provider: str) -> None:
    """Raise if this ONNX Runtime was built without a provider.

    Raises:
        UsageError: If it was.
    """
    if provider not in ort.get_available_providers():
        raise UsageError(f"this ONNX Runtime has no {provider}", GPU_FIX)


def require_enabled(inner: Any, provider: str, asked: Mapping[str, str]) -> None:
    """Raise if a session runs without the provider that was asked for, or with other options.

    Raises:
        UsageError: If so; ONNX Runtime only logs it.
    """
    enabled = inner.get_providers()
    if provider not in enabled:
        reason = f"ONNX Runtime could not enable {provider} and would run on {', '.join(enabled)}"
        raise UsageError(reason, TENSORRT_FIX if provider == TENSORRT else GPU_FIX)
    held = inner.get_provider_options().get(provider, {})
    for option, value in asked.items():
        if option in held and held[option] != value:
            reason = f"{provider} has {option} {held[option]!r}, and was asked for {value!r}"
            raise UsageError(reason, "Use another version of onnxruntime-gpu")


class Events:
    """A stream of our own, and what CUDA notes on it before and after a run."""

    def __init__(self, cudart: Any) -> None:
        self._cudart = cudart
        self._stream = Stream(cudart)
        self._pair: list[Any] = []
        try:
            self._pair += (gpu.check(cudart, cudart.cudaEventCreate()) for _ in range(2))
        except Exception:
            self.close()
            raise

    @property
    def handle(self) -> int:
        """Return the stream as a provider takes it."""
        return self._stream.handle

    def start(self) -> None:
        """Note when all that was asked of the stream before is done."""
        gpu.check(self._cudart, self._cudart.cudaEventRecord(self._pair[0], self.handle))

    def stop(self) -> None:
        """Note when all that was asked of the stream since is done."""
        gpu.check(self._cudart, self._cudart.cudaEventRecord(self._pair[1], self.handle))

    def synchronize(self) -> None:
        """Return when all that was asked of the stream is done."""
        self._stream.synchronize()

    def between_ns(self) -> int:
        """Return the nanoseconds between both; CUDA counts them in steps of about 500."""
        elapsed = self._cudart.cudaEventElapsedTime(*self._pair)
        return round(float(gpu.check(self._cudart, elapsed)) * 1e6)

    def close(self) -> None:
        """Give the events and the stream back; again does no harm."""
        for event in self._pair:
            self._cudart.cudaEventDestroy(event)
        self._pair = []
        self._stream.close()


def events() -> Events | None:
    """Return a stream of our own with events; None where CUDA's bindings are missing.

    Raises:
        BackendUnavailableError: If CUDA itself does not work.
    """
    try:
        cudart = import_module("cuda.bindings.runtime")
    except (ImportError, OSError):
        return None
    try:
        gpu.check(cudart, cudart.cudaSetDevice(0))
        return Events(cudart)
    except gpu.CudaError as error:
        raise BackendUnavailableError("onnxruntime", str(error), GPU_FIX) from error
