"""Who uses a GPU, besides what `xbench.device.nvml` has of it."""

from __future__ import annotations

from collections.abc import Callable, Collection

import psutil

from xbench.adapter import Limits
from xbench.device.nvml import Gpu, call, explained, find_gpu, load
from xbench.errors import MeterError

__all__ = ["Gpu", "call", "explained", "find_gpu", "gpu_of", "load", "others", "own_processes"]

BUSY_PERCENT = 5
BY_BUS = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # as the driver counts, whatever is visible


def gpu_of(limits: Limits) -> Gpu:
    """Return the GPU that a worker with these limits runs on.

    Raises:
        MeterError: If the driver has no such GPU.
    """
    return find_gpu(limits.uuid or limits.device, BY_BUS)


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
