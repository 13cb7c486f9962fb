"""The state of a GPU around a turn, from a simulated driver."""

from __future__ import annotations

from collections.abc import Callable

import pynvml
import pytest

from tests.xbench.telemetry.nvml_sim import UUIDS, SimulatedNvml
from xbench.adapter import Limits
from xbench.samples import GpuState
from xbench.telemetry.gpu_state import GpuStates

Driver = Callable[[int], SimulatedNvml]
ON_GPU = Limits(threads=1, device="cuda:0")
THERMAL = pynvml.NVML_FI_DEV_PERF_POLICY_THERMAL
POWER = pynvml.NVML_FI_DEV_PERF_POLICY_POWER
SECOND_NS = 10**9
OLD_CALL = "nvmlDeviceGetCurrentClocksThrottleReasons"
NEW_CALL = "nvmlDeviceGetCurrentClocksEventReasons"


def turn(meanwhile: Callable[[], object], limits: Limits = ON_GPU) -> GpuState:
    """Return the state after a turn in which something happened."""
    after = GpuStates().before(limits)
    assert after is not None
    meanwhile()
    return after()


def nothing() -> None:
    """Do nothing."""


def test_clocks_temperature_and_power_are_told(simulated_nvml: Driver) -> None:
    """Each in its own unit, and no reason where nothing holds the clock down."""
    sim = simulated_nvml(1)
    sim.set("clocks", 0, 1755, 2619, 61)
    sim.set("watts", 0, 320.0)
    sim.advance(2.0)

    state = turn(nothing)

    assert (state.sm_mhz, state.mem_mhz, state.temperature_c) == (1755, 2619, 61)
    assert state.power_w == pytest.approx(320, abs=1)
    assert state.power_limit_w == 700
    assert state.reasons == ()
    assert state.throttled_by == frozenset()
    assert state.missing is None


def test_the_gpu_is_the_one_with_the_workers_uuid(
    simulated_nvml: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever this process may see of them."""
    sim = simulated_nvml(2)
    sim.set("clocks", 1, 999, 0, 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    limits = Limits(threads=1, device="cuda:0", uuid=UUIDS[1])

    assert turn(nothing, limits).sm_mhz == 999


@pytest.mark.parametrize(
    ("bits", "words", "throttled"),
    [
        (0x0, (), set()),
        (0x1, ("idle",), set()),
        (0x4, ("sw_power_cap",), set()),
        (0x8, ("hw_slowdown",), {"hw_slowdown"}),
        (0x20, ("sw_thermal",), {"sw_thermal"}),
        (0x48, ("hw_slowdown", "hw_thermal"), {"hw_slowdown", "hw_thermal"}),
        (0x84, ("sw_power_cap", "hw_power_brake"), {"hw_power_brake"}),
    ],
)
@pytest.mark.parametrize("refused", [None, NEW_CALL])
def test_reasons_are_told_in_words_by_either_call(
    simulated_nvml: Driver, bits: int, words: tuple[str, ...], throttled: set[str], refused: str
) -> None:
    """Heat and the supply throttle; a power cap and idling do not."""
    sim = simulated_nvml(1)
    sim.set("reasons", 0, bits)
    if refused:
        sim.fault(refused, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)

    state = turn(nothing)

    assert state.reasons == words
    assert state.throttled_by == throttled


def test_throttling_that_is_over_at_the_reading_is_counted(simulated_nvml: Driver) -> None:
    """The driver's counter grew within the turn, though no reason is left after it."""
    sim = simulated_nvml(1)
    sim.set("held", 0, THERMAL, 5 * SECOND_NS)
    sim.set("held", 0, POWER, SECOND_NS)

    state = turn(lambda: sim.set("held", 0, THERMAL, 6 * SECOND_NS))

    assert state.held_ns == {"thermal": SECOND_NS, "sw_power_cap": 0}
    assert state.throttled_by == {"thermal"}


def test_what_was_counted_before_the_turn_is_no_part_of_it(simulated_nvml: Driver) -> None:
    """An hour of throttling since the driver was loaded, none of it now."""
    sim = simulated_nvml(1)
    sim.set("held", 0, THERMAL, 3600 * SECOND_NS)

    assert turn(nothing).throttled_by == frozenset()


def test_a_power_cap_is_told_and_is_no_throttling(simulated_nvml: Driver) -> None:
    """Usual under load: it stands in the state and marks no round."""
    sim = simulated_nvml(1)
    sim.set("held", 0, POWER, 0)

    state = turn(lambda: sim.set("held", 0, POWER, SECOND_NS))

    assert state.held_by == {"sw_power_cap"}
    assert state.throttled_by == frozenset()


def test_an_older_drivers_violation_times_stand_in_for_the_fields(simulated_nvml: Driver) -> None:
    """The same counters by another call."""
    sim = simulated_nvml(1)
    sim.set("violation", 0, pynvml.NVML_PERF_POLICY_THERMAL, SECOND_NS)

    state = turn(lambda: sim.set("violation", 0, pynvml.NVML_PERF_POLICY_THERMAL, 3 * SECOND_NS))

    assert state.held_ns == {"thermal": 2 * SECOND_NS}
    assert state.throttled_by == {"thermal"}


def test_a_counter_that_the_driver_reset_says_nothing(simulated_nvml: Driver) -> None:
    """Reloaded within the turn: no negative time, and none of before."""
    sim = simulated_nvml(1)
    sim.set("held", 0, THERMAL, 9 * SECOND_NS)

    state = turn(lambda: sim.set("held", 0, THERMAL, SECOND_NS))

    assert state.held_ns == {}
    assert state.throttled_by == frozenset()


def test_what_the_driver_does_not_tell_is_none_and_never_zero(simulated_nvml: Driver) -> None:
    """Each figure by itself; the others stay."""
    sim = simulated_nvml(1)
    sim.set("clocks", 0, 1755, 2619, 61)
    refused = ("GetTemperature", "GetPowerUsage", "GetEnforcedPowerLimit", "GetFieldValues")
    for name in (*(f"nvmlDevice{name}" for name in refused), OLD_CALL, NEW_CALL):
        sim.fault(name, pynvml.NVML_ERROR_NOT_SUPPORTED)

    state = turn(nothing)

    assert state.sm_mhz == 1755
    assert (state.temperature_c, state.power_w, state.power_limit_w) == (None, None, None)
    assert state.reasons is None
    assert state.held_ns == {}
    assert state.throttled_by == frozenset()


def test_a_gpu_that_is_not_there_has_a_reason(simulated_nvml: Driver) -> None:
    simulated_nvml(1)
    state = turn(nothing, Limits(threads=1, device="cuda:7"))
    assert state.sm_mhz is None
    assert "no cuda:7" in (state.missing or "")


def test_nothing_is_asked_for_a_cell_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's library is not even looked for."""

    def load(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr(pynvml, "CDLL", load)
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    assert GpuStates().before(Limits(threads=1)) is None
