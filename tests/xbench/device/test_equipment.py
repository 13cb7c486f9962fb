"""What can be measured of each device, and where it cannot, why; as `xbench devices` shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest
from typer.testing import CliRunner

from tests.xbench.telemetry.nvml_sim import UUIDS, SimulatedNvml
from xbench.cli.main import app
from xbench.equipment import Equipment, Instrument, list_equipment, to_json

Driver = Callable[[int], SimulatedNvml]
MIG = "MIG-0123abcd-0000"
GPU_READINGS = ["memory", "memory by process", "temperature", "clocks", "throttling"]


def of(found: tuple[Equipment, ...], name: str) -> dict[str, list[Instrument]]:
    """Return a device's instruments by what they measure."""
    (one,) = (each for each in found if each.device.name == name)
    kinds: dict[str, list[Instrument]] = {}
    for instrument in one.telemetry:
        kinds.setdefault(instrument.measures, []).append(instrument)
    return kinds


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_every_reading_of_the_cpu_is_there_or_has_a_reason(tmp_path: Path) -> None:
    """On a machine whose kernel shows nothing: a reason and what helps, for each."""
    found = of(list_equipment(root=tmp_path), "cpu")

    assert set(found) == {"energy", "memory", "memory peak", "temperature", "clocks", "throttling"}
    (energy,) = found["energy"]
    assert (energy.source, energy.scope) == ("rapl package", "package")
    assert "has no package" in (energy.reason or "")
    for instruments in found.values():
        for one in instruments:
            assert (one.reason is None) == (one.fix is None)
    assert found["throttling"][0].reason == "the kernel counts no throttling here"


def test_what_the_kernel_shows_is_measured(tmp_path: Path) -> None:
    zone = "class/powercap/intel-rapl:0"
    cpu = "devices/system/cpu/cpu0"
    root = write(
        tmp_path,
        {
            f"{zone}/name": "package-0\n",
            f"{zone}/energy_uj": "1000\n",
            f"{zone}/max_energy_range_uj": "262143328850\n",
            f"{cpu}/cpufreq/scaling_cur_freq": "2100000\n",
            f"{cpu}/thermal_throttle/core_throttle_count": "0\n",
        },
    )
    found = of(list_equipment(root=root), "cpu")

    assert [(one.source, one.reason) for one in found["energy"]] == [("rapl package-0", None)]
    assert (found["clocks"][0].source, found["clocks"][0].reason) == ("cpufreq", None)
    assert found["throttling"][0].reason is None


def test_a_gpus_readings_are_its_own(simulated_nvml: Driver, tmp_path: Path) -> None:
    """The processor's energy stands with the processor, though a GPU's row has it besides."""
    simulated_nvml(2)
    found = of(list_equipment(root=tmp_path), "cuda:1")

    assert [one.source for one in found["energy"]] == [
        f"nvml counter {UUIDS[1]}",
        f"nvml power {UUIDS[1]}",
    ]
    assert list(found) == ["energy", *GPU_READINGS]
    assert all(one.reason is None for kind in found.values() for one in kind)


def test_what_a_gpu_refuses_has_the_drivers_reason(simulated_nvml: Driver, tmp_path: Path) -> None:
    """Of one GPU: the other keeps its own."""
    sim = simulated_nvml(2)
    sim.fault("nvmlDeviceGetTotalEnergyConsumption", pynvml.NVML_ERROR_NOT_SUPPORTED)
    sim.fault("nvmlDeviceGetTemperature", pynvml.NVML_ERROR_NO_PERMISSION)
    sim.fault("nvmlDeviceGetCurrentClocksEventReasons", pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    equipment = list_equipment(root=tmp_path)
    found = of(equipment, "cuda:0")

    counter, power = found["energy"]
    assert counter.reason == "this GPU or its driver does not offer it"
    assert power.reason is None
    assert found["temperature"][0].reason == "permission denied"
    assert "run as root" in (found["temperature"][0].fix or "")
    assert found["throttling"][0].reason is None, "older drivers have the older call"
    assert of(equipment, "cuda:1")["temperature"][0].reason is None


def test_a_mig_instance_has_memory_and_no_energy(simulated_nvml: Driver, tmp_path: Path) -> None:
    sim = simulated_nvml(1)
    sim.set("mig", 0, 2, MIG)
    found = of(list_equipment(root=tmp_path), MIG)

    assert "not of a MIG instance" in (found["energy"][0].reason or "")
    assert found["memory"][0].reason is None


def test_the_document_says_what_the_screen_says(simulated_nvml: Driver) -> None:
    """JSON on stdout leaves the text to stderr; the screen stays within 80 columns."""
    sim = simulated_nvml(2)
    sim.set("mig", 1, 2, MIG)
    shown = CliRunner().invoke(app, ["devices"])
    told = CliRunner().invoke(app, ["devices", "--json", "-"])

    assert (shown.exit_code, told.exit_code) == (0, 0)
    assert max(map(len, shown.stdout.splitlines())) <= 80
    for word in ("cuda:0", UUIDS[0], MIG, "power limit: 700 W", "CUDA up to 13.0", "MIG on"):
        assert word in shown.stdout
    assert "not measured: energy" in shown.stdout
    document = json.loads(told.stdout)
    assert document["schema"] == 1
    assert [one["name"] for one in document["devices"]] == ["cpu", "cuda:0", "cuda:1", MIG]
    assert document == json.loads(json.dumps(to_json(list_equipment())))
    for one in document["devices"]:
        assert {"name", "model", "memory_bytes", "details", "reason", "telemetry"} == one.keys()
        assert one["telemetry"]


def test_a_gpu_that_is_hidden_is_listed_with_the_reason(
    simulated_nvml: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated_nvml(2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    shown = CliRunner().invoke(app, ["devices"]).stdout
    assert shown.count("not available: CUDA_VISIBLE_DEVICES=1 hides it.") == 1
