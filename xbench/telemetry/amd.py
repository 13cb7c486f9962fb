"""Meters of an AMD GPU, through ``amdsmi`` where ROCm has installed it.

As zeus (0.16) does, whose finding it is, GPUs are matched by the number that HIP gives them, since
amdsmi lists them by their place on the bus. zeus compares energy with power for half a second when
it starts, and then trusts or drops the counter for good; here both are meters that are held
together in every run, and the GPU may be named by its UUID.

Never run on hardware: the tests drive it with a stand-in for the library.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from xbench.telemetry.meter import Absent, Kind, Meter, MeterError, Scope

INSTALL = "Install amdsmi of the same version as ROCm: pip install /opt/rocm/share/amd_smi"
SEE = "`amd-smi list` shows what is there"


def amd_meters(device: str) -> tuple[Meter | Absent, ...]:
    """Return a GPU's meters: energy counter, then power; or why there are none.

    Args:
        device: ``cuda:1`` as PyTorch calls it, which is HIP's number, or a UUID.
    """
    try:
        smi = _load()
        handle, name = _find(smi, device)
    except MeterError as error:
        return (Absent("amdsmi", device, Scope.BOARD, error.reason, error.fix),)
    readers = (
        ("counter", Kind.COUNTER, lambda: _energy_j(smi, handle)),
        ("power", Kind.POWER, lambda: _power_w(smi, handle)),
    )
    return tuple(_meter(name, word, kind, read) for word, kind, read in readers)


def _meter(gpu: str, word: str, kind: Kind, read: Callable[[], float]) -> Meter | Absent:
    title = f"amdsmi {word} {gpu}"
    try:
        read()
    except MeterError as error:
        return Absent(title, gpu, Scope.BOARD, error.reason, error.fix)
    return Meter(title, gpu, Scope.BOARD, kind, read)


def _load() -> Any:
    """Return ``amdsmi``, ready to be asked."""
    try:
        with contextlib.redirect_stdout(None):  # it prints where it finds no library
            amdsmi = import_module("amdsmi")
    except (ImportError, OSError, AttributeError, KeyError) as error:
        raise MeterError(f"amdsmi cannot be imported: {error}", INSTALL) from error
    _call(amdsmi, "amdsmi_init")
    return amdsmi


def _find(smi: Any, device: str) -> tuple[Any, str]:
    """Return the handle and the UUID of the GPU that is called so."""
    match = re.fullmatch(r"cuda:(\d+)", device)
    for handle in _call(smi, "amdsmi_get_processor_handles"):
        uuid = str(_call(smi, "amdsmi_get_gpu_device_uuid", handle))
        number = _call(smi, "amdsmi_get_gpu_enumeration_info", handle)["hip_id"]
        if (match and int(match[1]) == number) or uuid == device:
            return handle, uuid
    raise MeterError(f"amdsmi lists no {device}", SEE)


def _energy_j(smi: Any, handle: Any) -> float:
    """Return the joules that the GPU took since its driver was loaded."""
    told = _call(smi, "amdsmi_get_energy_count", handle)
    counted = told["energy_accumulator"] if "energy_accumulator" in told else told["power"]
    return float(counted) * float(told["counter_resolution"]) / 1e6  # in microjoules


def _power_w(smi: Any, handle: Any) -> float:
    """Return the watts that the GPU takes now, or where that is not told its recent mean."""
    told = _call(smi, "amdsmi_get_power_info", handle)
    for name in ("current_socket_power", "average_socket_power"):
        watts = told.get(name)
        if isinstance(watts, (int, float)) and watts > 0:  # else "N/A", or the other die's part
            return float(watts)
    raise MeterError("amdsmi tells no power for this GPU", SEE)


def _call(smi: Any, name: str, *arguments: Any) -> Any:
    """Return what a function of amdsmi returns; its errors as a `MeterError`."""
    try:
        return getattr(smi, name)(*arguments)
    except smi.AmdSmiException as error:
        raise MeterError(f"{name} says: {error}", SEE) from error
