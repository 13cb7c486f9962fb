"""NVIDIA GPUs through the driver's management library (NVML), found by number or UUID.

zeus (0.16) takes ``CUDA_VISIBLE_DEVICES`` for a list of numbers, so that a UUID in it raises, and
looks a GPU up by NVML's index, which is CUDA's only where ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.
Here the list is read as CUDA reads it, and an order that cannot be known is refused.

NVML is initialised once and stays so until the process ends: a shutdown under a meter that is
still held would break it. Tested with a library of our own that nvidia-ml-py loads in place of the
driver's; what runs on a GPU is listed in ``docs/energy.md``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xbench.errors import MeterError

SEE = "`xbench devices` lists what is there"
REASONS = {
    "NVML_ERROR_NOT_SUPPORTED": "this GPU or its driver does not offer it",
    "NVML_ERROR_FUNCTION_NOT_FOUND": "this driver is too old to offer it",
    "NVML_ERROR_NO_PERMISSION": "permission denied",
    "NVML_ERROR_GPU_IS_LOST": "the GPU is lost",
    "NVML_ERROR_UNINITIALIZED": "the driver was unloaded meanwhile",
    "NVML_ERROR_DRIVER_NOT_LOADED": "the NVIDIA driver is not loaded",
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": "the driver and its library differ in version",
    "NVML_ERROR_LIBRARY_NOT_FOUND": "there is no NVIDIA driver on this machine",
}
FIXES = {
    "NVML_ERROR_NOT_SUPPORTED": "Measure it with another meter",
    "NVML_ERROR_NO_PERMISSION": "Ask for the right to read it, or run as root",
    "NVML_ERROR_LIBRARY_NOT_FOUND": (
        "Install the driver; in a container, start it with --gpus and"
        " NVIDIA_DRIVER_CAPABILITIES=compute,utility"
    ),
}
AGAIN = "Check it with nvidia-smi, and run again"
VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or an instance of one (MIG).

    Attributes:
        nvml: The module ``pynvml``.
        handle: NVML's for it.
        part: Whether it is an instance, or is split into such.
    """

    nvml: Any
    handle: Any
    uuid: str
    part: bool

    def ask(self, name: str, *arguments: Any) -> Any:
        """Return what ``nvmlDevice<name>`` says of it.

        Raises:
            MeterError: If NVML refuses, with the reason.
        """
        return call(self.nvml, f"nvmlDevice{name}", self.handle, *arguments)

    def processes(self) -> dict[int, int | None]:
        """Return the device memory of each process on the GPU, in bytes, by its number.

        None where the driver does not tell (Windows, and some containers).

        Raises:
            MeterError: If the driver gives no list.
        """
        listed = self.ask("GetComputeRunningProcesses")
        return {one.pid: one.usedGpuMemory for one in listed}


def load() -> Any:
    """Return ``pynvml``, ready to be asked.

    Raises:
        MeterError: If there is no driver, with the reason.
    """
    import pynvml

    call(pynvml, "nvmlInit")
    return pynvml


def call(nvml: Any, name: str, *arguments: Any) -> Any:
    """Return what a function of NVML returns; its errors as a `MeterError` in words."""
    try:
        return getattr(nvml, name)(*arguments)
    except nvml.NVMLError as error:
        raise explained(nvml, error) from error


def explained(nvml: Any, error: Any) -> MeterError:
    """Return NVML's error as a reason and what helps."""
    code = next((name for name in REASONS if getattr(nvml, name) == error.value), "")
    return MeterError(REASONS.get(code, f"NVML says: {error}"), FIXES.get(code, AGAIN))


def find_gpu(device: str, environment: Mapping[str, str] = os.environ) -> Gpu:
    """Return the GPU that CUDA calls ``device`` in a process with that environment.

    Args:
        device: ``cuda:1``; or a UUID, or an unambiguous start of one: ``GPU-1234``, ``MIG-...``.
        environment: Where ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER`` stand.

    Raises:
        MeterError: If there is none, or it cannot be told which it is.
    """
    nvml = load()
    if not (match := re.fullmatch(r"cuda:(\d+)", device)):
        return _by_uuid(nvml, device)
    index, listed = int(match[1]), environment.get(VISIBLE)
    if listed is None:
        return _by_number(nvml, index, environment)
    entries = _entries(listed)
    if index >= len(entries):
        raise MeterError(f"{VISIBLE}={listed} hides {device}", SEE)
    return _meant(nvml, entries[index], environment)


