"""The GPU as its driver and CUDA's runtime know it.

The driver counts GPUs by their place on the bus, CUDA by their speed and by what
``CUDA_VISIBLE_DEVICES`` shows of them. ``cuda:1`` means the driver's; a worker is given the UUID,
and sees no other. The address on the bus says which one of CUDA's it is.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from xbench.errors import BackendUnavailableError, DeviceMemoryError, UsageError

FIX = "Install it with: pip install 'xbench[tensorrt]'"
DRIVER_LIBRARY = "libnvidia-ml.so.1"
FIRST_TF32 = (8, 0)
TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"  # NVIDIA's libraries heed it, and TensorRT's builder
OUT_OF_MEMORY = "cudaErrorMemoryAllocation"


class CudaError(RuntimeError):
    """A call of CUDA's runtime failed."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, and what an engine that was built on it depends on.

    Attributes:
        name: As ``--device`` takes it, such as ``cuda:0``.
        ordinal: Its number in this process's CUDA runtime.
        model: The maker's name for it.
        uuid: As the driver spells it.
        capability: Its compute capability, such as ``9.0``.
        driver: The driver's version.
    """

    name: str
    ordinal: int
    model: str
    uuid: str
    capability: str
    driver: str


def modules() -> tuple[Any, Any]:
    """Return TensorRT and CUDA's runtime, imported.

    Raises:
        BackendUnavailableError: If one of them cannot be.
    """
    try:
        return import_module("tensorrt"), import_module("cuda.bindings.runtime")
    except (ImportError, OSError) as error:  # a library that it links to is missing
        raise BackendUnavailableError("tensorrt", str(error), FIX) from error


def count() -> tuple[int, str | None]:
    """Return how many GPUs the driver lists, and where there is none, why.

    NVML is called as it is: its package would be imported by every `xbench backends`.
    """
    try:
        nvml = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        return 0, "there is no NVIDIA driver on this machine"
    if status := nvml.nvmlInit_v2():
        return 0, f"the NVIDIA driver cannot be reached: NVML's error {status}"
    found = ctypes.c_uint(0)
    status = nvml.nvmlDeviceGetCount_v2(ctypes.byref(found))
    nvml.nvmlShutdown()
    return (0, f"NVML's error {status}") if status else (found.value, _none(found.value))


def find(cudart: Any, name: str, uuid: str | None = None) -> Gpu:
    """Return the GPU that the driver calls ``name``, with its number in CUDA's runtime.

    Args:
        cudart: CUDA's runtime.
        name: Such as ``cuda:1``; only a name where there is a UUID.
        uuid: Of the GPU or of its instance (MIG).

    Raises:
        UsageError: If the driver has no such GPU, or hides it from this process.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
        if uuid is None:
            handle = pynvml.nvmlDeviceGetHandleByIndex(int(name.removeprefix("cuda:")))
        else:
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        model, uuid = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetUUID(handle)
        if uuid.startswith("MIG-"):  # an instance lies where its GPU does
            handle = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
        bus = pynvml.nvmlDeviceGetPciInfo(handle).busId
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        driver = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError as error:
        raise UsageError(f"{name} cannot be used: {error}", "`xbench devices` lists them") from None
    status, ordinal = cudart.cudaDeviceGetByPCIBusId(
        bus if isinstance(bus, bytes) else bus.encode()
    )
    if int(status):
        reason = f"{name}, at {bus}, is hidden from CUDA in this process: {_named(status)}"
        raise UsageError(reason, "See CUDA_VISIBLE_DEVICES, or name another device")
    return Gpu(name, int(ordinal), model, uuid, f"{major}.{minor}", driver)


def require_tf32(gpu: Gpu) -> None:
    """Raise where TF32 would silently be float32: on older GPUs, or switched off from outside.

    Raises:
        UsageError: If so.
    """
    if tuple(map(int, gpu.capability.split("."))) < FIRST_TF32:
        reason = f"{gpu.name} has compute capability {gpu.capability}, and TF32 needs 8.0"
        raise UsageError(reason, "Ask for fp32")
    if os.environ.get(TF32_OVERRIDE) == "0":
        raise UsageError(f"{TF32_OVERRIDE}=0 switches TF32 off", f"Unset {TF32_OVERRIDE}")


def check(cudart: Any, result: tuple[Any, ...]) -> Any:
    """Return what a call of CUDA's runtime gives besides its status; None if nothing.

    Raises:
        DeviceMemoryError: If the GPU, or the memory that is pinned for it, is full.
        CudaError: If the call failed in another way, or a kernel before it did.
    """
    status, *rest = result
    if not int(status):
        return rest[0] if rest else None
    _, words = cudart.cudaGetErrorString(status)
    said = f"CUDA says {_named(status)}: {words.decode() if isinstance(words, bytes) else words}"
    raise DeviceMemoryError(said) if _named(status) == OUT_OF_MEMORY else CudaError(said)


def _named(status: Any) -> str:
    """Return a status by name; by number where the bindings are older than the driver."""
    return str(getattr(status, "name", f"error {int(status)}"))


def _none(found: int) -> str | None:
    return None if found else "the NVIDIA driver lists no GPU"
