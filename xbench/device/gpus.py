"""NVIDIA's GPUs and their instances (MIG) as devices, with what decides how fast they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from xbench.device.nvml import VISIBLE, Gpu, call, instances, load, visible_uuids, whole_gpus
from xbench.device.record import CUDA, Device
from xbench.errors import MeterError

NO_GPU = "the NVIDIA driver lists no GPU"
NOT_INSTALLED = "the package nvidia-ml-py is not installed"


def list_gpus(environment: Mapping[str, str] = os.environ) -> list[Device]:
    """Return each GPU as the driver counts them, followed by its instances.

    One that a process with ``environment`` may not use has the reason; without any there is one
    entry that says why.
    """
    try:
        nvml = load()
        found = list(_listed(nvml, environment))
    except ImportError:
        return [Device(CUDA, None, reason=NOT_INSTALLED)]
    except MeterError as error:
        return [Device(CUDA, None, reason=error.reason)]
    return found or [Device(CUDA, None, reason=NO_GPU)]


def _listed(nvml: Any, environment: Mapping[str, str]) -> Iterator[Device]:
    """Yield the devices."""
    try:
        visible, unknown = visible_uuids(nvml, environment), None
    except MeterError as error:
        visible, unknown = (), f"{error.reason} ({error.fix})"
    hidden = unknown or f"{VISIBLE}={environment.get(VISIBLE)} hides it"
    for index, gpu in enumerate(whole_gpus(nvml)):
        parts = instances(gpu)
        seen = visible is None or gpu.uuid in visible
        yield _whole(index, gpu, parts, None if seen else hidden)
        for part in parts:
            shown = seen or (visible is not None and part.uuid in visible)
            yield _part(index, part, None if shown else hidden)


def _whole(index: int, gpu: Gpu, parts: list[Gpu], hidden: str | None) -> Device:
    """Return a GPU; one that is split can run nothing but in its instances."""
    reason = hidden
    if gpu.part:
        reason = "it is split into MIG instances: name one of them by its UUID"
        reason = reason if parts else "MIG is on, and it has no instances"
    memory = _told(gpu, "GetMemoryInfo")
    details = {
        "uuid": gpu.uuid,
        "compute_capability": _told(gpu, "GetCudaComputeCapability"),
        "driver": _of_system(gpu.nvml, "nvmlSystemGetDriverVersion"),
        "cuda": _cuda(_of_system(gpu.nvml, "nvmlSystemGetCudaDriverVersion")),
        **_clocks(gpu),
        **_power(gpu),
        "persistence": _on(_told(gpu, "GetPersistenceMode")),
        "ecc": _on(_first(_told(gpu, "GetEccMode"))),
        "mig": _on(_first(_told(gpu, "GetMigMode"))),
        "instances": [part.uuid for part in parts] or None,
    }
    total = memory.total if memory else None
    return Device(f"{CUDA}:{index}", _told(gpu, "GetName"), total, details, reason)


def _part(index: int, part: Gpu, hidden: str | None) -> Device:
    """Return an instance of a GPU. Its clocks and its power are the whole GPU's."""
    memory = _told(part, "GetMemoryInfo")
    details = {"uuid": part.uuid, "parent": f"{CUDA}:{index}"}
    total = memory.total if memory else None
    return Device(part.uuid, _told(part, "GetName"), total, details, hidden)


def _clocks(gpu: Gpu) -> dict[str, int | None]:
    """Return the clocks just now and the highest, in MHz."""
    core, memory = gpu.nvml.NVML_CLOCK_SM, gpu.nvml.NVML_CLOCK_MEM
    return {
        "sm_mhz": _told(gpu, "GetClockInfo", core),
        "max_sm_mhz": _told(gpu, "GetMaxClockInfo", core),
        "memory_mhz": _told(gpu, "GetClockInfo", memory),
        "max_memory_mhz": _told(gpu, "GetMaxClockInfo", memory),
    }


def _power(gpu: Gpu) -> dict[str, int | None]:
    """Return the limit that holds now, the maker's, and within what it can be set, in mW."""
    range_mw = _told(gpu, "GetPowerManagementLimitConstraints") or (None, None)
    return {
        "power_limit_mw": _told(gpu, "GetEnforcedPowerLimit"),
        "default_power_limit_mw": _told(gpu, "GetPowerManagementDefaultLimit"),
        "min_power_limit_mw": range_mw[0],
        "max_power_limit_mw": range_mw[1],
    }


def _told(gpu: Gpu, name: str, *arguments: Any) -> Any:
    """Return what the driver says of a GPU, or None."""
    with suppress(MeterError):
        return gpu.ask(name, *arguments)
    return None


def _of_system(nvml: Any, name: str) -> Any:
    """Return what the driver says of itself, or None."""
    with suppress(MeterError):
        return call(nvml, name)
    return None


def _cuda(version: int | None) -> str | None:
    """Return the newest CUDA that the driver serves, such as ``12.8`` for 12080."""
    return None if version is None else f"{version // 1000}.{version % 1000 // 10}"


def _first(pair: Any) -> int | None:
    """Return what is, of a pair with what will be after the next start."""
    return None if pair is None else int(pair[0])


def _on(state: int | None) -> bool | None:
    return None if state is None else bool(state)
