"""Energy through a simulated NVML that nvidia-ml-py loads: true numbers, and every way to none."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pynvml
import pytest

from tests.xbench.telemetry.nvml_sim import UUIDS, SimulatedNvml
from tests.xbench.telemetry.simulated import Model, SimulatedPassage, close
from xbench.telemetry.energy import Energy, measure_energy
from xbench.telemetry.meter import Absent, Meter
from xbench.telemetry.nvml import find_gpu
from xbench.telemetry.nvml_power import mean_w, nvml_meters
from xbench.telemetry.tally import Figure

Driver = Callable[[int], SimulatedNvml]
ENERGY, INSTANT = "nvmlDeviceGetTotalEnergyConsumption", "INSTANT"


class Bench:
    """One simulated GPU with a model on it."""

    def __init__(self, sim: SimulatedNvml, index: int = 0, latency_s: float = 0.01) -> None:
        self.sim = sim
        sim.set("process", index, os.getpid(), 1 << 30)
        self.passage = SimulatedPassage(sim)
        self.model = Model(
            self.passage,
            lambda watts: sim.set("watts", index, float(watts)),
            lambda: sim.spent_j(index),
            latency_s=latency_s,
        )

    def measure(
        self,
        meters: Sequence[Meter | Absent] | None = None,
        window_s: float | None = None,
        trials: int = 3,
    ) -> Energy:
        found = nvml_meters("cuda:0") if meters is None else meters
        run_for, passage = self.model.run_for, self.passage
        return measure_energy(found, run_for, window_s=window_s, trials=trials, passage=passage)

    def true(self, figure: Figure) -> bool:
        assert figure.per_inference_j is not None
        return close(figure.per_inference_j.value, self.model.truth_j)


def by_label(energy: Energy) -> dict[str, Figure]:
    return {figure.label: figure for figure in energy.figures}


@pytest.mark.parametrize("window_s", [2.0, 3.3, 10.0, 60.0])
def test_energy_is_what_the_gpu_spent(simulated_nvml: Driver, window_s: float) -> None:
    """Counter and power are within 1 % of the simulation, and confirm each other."""
    bench = Bench(simulated_nvml(1), latency_s=window_s / 300)

    energy = bench.measure(window_s=window_s)

    counter, power = energy.figures
    assert (counter.label, power.label) == ("measured:counter", "measured:sampled")
    for figure in (counter, power):
        assert bench.true(figure)
        assert figure.scope == "board"
        assert figure.device == UUIDS[0]
        assert figure.idle_w is not None
        assert close(figure.idle_w.value, 60.0)
        assert figure.notes == ()
        assert figure.update_period_s == pytest.approx(0.1, rel=0.1)
    assert close(counter.checks[power.meter], 1.0)


@pytest.mark.parametrize("period_s", [0.02, 0.1, 0.25])
def test_the_update_period_is_found_and_the_window_chosen_by_it(
    simulated_nvml: Driver, period_s: float
) -> None:
    """A window holds twenty periods and two seconds at least, whatever the hardware does."""
    bench = Bench(simulated_nvml(1))
    bench.sim.set("period", 0, period_s)

    figure = bench.measure().figures[0]

    assert figure.update_period_s == pytest.approx(period_s, rel=0.1)
    assert figure.window_s == pytest.approx(max(2.0, 20 * period_s), rel=0.1)
    assert bench.true(figure)


def test_a_window_too_short_for_the_period_is_refused(simulated_nvml: Driver) -> None:
    """Two seconds of a counter that ticks four times a second prove nothing."""
    bench = Bench(simulated_nvml(1))
    bench.sim.set("period", 0, 0.25)

    figure = bench.measure(window_s=2.0).figures[0]

    assert figure.label.startswith("unavailable:a window of 2 s is too short")
    assert figure.fix is not None
    assert "5" in figure.fix


def test_power_that_is_a_mean_of_a_second_leaves_that_second_out(simulated_nvml: Driver) -> None:
    """Without the instant field, the ramp of the mean is no part of the figure."""
    bench = Bench(simulated_nvml(1))
    bench.sim.fault(INSTANT, pynvml.NVML_ERROR_NOT_SUPPORTED)
    bench.sim.fault(ENERGY, pynvml.NVML_ERROR_NOT_SUPPORTED)

    figure, counter = bench.measure().figures

    assert figure.label == "measured:sampled"
    assert bench.true(figure)
    assert figure.idle_w is not None
    assert close(figure.idle_w.value, 60.0)
    assert "first second" in figure.notes[0]
    assert counter.label == "unavailable:this GPU or its driver does not offer it"


def test_the_trap_is_one_in_the_simulation_too(simulated_nvml: Driver) -> None:
    """Read right after the load starts, the mean of a second is far below the power."""
    bench = Bench(simulated_nvml(1))
    bench.passage.sleep(2.0)
    bench.model.run_for(0.2)

    assert mean_w(find_gpu("cuda:0")) < 150


def test_a_frozen_counter_is_unavailable_and_not_0_joules(simulated_nvml: Driver) -> None:
    """Neither the counter nor a power that stands still gives a number."""
    bench = Bench(simulated_nvml(1))
    bench.passage.sleep(1.0)
    bench.sim.set("frozen", 0)

    energy = bench.measure()

    counter, power = sorted(energy.figures, key=lambda one: one.meter)
    assert counter.label.startswith("unavailable:the counter did not advance")
    assert power.label == "unavailable:it stood at 60 W when the model started to run"
    assert counter.per_inference_j is power.per_inference_j is None


def test_meters_that_freeze_after_the_probe_are_found_out_too(simulated_nvml: Driver) -> None:
    """A power that is the same for the idle and the busy device tells nothing of either."""
    bench = Bench(simulated_nvml(1))
    bench.model.events = {0: lambda: bench.sim.set("frozen", 0)}

    counter, power = sorted(bench.measure().figures, key=lambda one: one.meter)

    assert counter.label.startswith("unavailable:the counter did not advance in 2")
    assert power.label.endswith("W whether the model runs or not")


def test_a_driver_that_is_loaded_again_costs_that_trial(simulated_nvml: Driver) -> None:
    """The counter starts from 0: the window in which it does is left out, and said."""
    bench = Bench(simulated_nvml(1))
    bench.model.events = {2: lambda: bench.sim.set("reload", 0)}

    counter = by_label(bench.measure())["measured:counter"]

    assert len(counter.trials_j) == 2
    assert bench.true(counter)
    assert counter.notes == (
        "1 of 3 trials left out: the counter was set back (was the driver loaded again?)",
    )


def test_a_driver_that_goes_away_for_good_is_said(simulated_nvml: Driver) -> None:
    """A GPU that falls off the bus leaves no number for what came before it too."""
    bench = Bench(simulated_nvml(1))

    def fall_off_the_bus() -> None:
        for name in (ENERGY, INSTANT):
            bench.sim.fault(name, pynvml.NVML_ERROR_GPU_IS_LOST)

    bench.model.events = {2: fall_off_the_bus}
    energy = bench.measure()

    assert {figure.label for figure in energy.figures} == {"unavailable:the GPU is lost"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (pynvml.NVML_ERROR_NO_PERMISSION, "permission denied"),
        (pynvml.NVML_ERROR_NOT_SUPPORTED, "this GPU or its driver does not offer it"),
        (pynvml.NVML_ERROR_UNKNOWN, "NVML says: Unknown Error"),
    ],
)
def test_what_nvml_refuses_is_unavailable_with_its_reason(
    simulated_nvml: Driver, code: int, reason: str
) -> None:
    """Each refusal of every call is a reason in words and something to do."""
    bench = Bench(simulated_nvml(1))
    for function in (ENERGY, INSTANT, "nvmlDeviceGetPowerUsage"):
        bench.sim.fault(function, code)

    for figure in bench.measure().figures:
        assert figure.label == f"unavailable:{reason}"
        assert figure.fix


def test_an_error_in_one_window_does_not_stop_the_other_meter(simulated_nvml: Driver) -> None:
    """The counter fails midway; the power keeps its figure."""
    bench = Bench(simulated_nvml(1))
    denied = pynvml.NVML_ERROR_NO_PERMISSION
    bench.model.events = {1: lambda: bench.sim.fault(ENERGY, denied)}

    energy = bench.measure()

    assert energy.headline is not None
    assert energy.headline.label == "measured:sampled"
    assert bench.true(energy.headline)
    assert "unavailable:permission denied" in by_label(energy)


def test_a_mig_instance_has_no_energy_of_its_own(simulated_nvml: Driver) -> None:
    """The whole GPU's joules are not an instance's, so there is no figure."""
    sim = simulated_nvml(1)
    sim.set("mig", 0, 2, "MIG-5555aaaa-0000")

    for device in ("cuda:0", "MIG-5555"):
        (meter,) = nvml_meters(device)
        assert isinstance(meter, Absent)
        assert "not of a MIG instance" in meter.reason


def test_a_contended_gpu_says_so(simulated_nvml: Driver) -> None:
    """Another process on the GPU is named by its number in every figure."""
    bench = Bench(simulated_nvml(1))
    bench.sim.set("process", 0, 999999, 1 << 20)

    for figure in bench.measure().figures:
        assert figure.notes == ("contended: process 999999 is on the GPU too",)
        assert bench.true(figure)


def test_in_a_container_others_are_not_known_unless_they_are_busy(simulated_nvml: Driver) -> None:
    """The driver does not list our process there; a GPU busy without us betrays the others."""
    sim = simulated_nvml(1)
    bench = Bench(sim)
    meters = nvml_meters("cuda:0", own=lambda: {12345678})

    quiet = bench.measure(meters).figures[0]
    sim.set("busy", 0, 37)
    busy = bench.measure(meters).figures[0]

    assert quiet.label == "measured:counter"
    assert "not known" in quiet.notes[0]
    assert "container" in quiet.notes[0]
    assert any("kept the GPU 37 % busy while the model was idle" in note for note in busy.notes)


def test_a_power_that_contradicts_the_counter_is_said_in_both(simulated_nvml: Driver) -> None:
    """Two meters of one board that differ by more than 5 % name each other."""
    bench = Bench(simulated_nvml(1))
    counter, power = nvml_meters("cuda:0")
    assert isinstance(power, Meter)
    half = Meter(power.name, power.device, power.scope, power.kind, lambda: power.read() / 2)

    first, second = bench.measure([counter, half]).figures

    assert close(first.checks[half.name], 2.0)
    assert close(second.checks[counter.name], 0.5)
    assert "disagrees" in first.notes[-1]
    assert "disagrees" in second.notes[-1]


def test_more_power_than_the_board_can_draw_is_no_figure(simulated_nvml: Driver) -> None:
    """A counter that leaps by more than the limit allows is not believed."""
    bench = Bench(simulated_nvml(1))
    bench.model.load_w = 2000.0

    for figure in bench.measure().figures:
        assert figure.label.startswith("unavailable:")
        assert "can draw" in figure.label
