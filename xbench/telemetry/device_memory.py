"""Memory of a GPU: used above a baseline, and by process where the driver tells.

Two numbers which are never mixed; a framework's own allocator knows a third. What is used above a
baseline counts everything that a worker causes, its CUDA context included, and is the same question
for every framework; it also counts what others take meanwhile. In a container the driver often
does not know our process numbers, and the number by process is None.

The other workers of a launch hold what they have while they are stopped, and take nothing: it is
in the baseline, which is read right before a worker starts, and so in nobody else's number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any

from xbench.adapter import Limits
from xbench.device import CPU, kind_of
from xbench.telemetry.children import living
from xbench.telemetry.footprint import spread, width
from xbench.telemetry.meter import MeterError
from xbench.telemetry.nvml import Gpu, gpu_of
from xbench.telemetry.passage import Passage, RealPassage
from xbench.units import format_bytes

EVERY_S = 0.002  # libraries try kernels with gigabytes of workspace, for milliseconds
ON_CPU = "runs on the CPU"
NOT_READ = "device memory was not read when this run was made"
NOTHING_USED = "no more was in use than before: it is not on this GPU, or others gave memory back"


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Device memory in bytes; None is not told, with the reason.

    Attributes:
        baseline_bytes: Used on the device before.
        peak_bytes: The most that was used above it.
        process_peak_bytes: The most that our processes had, by the driver's account.
        reason: Why a number is missing, or None.
    """

    baseline_bytes: int | None
    peak_bytes: int | None
    process_peak_bytes: int | None
    reason: str | None = None


@dataclass(slots=True)
class MemoryWatch:
    """The peaks so far; call `take` now and then, or use `watched`."""

    gpu: Gpu
    own: Callable[[], Collection[int]]
    baseline_bytes: int
    peak_bytes: int = 0
    process_peak_bytes: int | None = None
    reasons: list[str] = field(default_factory=list)

    def take(self) -> float:
        """Read the memory, and return the seconds until it is to be read again."""
        self.peak_bytes = max(self.peak_bytes, used_bytes(self.gpu) - self.baseline_bytes)
        self.process_peak_bytes = _most(self.process_peak_bytes, self._by_process())
        return EVERY_S

    def found(self) -> DeviceMemory:
        """Return what was seen."""
        reason = self.reasons[-1] if self.process_peak_bytes is None and self.reasons else None
        return DeviceMemory(self.baseline_bytes, self.peak_bytes, self.process_peak_bytes, reason)

    def _by_process(self) -> int | None:
        """Return the bytes of our processes together, or None with a reason kept."""
        try:
            listed = self.gpu.processes()
        except MeterError as error:
            self.reasons.append(f"memory by process: {error.reason}")
            return None
        ours = [listed[pid] for pid in self.own() if pid in listed]
        told = [used for used in ours if used is not None]
        if len(told) < len(ours) or not ours:
            why = "the driver lists our process without its memory"
            none = "the driver's list of processes does not have ours"
            self.reasons.append(why if ours else none)
            return None
        return sum(told)


def used_bytes(gpu: Gpu) -> int:
    """Return the bytes in use on the device, without what the driver keeps for itself.

    Raises:
        MeterError: If the driver does not tell, as where the device shares the host's memory.
    """
    try:
        return int(gpu.ask("GetMemoryInfo", gpu.nvml.nvmlMemory_v2).used)
    except MeterError:
        return int(gpu.ask("GetMemoryInfo").used)  # a driver before 510


@contextmanager
def watched(
    gpu: Gpu,
    own: Callable[[], Collection[int]],
    baseline_bytes: int | None = None,
    passage: Passage | None = None,
) -> Iterator[MemoryWatch]:
    """Watch the memory every 2 ms while the block runs; `MemoryWatch.found` has the peaks.

    Args:
        gpu: The device.
        own: Returns the numbers of our processes.
        baseline_bytes: What was in use before the worker started; by default what is now.
        passage: How time passes.

    Raises:
        MeterError: If the driver does not tell how much is in use.
    """
    base = used_bytes(gpu) if baseline_bytes is None else baseline_bytes
    watch = MemoryWatch(gpu, own, base)
    with (passage or RealPassage()).beside(watch.take):
        yield watch
    watch.take()  # what was taken last


