"""Meters of an NVIDIA GPU: its energy counter and its power now, which are held together.

``nvmlDeviceGetPowerUsage`` tells the mean of the last second on Ampere (GA100 apart) and later, and
the power now before; which it is cannot be asked. So the field ``POWER_INSTANT`` is read, and where
a driver lacks it the first second of every window is left out. The counter is the GPU's own, in
millijoules since the driver was loaded (Volta and later).

zeus (0.16) believes that a GPU counts energy if its architecture is Volta or later; here the
counter is read and has to advance. A MIG instance has neither: the driver tells both of the whole
GPU only, on which other instances may be at work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from math import inf

from xbench.telemetry.meter import Absent, Kind, Meter, MeterError, Scope
from xbench.telemetry.nvml import Gpu, explained, find_gpu, others, own_processes

AVERAGED_S = 1.0
# What reads a meter, for how many seconds it is stale, and what has to be said of it.
Reader = tuple[Callable[[], float], float, tuple[str, ...]]
TOLERANCE = 1.5  # times the power limit: peaks of milliseconds pass it


def nvml_meters(
    device: str,
    environment: Mapping[str, str] = os.environ,
    own: Callable[[], Collection[int]] = own_processes,
) -> tuple[Meter | Absent, ...]:
    """Return a GPU's meters: energy counter, then power; or why there are none.

    Args:
        device: As `xbench.telemetry.nvml.find_gpu` takes it.
        environment: The worker's.
        own: Returns the numbers of the processes that are ours.
    """
    try:
        gpu = find_gpu(device, environment)
        if gpu.part:
            raise MeterError(
                "the driver tells the energy of a whole GPU, not of a MIG instance",
                "Turn MIG off to measure energy",
            )
    except MeterError as error:
        return (Absent("nvml", device, Scope.BOARD, error.reason, error.fix),)
    return tuple(
        _meter(gpu, name, kind, own)
        for name, kind in (("counter", Kind.COUNTER), ("power", Kind.POWER))
    )


def _meter(gpu: Gpu, name: str, kind: Kind, own: Callable[[], Collection[int]]) -> Meter | Absent:
    """Return one meter, or why it cannot be read."""
    title = f"nvml {name} {gpu.uuid}"
    try:
        read, settle_s, notes = _counter(gpu) if kind is Kind.COUNTER else _power(gpu)
    except MeterError as error:
        return Absent(title, gpu.uuid, Scope.BOARD, error.reason, error.fix)
    return Meter(
        name=title,
        device=gpu.uuid,
        scope=Scope.BOARD,
        kind=kind,
        read=read,
        settle_s=settle_s,
        most_w=_most_w(gpu),
        others=lambda idle: others(gpu, own, idle),
        notes=notes,
    )


def energy_j(gpu: Gpu) -> float:
    """Return the joules that the GPU took since its driver was loaded."""
    return float(gpu.ask("GetTotalEnergyConsumption")) / 1000


def instant_w(gpu: Gpu) -> float:
    """Return the watts that the GPU takes now."""
    (value,) = gpu.ask("GetFieldValues", [gpu.nvml.NVML_FI_DEV_POWER_INSTANT])
    if value.nvmlReturn != gpu.nvml.NVML_SUCCESS:
        raise explained(gpu.nvml, gpu.nvml.NVMLError(value.nvmlReturn))
    return float(value.value.uiVal) / 1000


def mean_w(gpu: Gpu) -> float:
    """Return the watts of the last second, or on GPUs before Ampere those of now."""
    return float(gpu.ask("GetPowerUsage")) / 1000


def _counter(gpu: Gpu) -> Reader:
    energy_j(gpu)
    return lambda: energy_j(gpu), 0.0, ()


def _power(gpu: Gpu) -> Reader:
    try:
        instant_w(gpu)
    except MeterError:
        mean_w(gpu)
        note = "power is a mean over the last second, so the first second of a window is left out"
        return lambda: mean_w(gpu), AVERAGED_S, (note,)
    return lambda: instant_w(gpu), 0.0, ()


def _most_w(gpu: Gpu) -> float:
    """Return more watts than the GPU can draw in a window, infinite where no limit is told."""
    try:
        return TOLERANCE * float(gpu.ask("GetEnforcedPowerLimit")) / 1000
    except MeterError:
        return inf
