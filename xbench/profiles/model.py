"""What a device is, as far as its caps and the limits of its hardware go. Plain data.

``None`` is a figure that nobody has told; there is no zero for "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8")
CONFIDENCES = ("datasheet", "measured-elsewhere", "estimate")  # from the best to the least
KINDS = ("device", "generic")
GROUPS = ("cpu", "memory", "usable", "accelerators", "power")  # what a source can be of

Peaks = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where figures come from.

    Attributes:
        groups: The groups of figures that it is of: of `GROUPS`.
        read: The day on which its text, or a published quotation of it, was read.
    """

    title: str
    url: str
    groups: tuple[str, ...]
    read: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Cores of one design at one clock.

    Attributes:
        per_cycle: Operations of one core in a cycle by precision; a multiply-add is two.
        per_cycle_confidence: Of `CONFIDENCES`; None where ``per_cycle`` is empty.
        how: Which instructions those are.
        sources: Where ``per_cycle`` comes from.
    """

    count: int
    design: str | None = None
    clock_ghz: float | None = None
    per_cycle: Peaks = field(default_factory=dict)
    per_cycle_confidence: str | None = None
    how: str = ""
    sources: tuple[Source, ...] = ()

    def core_peak_per_s(self, precision: str) -> float | None:
        """Return what one core computes at most, in operations a second; None if not told."""
        per_cycle = self.per_cycle.get(precision)
        if per_cycle is None or self.clock_ghz is None:
            return None
        return per_cycle * self.clock_ghz * 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """The cores, the fastest first as the file lists them."""

    clusters: tuple[Cluster, ...]
    confidence: str = "estimate"
    note: str = ""

    @property
    def cores(self) -> int:
        """Return how many cores there are in all."""
        return sum(cluster.count for cluster in self.clusters)

    def peak_per_s(self, precision: str, threads: int | None = None) -> float | None:
        """Return the peak of the fastest ``threads`` cores in operations a second.

        None where a core that counts tells no figure for the precision; all cores by default.
        """
        cores = [c.core_peak_per_s(precision) for c in self.clusters for _ in range(c.count)]
        told = [peak for peak in cores if peak is not None]
        if len(told) < len(cores) or not told:
            return None
        return sum(sorted(told, reverse=True)[:threads])


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The memory that CPU and accelerators share.

    Attributes:
        size_bytes: What is soldered or plugged in.
        usable_bytes: What an idle operating system leaves to one program.
        bandwidth_bytes_per_s: The peak: bus width times transfers, if those are told.
    """

    size_bytes: int
    usable_bytes: int | None = None
    usable_confidence: str = "estimate"
    usable_note: str = ""
    type: str | None = None
    bus_bits: int | None = None
    transfers_per_s: float | None = None
    bandwidth_bytes_per_s: float | None = None
    confidence: str = "estimate"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """What computes beside the CPU.

    Attributes:
        kind: ``gpu``, ``npu``, ``tpu`` or ``dla``.
        dense_per_s: Peak operations a second by precision; a multiply-add is two.
        sparse_per_s: The same for weights of which two in four are zero, as makers advertise it.
    """

    name: str
    kind: str
    dense_per_s: Peaks = field(default_factory=dict)
    sparse_per_s: Peaks = field(default_factory=dict)
    confidence: str = "estimate"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What the board or module draws, and the power modes that it can be set to."""

    idle_w: float | None = None
    typical_w: float | None = None
    max_w: float | None = None
    modes_w: tuple[float, ...] = ()
    confidence: str = "estimate"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A device: the caps that imitate it on a host, and its own peak figures.

    Attributes:
        kind: ``device``, or ``generic`` for a bare set of caps.
        family: The name of its file; also a name of the default memory size.
        default: Whether ``family`` alone means this one.
        sizes: The names of all memory sizes of the family, this one among them.
        threads: The cap on threads, and the number of cores that they may use.
        max_batch: The largest batch that a run may have; None for no cap.
        checked: The day on which the figures were last compared with the sources.
        origin: The user's file; None for a profile that xbench ships.
        hides: Whether it stands in for a shipped profile of the same name.
    """

    name: str
    title: str
    kind: str
    cpu: Cpu
    memory: Memory
    threads: int
    family: str
    default: bool = True
    sizes: tuple[str, ...] = ()
    max_batch: int | None = None
    accelerators: tuple[Accelerator, ...] = ()
    power: Power | None = None
    sources: tuple[Source, ...] = ()
    released: date | None = None
    checked: date | None = None
    note: str = ""
    origin: Path | None = None
    hides: bool = False

    @property
    def memory_cap_bytes(self) -> int:
        """Return the memory to which a run is capped: the usable part where it is told."""
        usable = self.memory.usable_bytes
        return self.memory.size_bytes if usable is None else usable

    @property
    def confidence(self) -> str | None:
        """Return the least confidence of what a floor is made of; None without any of it.

        That is clocks, operations a cycle and bandwidth, not the usable memory or the power.
        """
        told = []
        if self.cpu.peak_per_s("fp32") is not None:
            told.append(self.cpu.confidence)
            told += [c.per_cycle_confidence for c in self.cpu.clusters if c.per_cycle_confidence]
        if self.memory.bandwidth_bytes_per_s is not None:
            told.append(self.memory.confidence)
        return max(told, key=CONFIDENCES.index) if told else None
