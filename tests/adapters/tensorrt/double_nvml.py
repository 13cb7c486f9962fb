"""What of NVML's Python package says which GPU is meant: one, at one place on the bus."""

# ruff: noqa: N802 -- the names are NVML's
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.adapters.tensorrt.double import BUS


class NVMLError(Exception):
    """What every call may raise."""


def nvmlInit() -> None:
    """Do nothing."""


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    """Return a handle of the only GPU."""
    if index != 0:
        raise NVMLError("Invalid Argument")
    return 77


def nvmlDeviceGetPciInfo(handle: int) -> Any:
    """Return where the GPU is."""
    return SimpleNamespace(busId=BUS.decode())


def nvmlDeviceGetCudaComputeCapability(handle: int) -> tuple[int, int]:
    """Return what it can."""
    return 9, 0


def nvmlDeviceGetName(handle: int) -> str:
    """Return its name."""
    return "NVIDIA Double"


def nvmlDeviceGetUUID(handle: int) -> str:
    """Return its UUID."""
    return "GPU-00000000-0000-0000-0000-000000000001"


def nvmlSystemGetDriverVersion() -> str:
    """Return the driver's version."""
    return "590.10"
