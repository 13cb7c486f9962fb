"""What of NVML's Python package says which GPU is meant: one, at one place on the bus."""

# ruff: noqa: N802 -- the names are NVML's
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.adapters.tensorrt.double import BUS

UUID = "GPU-00000000-0000-0000-0000-000000000001"
MIG = "MIG-00000000-0000-0000-0000-000000000002"


class NVMLError(Exception):
    """What every call may raise."""


def nvmlInit() -> None:
    """Do nothing."""


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    """Return a handle of the only GPU."""
    if index != 0:
        raise NVMLError("Invalid Argument")
    return 77


def nvmlDeviceGetHandleByUUID(uuid: str) -> int:
    """Return a handle of the only GPU, or of its only instance."""
    if uuid not in (UUID, MIG):
        raise NVMLError("Not Found")
    return 77 if uuid == UUID else 78


def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle: int) -> int:
    """Return the handle of the GPU that an instance is part of."""
    assert handle == 78
    return 77


def nvmlDeviceGetPciInfo(handle: int) -> Any:
    """Return where the GPU is; an instance is not asked."""
    assert handle == 77
    return SimpleNamespace(busId=BUS.decode())


def nvmlDeviceGetCudaComputeCapability(handle: int) -> tuple[int, int]:
    """Return what it can."""
    return 9, 0


def nvmlDeviceGetName(handle: int) -> str:
    """Return its name."""
    return "NVIDIA Double"


def nvmlDeviceGetUUID(handle: int) -> str:
    """Return its UUID."""
    return UUID if handle == 77 else MIG


def nvmlSystemGetDriverVersion() -> str:
    """Return the driver's version."""
    return "590.10"
