"""Which meters a device gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.xbench.telemetry.nvml_sim import UUIDS, SimulatedNvml
from tests.xbench.telemetry.powercap import SimulatedTree
from xbench.telemetry.meter import Meter
from xbench.telemetry.sources import meters_for


def test_a_cpu_has_its_packages(tmp_path: Path) -> None:
    """From the kernel's tree."""
    tree = SimulatedTree(tmp_path / "class/powercap")
    tree.add("intel-rapl:0", "package-0")

    assert [meter.name for meter in meters_for("cpu", root=tmp_path)] == ["rapl package-0"]
    tree.close()


def test_a_gpu_comes_first_and_the_packages_beside_it(
    simulated_nvml: Callable[[int], SimulatedNvml], tmp_path: Path
) -> None:
    """A GPU's joules do not hold the processor's, which are told apart."""
    simulated_nvml(2)
    tree = SimulatedTree(tmp_path / "class/powercap")
    tree.add("intel-rapl:0", "package-0")

    names = [meter.name for meter in meters_for("cuda:1", {}, root=tmp_path)]

    assert names == [f"nvml counter {UUIDS[1]}", f"nvml power {UUIDS[1]}", "rapl package-0"]
    tree.close()


def test_a_board_whose_gpu_has_no_meter_has_its_rails(
    simulated_nvml: Callable[[int], SimulatedNvml], tmp_path: Path
) -> None:
    """As on a Jetson, where NVML knows the GPU and not its energy."""
    sim = simulated_nvml(1)
    for name in ("nvmlDeviceGetTotalEnergyConsumption", "INSTANT", "nvmlDeviceGetPowerUsage"):
        sim.fault(name, 3)
    folder = tmp_path / "class/hwmon/hwmon0"
    folder.mkdir(parents=True)
    for name, text in (("name", "ina3221"), ("in1_label", "VDD_IN")):
        (folder / name).write_text(text)

    assert [meter.name for meter in meters_for("cuda:0", {}, root=tmp_path)] == ["ina3221 VDD_IN"]


@pytest.mark.parametrize("device", ["cpu", "cuda:0", "GPU-dead"])
def test_this_machine_has_meters_or_reasons(device: str) -> None:
    """Whatever it is, there is something to read, or a reason and a fix."""
    found = meters_for(device)

    assert found
    for meter in found:
        assert isinstance(meter, Meter) or (meter.reason and meter.fix)