class LaunchMemory:
    """The device memory that one launch of a cell causes; the baseline is read where it is made.

    So make it before the worker starts. On a CPU it does nothing.
    """

    def __init__(self, limits: Limits) -> None:
        self._gpu: Gpu | None = None
        self._baseline_bytes = 0
        self._found: DeviceMemory | None = None
        if kind_of(limits.device) == CPU:
            return
        try:
            self._gpu = gpu_of(limits)
            self._baseline_bytes = used_bytes(self._gpu)
        except MeterError as error:
            self._lose(error)

    @contextmanager
    def watched(self, pid: int) -> Iterator[None]:
        """Watch the memory while the block runs, and that of a worker and its children apart."""
        if self._gpu is None:
            yield
            return
        watch = MemoryWatch(self._gpu, lambda: _family(pid), self._baseline_bytes)
        with RealPassage().beside(lambda: self._take(watch)):
            yield
        self._take(watch)
        if self._gpu:
            self._found = watch.found()

    def told(self) -> dict[str, Any] | None:
        """Return the fields of a `DeviceMemory`; None on a CPU."""
        return asdict(self._found) if self._found else None

    def _take(self, watch: MemoryWatch) -> float:
        """Read the memory; a driver that stops telling ends the watch, not the launch."""
        if self._gpu is None:
            return inf
        try:
            return watch.take()
        except MeterError as error:
            self._lose(error)
            return inf

    def _lose(self, error: MeterError) -> None:
        self._gpu = None
        self._found = DeviceMemory(None, None, None, error.reason)


def of_row(launches: Sequence[Mapping[str, Any] | None], device: str) -> dict[str, Any]:
    """Return what a row says of its GPU's memory, in bytes, for its ``memory_bytes``.

    ``device`` is the headline: the median over the launches of the most that was used above the
    baseline. ``device_reason`` says why there is none; ``device_figures`` has each number's median,
    least and most, how far the headline's lie apart, and why another number is missing.

    Args:
        launches: What each launch told: see `LaunchMemory.told`.
        device: The row's, such as ``cuda:0``.
    """
    if kind_of(device) == CPU:
        return {"device": None, "device_reason": ON_CPU}
    told = [one for one in launches if one is not None]
    if not told:
        return {"device": None, "device_reason": NOT_READ}
    peaks = spread([one["peak_bytes"] or None for one in told])
    lost = next((one["reason"] for one in told if one["peak_bytes"] is None), None)
    return {
        "device": peaks["median"] if peaks else None,
        "device_reason": None if peaks else lost or NOTHING_USED,
        "device_figures": {
            "baseline": spread([one["baseline_bytes"] for one in told]),
            "peak": peaks,
            "process_peak": spread([one["process_peak_bytes"] for one in told]),
            "spread": width(peaks),
            "reason": next((one["reason"] for one in told if one["reason"]), None),
        },
    }


def doubts(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why the headline of a row's ``memory_bytes`` is too low, where it is.

    It is read now and then. What a library takes while it tries its kernels, and gives back within
    milliseconds, the framework's own allocator has counted.
    """
    used, allocated = row.get("device"), row.get("allocator")
    if not used or not allocated or used >= allocated:
        return ()
    told = (
        f"its allocator had {format_bytes(allocated)} for a moment that no reading of the GPU met"
    )
    return (told,)


def _family(pid: int) -> set[int]:
    return {pid, *(child.pid for child in living(pid))}


def _most(a: int | None, b: int | None) -> int | None:
    told = [one for one in (a, b) if one is not None]
    return max(told, default=None)
