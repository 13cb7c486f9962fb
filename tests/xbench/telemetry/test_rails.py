"""Supply lines of a single-board computer, from simulated files of its sensors."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.xbench.telemetry.simulated import Model, SimulatedPassage, close
from xbench.telemetry.energy import measure_energy
from xbench.telemetry.meter import MeterError, Scope
from xbench.telemetry.rails import rail_meters

VOLTS = 5.0


class Ina3221:
    """A chip under hwmon whose second channel follows the power, renewed every 50 ms."""

    def __init__(self, root: Path, labels: tuple[str, str, str]) -> None:
        self.folder = root / "class/hwmon/hwmon3"
        self.folder.mkdir(parents=True)
        self.watts = self.at_s = self.spent_j = 0.0
        self._write("name", "ina3221")
        for channel, label in enumerate(labels, 1):
            self._write(f"in{channel}_label", label)
            self._write(f"in{channel}_input", int(VOLTS * 1000))
            self._write(f"curr{channel}_input", 100)
        self._write("in7_label", "sum of shunt voltages")

    def advance(self, seconds: float) -> None:
        self.spent_j += self.watts * seconds
        before, self.at_s = self.at_s, self.at_s + seconds
        if int(self.at_s / 0.05) != int(before / 0.05):
            self._write("curr2_input", round(self.watts / VOLTS * 1000))

    def _write(self, name: str, value: object) -> None:
        (self.folder / name).write_text(f"{value}\n")


def test_energy_of_a_rail_is_what_the_simulation_spent(tmp_path: Path) -> None:
    """Each rail is a figure under the board's own name, sampled, and none is a sum."""
    chip = Ina3221(tmp_path, ("VDD_SOC", "VDD_IN", "NC"))
    passage = SimulatedPassage(chip)
    model = Model(
        passage,
        lambda watts: setattr(chip, "watts", watts),
        lambda: chip.spent_j,
        load_w=12.0,
        idle_w=4.0,
    )

    energy = measure_energy(rail_meters(tmp_path), model.run_for, trials=3, passage=passage)

    figure = energy.headline
    assert figure is not None
    assert (figure.meter, figure.scope, figure.label) == (
        "ina3221 VDD_IN",
        "board",
        "measured:sampled",
    )
    assert figure.per_inference_j is not None
    assert close(figure.per_inference_j.value, model.truth_j)
    assert figure.idle_w is not None
    assert close(figure.idle_w.value, 4.0)
    assert energy.figures[1].meter == "ina3221 VDD_SOC"
    assert "does not follow the load" in (energy.figures[1].fix or "")


def test_a_rail_of_several_processors_keeps_its_name(tmp_path: Path) -> None:
    """VDD_CPU_GPU_CV is nobody's alone: neither the CPU's nor the GPU's."""
    Ina3221(tmp_path, ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"))

    whole, *parts = rail_meters(tmp_path)

    assert whole.scope is Scope.BOARD
    assert [(part.name, part.scope) for part in parts] == [
        ("ina3221 VDD_CPU_GPU_CV", Scope.RAIL),
        ("ina3221 VDD_SOC", Scope.RAIL),
    ]
    assert parts[0].device == "VDD_CPU_GPU_CV"


def test_channels_that_are_off_or_not_wired_are_left_out(tmp_path: Path) -> None:
    """Also the sums beyond the third channel, whose files look like a channel's."""
    chip = Ina3221(tmp_path, ("VDD_GPU_SOC", "VDD_CPU_CV", "NC"))
    chip._write("in1_enable", 0)

    assert [meter.name for meter in rail_meters(tmp_path)] == ["ina3221 VDD_CPU_CV"]


@pytest.mark.parametrize("power", [True, False])
def test_the_files_of_older_kernels_are_read(tmp_path: Path, power: bool) -> None:
    """From NVIDIA's iio driver: milliwatts, or millivolts and milliamps."""
    folder = tmp_path / "bus/i2c/drivers/ina3221x/1-0040/iio:device0"
    folder.mkdir(parents=True)
    (folder / "rail_name_1").write_text("POM_5V_GPU\n")
    (folder / "rail_name_0").write_text("POM_5V_IN\n")
    for channel, watts in ((0, 7.5), (1, 2.5)):
        if power:
            (folder / f"in_power{channel}_input").write_text(f"{int(watts * 1000)}\n")
        else:
            (folder / f"in_voltage{channel}_input").write_text("5000\n")
            (folder / f"in_current{channel}_input").write_text(f"{int(watts * 200)}\n")

    whole, gpu = rail_meters(tmp_path)

    assert (whole.name, whole.scope, whole.read()) == ("ina3221 POM_5V_IN", Scope.BOARD, 7.5)
    assert (gpu.name, gpu.scope, gpu.read()) == ("ina3221 POM_5V_GPU", Scope.RAIL, 2.5)


def test_a_rail_that_cannot_be_read_is_an_error_and_not_0_watts(tmp_path: Path) -> None:
    """A sensor that goes away says so."""
    chip = Ina3221(tmp_path, ("VDD_IN", "NC", "NC"))
    (meter,) = rail_meters(tmp_path)
    (chip.folder / "curr1_input").unlink()

    with pytest.raises(MeterError, match="cannot be read"):
        meter.read()


def test_without_such_a_chip_there_are_no_rails(tmp_path: Path) -> None:
    """Other sensors under hwmon are left alone."""
    other = tmp_path / "class/hwmon/hwmon0"
    other.mkdir(parents=True)
    (other / "name").write_text("k10temp\n")

    assert rail_meters(tmp_path) == ()
