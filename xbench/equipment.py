"""The devices of this machine, each with what can be measured of it, or why it cannot.

Each reading is tried once, which takes milliseconds: whether an energy counter advances is only
known once a model has run for some seconds, and a row then says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xbench.cgroup import read_text
from xbench.device import CPU, CUDA, Device, cpu_info, list_devices
from xbench.device.nvml import Gpu, find_gpu
from xbench.errors import MeterError
from xbench.telemetry.meter import Absent, Meter
from xbench.telemetry.sources import meters_for
from xbench.telemetry.usage import read_usage, reset_peak

SCHEMA = 1
"""Of `to_json`. 1: ``devices``, each as `Device` with ``telemetry``."""

ROOT = Path("/sys")
SELF = Path("/proc/self")
BARE = "Virtual machines and containers often hide it; measure on the bare machine"
OTHER_KERNEL = "Use a kernel, or a container, that shows it"

# What the driver is asked for: the call, older ones of the same, and the constant that it takes.
OF_GPU: Mapping[str, tuple[tuple[str, ...], str | None]] = {
    "memory": (("GetMemoryInfo",), None),
    "memory by process": (("GetComputeRunningProcesses",), None),
    "temperature": (("GetTemperature",), "NVML_TEMPERATURE_GPU"),
    "clocks": (("GetClockInfo",), "NVML_CLOCK_SM"),
    "throttling": (("GetCurrentClocksEventReasons", "GetCurrentClocksThrottleReasons"), None),
}


@dataclass(frozen=True, slots=True)
class Instrument:
    """Something that measures a device, or that would if it were there.

    Attributes:
        measures: ``energy``, ``memory``, ``temperature``, ``clocks`` or ``throttling``.
        source: What reads it, such as ``nvml counter GPU-1234``.
        scope: What an energy belongs to: ``package``, ``board``; None of others.
        reason: Why it cannot be read, or None.
        fix: What helps, or None.
    """

    measures: str
    source: str
    scope: str | None = None
    reason: str | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Equipment:
    """A device with its instruments."""

    device: Device
    telemetry: tuple[Instrument, ...]


def list_equipment(
    environment: Mapping[str, str] = os.environ, root: Path = ROOT
) -> tuple[Equipment, ...]:
    """Return each device that `xbench.device.list_devices` has, with its instruments.

    Args:
        environment: Says which GPU CUDA means.
        root: Where the kernel's tree is.
    """
    host = meters_for(CPU, environment, root=root)
    found = []
    for device in list_devices():
        if device.name == CPU:
            telemetry = (*_energy(host), *_of_cpu(root))
        else:
            telemetry = (*_energy_of_gpu(device, host, root), *_of_gpu(device))
        found.append(Equipment(device, telemetry))
    return tuple(found)


def to_json(found: tuple[Equipment, ...]) -> dict[str, Any]:
    """Return plain data for a document; None for what is not told."""
    devices = [
        {**asdict(one.device), "telemetry": [asdict(each) for each in one.telemetry]}
        for one in found
    ]
    return {"schema": SCHEMA, "devices": devices}


def _energy(meters: tuple[Meter | Absent, ...]) -> Iterator[Instrument]:
    """Yield the meters as instruments."""
    for meter in meters:
        reason, fix = (meter.reason, meter.fix) if isinstance(meter, Absent) else (None, None)
        yield Instrument("energy", meter.name, meter.scope.value, reason, fix)


def _energy_of_gpu(
    device: Device, host: tuple[Meter | Absent, ...], root: Path
) -> Iterator[Instrument]:
    """Yield a GPU's own meters; of one that no driver lists, those that another library knows."""
    if device.uuid is None and not find_spec("amdsmi"):
        return
    names = {meter.name for meter in host}
    found = meters_for(device.uuid or f"{CUDA}:0", root=root)
    own = tuple(meter for meter in found if meter.name not in names)
    yield from _energy(own or found)  # on a Jetson they are the board's


def _of_cpu(root: Path) -> Iterator[Instrument]:
    """Yield what the kernel tells of the processor and of the host's memory."""
    hidden = None if read_usage(SELF).pss is not None else "the kernel or a container hides it"
    yield _kernel("memory", "/proc/PID/smaps_rollup", hidden, OTHER_KERNEL)
    problem = reset_peak(SELF)
    reason = f"it cannot be reset: {problem}" if problem else None
    yield _kernel("memory peak", "/proc/PID/clear_refs", reason, OTHER_KERNEL)
    none = None if _has_temperature() else "no temperature sensor is exposed"
    yield _kernel("temperature", "hwmon", none, BARE)
    yield _clock(root / "devices/system/cpu/cpu0")
    counters = list((root / "devices/system/cpu/cpu0").glob("thermal_throttle/*_count"))
    untold = None if counters else "the kernel counts no throttling here"
    yield _kernel("throttling", "thermal_throttle", untold, BARE)


def _clock(cpu: Path) -> Instrument:
    """Return what tells a CPU's frequency: its driver, or what the processor says of itself."""
    if read_text(cpu / "cpufreq/scaling_cur_freq"):
        return Instrument("clocks", "cpufreq")
    reason = None if cpu_info().get("cpu MHz") else "the kernel does not tell the frequency"
    return _kernel("clocks", "/proc/cpuinfo", reason, BARE)


def _kernel(measures: str, source: str, reason: str | None, fix: str) -> Instrument:
    return Instrument(measures, source, None, reason, fix if reason else None)


def _has_temperature() -> bool:
    import psutil

    return bool(psutil.sensors_temperatures()) if hasattr(psutil, "sensors_temperatures") else False


def _of_gpu(device: Device) -> Iterator[Instrument]:
    """Yield what the driver tells of a GPU besides its energy."""
    if device.uuid is None:
        return
    gpu = find_gpu(device.uuid)
    for measures, (calls, constant) in OF_GPU.items():
        arguments = () if constant is None else (getattr(gpu.nvml, constant),)
        refused = _refused(gpu, calls, arguments)
        reason, fix = (refused.reason, refused.fix) if refused else (None, None)
        yield Instrument(measures, "nvml", None, reason, fix)


def _refused(gpu: Gpu, calls: tuple[str, ...], arguments: tuple[Any, ...]) -> MeterError | None:
    """Return why none of the calls gives an answer, or None."""
    refused = None
    for name in calls:
        if not hasattr(gpu.nvml, f"nvmlDevice{name}"):
            continue  # of a newer nvidia-ml-py
        try:
            gpu.ask(name, *arguments)
        except MeterError as error:
            refused = refused or error
        else:
            return None
    return refused
