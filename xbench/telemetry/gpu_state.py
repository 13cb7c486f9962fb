"""Clocks, temperature, power and throttling of a GPU, read by the parent around each turn.

A reading after a turn sees a GPU that has just become idle: its clock and temperature are still
those of the turn, since both take far longer to fall than a reading takes, but a reason for a slow
clock may be gone with the load. So the driver's counters of the time for which each reason held the
clock down are read before the turn as well: what they grew by was within it, or in the moment
before that the driver had not counted yet. Nothing is read while a turn is timed, and nothing at
all for a worker on the CPU.

Tested with a simulated driver, and run on an H100 (docs/evidence).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic_ns
from typing import Any

from xbench.adapter import Limits
from xbench.device import CPU, kind_of
from xbench.samples import GpuState
from xbench.telemetry.meter import MeterError
from xbench.telemetry.nvml import Gpu, gpu_of

REASONS = {
    "idle": 0x1,
    "application_clocks": 0x2,
    "sw_power_cap": 0x4,
    "hw_slowdown": 0x8,
    "sync_boost": 0x10,
    "sw_thermal": 0x20,
    "hw_thermal": 0x40,
    "hw_power_brake": 0x80,
    "display_clocks": 0x100,
}
"""The bits of NVML's clocks event reasons, by the words that we have for them."""

COUNTERS = {
    "sw_power_cap": "NVML_FI_DEV_PERF_POLICY_POWER",
    "thermal": "NVML_FI_DEV_PERF_POLICY_THERMAL",
    "board_limit": "NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT",
    "reliability": "NVML_FI_DEV_PERF_POLICY_RELIABILITY",
    "sw_thermal": "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN",
    "hw_thermal": "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN",
    "hw_power_brake": "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN",
}
"""The fields that count nanoseconds for which a reason held the clock down."""

OLDER = {
    "sw_power_cap": "NVML_PERF_POLICY_POWER",
    "thermal": "NVML_PERF_POLICY_THERMAL",
    "board_limit": "NVML_PERF_POLICY_BOARD_LIMIT",
    "reliability": "NVML_PERF_POLICY_RELIABILITY",
}
"""The same as violation times, for drivers without the fields."""

MOVED = range(251, 254)  # places that three of the fields had for a while; others are there now


class GpuStates:
    """Reads the GPU of whichever cell has its turn; a GPU is looked for once."""

    def __init__(self) -> None:
        self._gpus: dict[str, Gpu | MeterError] = {}

    def before(self, limits: Limits) -> Callable[[], GpuState] | None:
        """Return what reads the state after the turn that begins now; None on a CPU."""
        if kind_of(limits.device) == CPU:
            return None
        gpu = self._gpu(limits)
        if isinstance(gpu, MeterError):
            missing = GpuState(missing=gpu.reason)
            return lambda: missing
        start_ns, held_ns = monotonic_ns(), counters(gpu)
        return lambda: read_state(gpu, held_ns, start_ns)

    def _gpu(self, limits: Limits) -> Gpu | MeterError:
        name = limits.uuid or limits.device
        if name not in self._gpus:
            try:
                self._gpus[name] = gpu_of(limits)
            except MeterError as error:
                self._gpus[name] = error
        return self._gpus[name]


def read_state(gpu: Gpu, held_ns: Mapping[str, int], start_ns: int) -> GpuState:
    """Return the state now, and what its counters grew by.

    Args:
        gpu: The device.
        held_ns: Its `counters` before.
        start_ns: When they were read, on the monotonic clock.
    """
    now_ns = counters(gpu)
    grown = {name: now_ns[name] - held for name, held in held_ns.items() if name in now_ns}
    return GpuState(
        sm_mhz=_told(gpu, "GetClockInfo", gpu.nvml.NVML_CLOCK_SM),
        mem_mhz=_told(gpu, "GetClockInfo", gpu.nvml.NVML_CLOCK_MEM),
        temperature_c=_told(gpu, "GetTemperature", gpu.nvml.NVML_TEMPERATURE_GPU),
        power_w=_watts(_told(gpu, "GetPowerUsage")),
        power_limit_w=_watts(_told(gpu, "GetEnforcedPowerLimit")),
        reasons=_reasons(gpu),
        held_ns={name: more for name, more in grown.items() if more >= 0},  # else it was reset
        span_ns=monotonic_ns() - start_ns,
    )


def counters(gpu: Gpu) -> dict[str, int]:
    """Return for how many nanoseconds each reason has held the clock down; those that are told."""
    ids = {name: getattr(gpu.nvml, field, 0) for name, field in COUNTERS.items()}
    ids = {name: number for name, number in ids.items() if number and number not in MOVED}
    found: dict[str, int] = {}
    try:
        fields = gpu.ask("GetFieldValues", list(ids.values()))
    except MeterError:
        fields = ()
    for name, field in zip(ids, fields, strict=False):
        if field.nvmlReturn == gpu.nvml.NVML_SUCCESS:
            found[name] = int(field.value.ullVal)
    for name, policy in OLDER.items():
        if name not in found and (told := _violation_ns(gpu, policy)) is not None:
            found[name] = told
    return found


def _violation_ns(gpu: Gpu, policy: str) -> int | None:
    status: Any = _ask(gpu, "GetViolationStatus", getattr(gpu.nvml, policy))
    return None if status is None else int(status.violationTime)


def _reasons(gpu: Gpu) -> tuple[str, ...] | None:
    """Return what holds the clock down now, by the newer call or by the one of older drivers."""
    for name in ("GetCurrentClocksEventReasons", "GetCurrentClocksThrottleReasons"):
        bits = _told(gpu, name) if hasattr(gpu.nvml, f"nvmlDevice{name}") else None
        if bits is not None:
            return tuple(word for word, bit in REASONS.items() if bits & bit)
    return None


def _told(gpu: Gpu, name: str, *arguments: Any) -> int | None:
    found = _ask(gpu, name, *arguments)
    return None if found is None else int(found)


def _ask(gpu: Gpu, name: str, *arguments: Any) -> Any:
    """Return what NVML says, or None where it refuses: one figure that is missing, no error."""
    try:
        return gpu.ask(name, *arguments)
    except MeterError:
        return None


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000
