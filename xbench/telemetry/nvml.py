"""One NVIDIA GPU through its management library (NVML), found by UUID.

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
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from xbench.telemetry.meter import MeterError

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
BUSY_PERCENT = 5
AGAIN = "Check it with nvidia-smi, and run again"


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
    index, visible = int(match[1]), environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _by_index(nvml, index, environment)
    entries = _entries(visible)
    if index >= len(entries):
        raise MeterError(f"CUDA_VISIBLE_DEVICES={visible} hides {device}", SEE)
    entry = entries[index]
    if entry.isdecimal():
        return _by_index(nvml, int(entry), environment)
    return _by_uuid(nvml, entry)


def others(gpu: Gpu, own: Callable[[], Collection[int]], idle: bool) -> str | None:
    """Return that others use the GPU, or that it cannot be told; None where nobody does.

    In a container with process numbers of its own the driver lists none, or other numbers: then
    only a GPU that is busy while the model is idle gives them away.
    """
    try:
        busy = int(gpu.ask("GetUtilizationRates").gpu) if idle else 0
    except MeterError:
        busy = 0
    if busy > BUSY_PERCENT:
        return f"contended: others kept the GPU {busy} % busy while the model was idle"
    try:
        found = set(gpu.processes())
    except MeterError as error:
        return f"whether others use the GPU is not known: {error.reason}"
    ours = set(own())
    if not found & ours:
        return (
            f"whether others use the GPU is not known: none of the {len(found)} processes that"
            " the driver lists is ours (as in a container with process numbers of its own)"
        )
    foreign = ", ".join(map(str, sorted(found - ours)))
    return f"contended: process {foreign} is on the GPU too" if foreign else None


def own_processes() -> set[int]:
    """Return the numbers of this process and of all that it started."""
    this = psutil.Process()
    return {this.pid, *(child.pid for child in this.children(recursive=True))}


def _entries(visible: str) -> list[str]:
    """Return the devices that CUDA sees: those before the first that makes no sense."""
    entries: list[str] = []
    for word in visible.split(","):
        entry = word.strip()
        if not re.fullmatch(r"\d+|(GPU|MIG)-.+", entry):
            break
        entries.append(entry)
    return entries


def _by_index(nvml: Any, index: int, environment: Mapping[str, str]) -> Gpu:
    """Return the GPU with an index of CUDA's, which is NVML's if all GPUs are of one kind."""
    count = call(nvml, "nvmlDeviceGetCount")
    if index >= count:
        raise MeterError(f"there is no cuda:{index}: the driver lists {count}", SEE)
    handles = [call(nvml, "nvmlDeviceGetHandleByIndex", i) for i in range(count)]
    names = {call(nvml, "nvmlDeviceGetName", handle) for handle in handles}
    if len(names) > 1 and environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise MeterError(
            "CUDA numbers GPUs of different kinds by speed, so which it means is not known",
            "Set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name the GPU by its UUID",
        )
    return _gpu(nvml, handles[index])


def _by_uuid(nvml: Any, start: str) -> Gpu:
    """Return the GPU or MIG instance whose UUID starts so."""
    found = [gpu for gpu in _all(nvml) if gpu.uuid.startswith(start)]
    exact = [gpu for gpu in found if gpu.uuid == start]
    if len(exact or found) != 1:
        count = "no" if not found else f"more than one ({len(found)})"
        raise MeterError(f"{count} GPU has a UUID that starts with {start}", SEE)
    return (exact or found)[0]


def _all(nvml: Any) -> list[Gpu]:
    """Return each GPU and each MIG instance."""
    gpus = []
    for index in range(call(nvml, "nvmlDeviceGetCount")):
        gpu = _gpu(nvml, call(nvml, "nvmlDeviceGetHandleByIndex", index))
        gpus.append(gpu)
        if gpu.part:
            gpus += _instances(gpu)
    return gpus


def _instances(gpu: Gpu) -> list[Gpu]:
    """Return the MIG instances of a GPU."""
    found = []
    for index in range(gpu.ask("GetMaxMigDeviceCount")):
        try:
            handle = gpu.ask("GetMigDeviceHandleByIndex", index)
        except MeterError:
            continue  # a place that no instance takes
        found.append(Gpu(gpu.nvml, handle, call(gpu.nvml, "nvmlDeviceGetUUID", handle), True))
    return found


def _gpu(nvml: Any, handle: Any) -> Gpu:
    """Return a whole GPU, with whether it is split into instances."""
    try:
        split = bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    except nvml.NVMLError:
        split = False  # a GPU that knows no MIG
    return Gpu(nvml, handle, call(nvml, "nvmlDeviceGetUUID", handle), split)
