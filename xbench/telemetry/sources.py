"""The meters that a device has on this machine, or why it has none."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from pathlib import Path

from xbench.telemetry.amd import amd_meters
from xbench.telemetry.meter import Absent, Meter
from xbench.telemetry.nvml import own_processes
from xbench.telemetry.nvml_power import nvml_meters
from xbench.telemetry.rails import rail_meters
from xbench.telemetry.rapl import rapl_meters


def meters_for(
    device: str,
    environment: Mapping[str, str] = os.environ,
    own: Callable[[], Collection[int]] = own_processes,
    root: Path = Path("/sys"),
) -> tuple[Meter | Absent, ...]:
    """Return the meters of a device, its own first, then those of the machine around it.

    A GPU's figures do not hold the processor's part of an inference, so the packages stand beside
    them, each with its scope.

    Args:
        device: ``cpu``; ``cuda:0``, as a process with ``environment`` calls it; or a GPU's UUID.
        environment: That of the worker.
        own: Returns the numbers of the processes that are ours, so that others are told apart.
        root: Where the kernel's tree is.
    """
    rails = rail_meters(root)
    host = rails or rapl_meters(root / "class/powercap")
    if device == "cpu":
        return host
    found = nvml_meters(device, environment, own)
    if rails and all(isinstance(meter, Absent) for meter in found):
        return rails  # a Jetson, whose NVML knows no energy
    if all(isinstance(meter, Absent) for meter in found) and find_spec("amdsmi"):
        found = amd_meters(device)
    return (*found, *host)
