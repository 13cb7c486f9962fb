"""The devices of this machine, and how much of them a worker may use."""

from __future__ import annotations

from xbench.cgroup import oom_kills
from xbench.device.cpu import (
    allowed_cpus,
    cpu_device,
    cpu_info,
    cpu_model,
    default_threads,
    physical_cores,
    spread_over_cores,
    turbo,
)
from xbench.device.gpus import list_gpus
from xbench.device.names import devices_of, limits_for, list_devices, parse_device
from xbench.device.record import CPU, CUDA, Device, kind_of

__all__ = [
    "CPU",
    "CUDA",
    "Device",
    "allowed_cpus",
    "cpu_device",
    "cpu_info",
    "cpu_model",
    "default_threads",
    "devices_of",
    "kind_of",
    "limits_for",
    "list_devices",
    "list_gpus",
    "oom_kills",
    "parse_device",
    "physical_cores",
    "spread_over_cores",
    "turbo",
]
