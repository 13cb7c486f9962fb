"""AMD GPUs, by a stand-in for amdsmi: its library runs on no machine without such a GPU."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from tests.xbench.telemetry.simulated import Model, SimulatedPassage, close
from xbench.telemetry.amd import amd_meters
from xbench.telemetry.energy import measure_energy
from xbench.telemetry.meter import Absent

RESOLUTION_UJ = 15.3


class AmdSmiError(Exception):
    """Stands for amdsmi's."""


class FakeSmi(ModuleType):
    """amdsmi with two GPUs which the bus lists in the other order than HIP."""

    AmdSmiException = AmdSmiError

    def __init__(self) -> None:
        super().__init__("amdsmi")
        self.watts, self.spent_j, self.at_s = [40.0, 40.0], [0.0, 0.0], 0.0
        self.told: list[dict[str, Any]] = [{}, {}]
        self.energy_key = "energy_accumulator"
        self.no_counter = False

    def advance(self, seconds: float) -> None:
        before, self.at_s = self.at_s, self.at_s + seconds
        for gpu in (0, 1):
            self.spent_j[gpu] += self.watts[gpu] * seconds
            if int(self.at_s / 0.01) != int(before / 0.01):
                counted = int(self.spent_j[gpu] * 1e6 / RESOLUTION_UJ)
                watts = int(self.watts[gpu])  # whole watts, as amdsmi tells
                self.told[gpu] = {"counted": counted, "watts": watts}

    def amdsmi_init(self) -> None:
        self.told = [{"counted": 0, "watts": 40}, {"counted": 0, "watts": 40}]

    def amdsmi_get_processor_handles(self) -> list[int]:
        return [0, 1]

    def amdsmi_get_gpu_device_uuid(self, handle: int) -> str:
        return f"uuid-{handle}"

    def amdsmi_get_gpu_enumeration_info(self, handle: int) -> dict[str, int]:
        return {"hip_id": 1 - handle}

    def amdsmi_get_energy_count(self, handle: int) -> dict[str, float]:
        if self.no_counter:
            raise AmdSmiError("not supported")
        counted = self.told[handle]["counted"]
        return {self.energy_key: counted, "counter_resolution": RESOLUTION_UJ}

    def amdsmi_get_power_info(self, handle: int) -> dict[str, Any]:
        return {"current_socket_power": "N/A", "average_socket_power": self.told[handle]["watts"]}


@pytest.fixture
def smi(monkeypatch: pytest.MonkeyPatch) -> FakeSmi:
    """Return a stand-in that is imported as amdsmi."""
    fake = FakeSmi()
    monkeypatch.setitem(sys.modules, "amdsmi", fake)
    return fake


@pytest.mark.parametrize("key", ["energy_accumulator", "power"])
def test_energy_is_that_of_the_gpu_which_hip_numbers_so(smi: FakeSmi, key: str) -> None:
    """cuda:0 is the second on the bus; counter and power agree; older key names are known."""
    smi.energy_key = key
    passage = SimulatedPassage(smi)

    def draw(watts: float) -> None:
        smi.watts[1] = watts

    model = Model(passage, draw, lambda: smi.spent_j[1])
    energy = measure_energy(amd_meters("cuda:0"), model.run_for, trials=2, passage=passage)

    counter, power = energy.figures
    assert (counter.meter, counter.label) == ("amdsmi counter uuid-1", "measured:counter")
    for figure in (counter, power):
        assert figure.per_inference_j is not None
        assert close(figure.per_inference_j.value, model.truth_j)


def test_a_gpu_without_a_counter_keeps_its_power(smi: FakeSmi) -> None:
    """The counter is unavailable with the library's reason; the GPU is named by its UUID."""
    smi.no_counter = True

    counter, power = amd_meters("uuid-0")

    assert isinstance(counter, Absent)
    assert "not supported" in counter.reason
    assert power.device == "uuid-0"


def test_a_gpu_that_is_not_listed_is_absent(smi: FakeSmi) -> None:
    """No other GPU is measured in its place."""
    (meter,) = amd_meters("cuda:2")

    assert isinstance(meter, Absent)
    assert meter.reason == "amdsmi lists no cuda:2"


def test_without_the_library_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says that it cannot be imported, the fix how to install it."""
    monkeypatch.setitem(sys.modules, "amdsmi", None)

    (meter,) = amd_meters("cuda:0")

    assert isinstance(meter, Absent)
    assert "cannot be imported" in meter.reason
    assert "pip install" in meter.fix
