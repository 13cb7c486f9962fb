"""Raw samples, immutable: what every summary is computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xbench.adapter import Facts


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a cell stopped, in which launch and phase.

    Attributes:
        status: A value of `xbench.result.Status`.
        phase: ``start``, ``import``, ``load``, ``warm-up``, ``round``, ``outputs`` or ``energy``.
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
    """

    launched: tuple[Launched, ...]
    epochs: tuple[Epoch, ...]
    failures: tuple[Failure, ...]
    orders: Mapping[tuple[int, int], tuple[int, ...]]
    energies: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