def whole_gpus(nvml: Any) -> list[Gpu]:
    """Return the GPUs as the driver counts them, instances (MIG) apart."""
    count = call(nvml, "nvmlDeviceGetCount")
    return [_gpu(nvml, call(nvml, "nvmlDeviceGetHandleByIndex", i)) for i in range(count)]


def instances(gpu: Gpu) -> list[Gpu]:
    """Return the MIG instances of a GPU; none of one that is not split."""
    found: list[Gpu] = []
    for index in range(gpu.ask("GetMaxMigDeviceCount") if gpu.part else 0):
        try:
            handle = gpu.ask("GetMigDeviceHandleByIndex", index)
        except MeterError:
            continue  # a place that no instance takes
        found.append(Gpu(gpu.nvml, handle, call(gpu.nvml, "nvmlDeviceGetUUID", handle), True))
    return found


def visible_uuids(nvml: Any, environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the UUIDs of what CUDA sees in a process with that environment; None for all.

    CUDA stops reading at the first entry that names no GPU.

    Raises:
        MeterError: If it names GPUs by numbers that may be others'.
    """
    listed = environment.get(VISIBLE)
    if listed is None:
        return None
    entries, found = _entries(listed), []
    if any(entry.isdecimal() for entry in entries):
        _check_order(nvml, environment)
    for entry in entries:
        try:
            found.append(_meant(nvml, entry, environment).uuid)
        except MeterError:
            break
    return tuple(found)


def _entries(listed: str) -> list[str]:
    """Return the devices that CUDA sees: those before the first that makes no sense."""
    entries: list[str] = []
    for word in listed.split(","):
        entry = word.strip()
        if not re.fullmatch(r"\d+|(GPU|MIG)-.+", entry):
            break
        entries.append(entry)
    return entries


def _meant(nvml: Any, entry: str, environment: Mapping[str, str]) -> Gpu:
    """Return the GPU that an entry of ``CUDA_VISIBLE_DEVICES`` stands for."""
    if entry.isdecimal():
        return _by_number(nvml, int(entry), environment)
    return _by_uuid(nvml, entry)


def _by_number(nvml: Any, index: int, environment: Mapping[str, str]) -> Gpu:
    """Return the GPU with a number of CUDA's, which is NVML's if all GPUs are of one kind."""
    count = call(nvml, "nvmlDeviceGetCount")
    if index >= count:
        raise MeterError(f"there is no cuda:{index}: the driver lists {count}", SEE)
    _check_order(nvml, environment)
    return _gpu(nvml, call(nvml, "nvmlDeviceGetHandleByIndex", index))


def _check_order(nvml: Any, environment: Mapping[str, str]) -> None:
    """Raise a `MeterError` if CUDA may count the GPUs in another order than the driver."""
    count = call(nvml, "nvmlDeviceGetCount")
    handles = [call(nvml, "nvmlDeviceGetHandleByIndex", i) for i in range(count)]
    names = {call(nvml, "nvmlDeviceGetName", handle) for handle in handles}
    if len(names) > 1 and environment.get(ORDER) != "PCI_BUS_ID":
        raise MeterError(
            "CUDA numbers GPUs of different kinds by speed, so which it means is not known",
            f"Set {ORDER}=PCI_BUS_ID, or name the GPU by its UUID",
        )


def _by_uuid(nvml: Any, start: str) -> Gpu:
    """Return the GPU or MIG instance whose UUID starts so."""
    every = [one for gpu in whole_gpus(nvml) for one in (gpu, *instances(gpu))]
    found = [gpu for gpu in every if gpu.uuid.startswith(start)]
    exact = [gpu for gpu in found if gpu.uuid == start]
    if len(exact or found) != 1:
        count = "no" if not found else f"more than one ({len(found)})"
        raise MeterError(f"{count} GPU has a UUID that starts with {start}", SEE)
    return (exact or found)[0]


def _gpu(nvml: Any, handle: Any) -> Gpu:
    """Return a whole GPU, with whether it is split into instances."""
    try:
        split = bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    except nvml.NVMLError:
        split = False  # a GPU that knows no MIG
    return Gpu(nvml, handle, call(nvml, "nvmlDeviceGetUUID", handle), split)
