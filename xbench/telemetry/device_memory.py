"""Memory of a GPU: used above a baseline, and by process where the driver tells.

Two numbers which are never mixed; a framework's own allocator knows a third. What is used above a
baseline counts everything that a worker causes, its CUDA context included, and is the same question
for every framework; it also counts what others take meanwhile. In a container the driver often
does not know our process numbers, and the number by process is None.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from xbench.telemetry.meter import MeterError
from xbench.telemetry.nvml import Gpu
from xbench.telemetry.passage import Passage, RealPassage

EVERY_S = 0.01


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
    """Watch the memory every 10 ms while the block runs; `MemoryWatch.found` has the peaks.

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


def _most(a: int | None, b: int | None) -> int | None:
    told = [one for one in (a, b) if one is not None]
    return max(told, default=None)
