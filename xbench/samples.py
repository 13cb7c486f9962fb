"""Raw samples, immutable: what every summary is computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xbench.adapter import Facts

THROTTLED = frozenset({"hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake", "thermal"})
"""Reasons for a slower clock that make a turn a matter of heat or of the power supply.

``sw_power_cap`` is none: most GPUs reach their power limit under load, and stay there.
"""
THROTTLED_SHARE = 0.01  # of a turn: a counter that grew by less may have told of the time before


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """A GPU right after a turn, and why it was slower than it can be within it.

    None where the driver does not tell.

    Attributes:
        sm_mhz: Clock of the multiprocessors, in MHz.
        mem_mhz: Clock of the memory, in MHz.
        temperature_c: In degrees Celsius.
        power_w: As the driver tells it: often a mean over the last second.
        power_limit_w: What is enforced.
        reasons: Why the clock is not higher, at the reading; () where nothing holds it down.
        held_ns: For how long each reason held the clock down from the reading before the turn to
            the one after it, in nanoseconds; only those that the driver counts.
        span_ns: The time between these two readings, in nanoseconds.
        missing: Why nothing could be read, or None.
    """

    sm_mhz: int | None = None
    mem_mhz: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    reasons: tuple[str, ...] | None = None
    held_ns: Mapping[str, int] = field(default_factory=dict)
    span_ns: int = 0
    missing: str | None = None

    @property
    def held_by(self) -> frozenset[str]:
        """Return all that held the clock down in the turn for more than a moment, or at its end."""
        least_ns = max(1, THROTTLED_SHARE * self.span_ns)
        counted = {name for name, held_ns in self.held_ns.items() if held_ns >= least_ns}
        return frozenset(counted.union(self.reasons or ()))

    @property
    def throttled_by(self) -> frozenset[str]:
        """Return what throttled the GPU, in words; nothing where it ran as it can."""
        return self.held_by & THROTTLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One cell's turn in one round.

    Attributes:
        cell: The cell's id.
        launch: Number of the launch, from 0.
        round: Number of the round within the launch, from 0; batches share the numbering.
        position: The turn's place in the round, from 0.
        feed: Which of the input sets was bound.
        latencies_ns: Latency of each timed inference, oldest first.
        wall_ns: From the first timed inference's start to the last one's end.
        cpu_ns: CPU time of the whole worker over ``wall_ns``.
        canary_ns: The canary's time just before and just after the turn; None without a canary.
        others_cpus: How many of the allowed CPUs other programs kept busy during the round, on
            average; None where the kernel does not tell.
        gpu: The state of the cell's GPU; None on a CPU, and in runs before it was read.
        served: Of a server's window what `xbench.load.served.Served.to_json` returns; its
            ``latencies_ns`` then count from when requests were due.
    """

    cell: int
    launch: int
    round: int
    position: int
    feed: int
    latencies_ns: tuple[int, ...]
    wall_ns: int
    cpu_ns: int
    canary_ns: tuple[int, int] | None
    others_cpus: float | None
    gpu: GpuState | None = None
    served: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """What one launch of one cell told before its first round.

    Attributes:
        version: The framework's version.
        import_s: Seconds to import the framework.
        load_s: Seconds from the model file to a session, conversion not counted.
        first_inference_ns: Latency of the first inference.
        warmup_s: Seconds of warm-up.
        warmup_inferences: Inferences of warm-up.
        steady: Whether latency had settled when warm-up ended.
        busy_threads: Threads that did work at a time, by the kernel's accounts.
        cpus: The CPUs that any thread of the worker may run on, read back.
        overhead_ns: What the harness adds to each sample, from a null session in this worker.
        facts: What the runtime told of the session.
        memory: What the process and its children held, phase by phase, in bytes, as
            `xbench.telemetry.memory.with_children` returns it; None in runs before there was any.
        boundaries_ns: Median latency at each of `xbench.adapter.BOUNDARIES`, as
            `xbench.boundaries.split` returns it; None where the host's is the only one.
        device_memory: What was used of its GPU, in bytes, as
            `xbench.telemetry.device_memory.LaunchMemory.told` returns it; None on a CPU, and in
            runs before it was read.
        caps: What imposed its caps and what was in force, as `xbench.caps.Caps.told` returns it;
            None in runs before it was read.
    """

    cell: int
    launch: int
    version: str
    import_s: float
    load_s: float
    first_inference_ns: int
    warmup_s: float
    warmup_inferences: int
    steady: bool
    busy_threads: int
    cpus: tuple[int, ...]
    overhead_ns: float
    facts: Facts
    memory: Mapping[str, Any] | None = None
    boundaries_ns: Mapping[str, float | None] | None = None
    device_memory: Mapping[str, Any] | None = None
    caps: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a cell stopped, in which launch and phase.

    Attributes:
        status: A value of `xbench.result.Status`.
        phase: ``conversion`` of the file, ``start``, ``import``, ``load``, ``warm-up``, ``round``,
            ``outputs`` or ``energy``.
    """

    cell: int
    launch: int
    phase: str
    status: str
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Samples:
    """All that a run measured, in the order it was measured.

    Attributes:
        energies: By cell id, what `xbench.metering.energy_of` returned.
        loads: By cell id, what a search told: `xbench.loads` makes it.
    """

    launched: tuple[Launched, ...]
    epochs: tuple[Epoch, ...]
    failures: tuple[Failure, ...]
    orders: Mapping[tuple[int, int], tuple[int, ...]]
    energies: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    loads: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
