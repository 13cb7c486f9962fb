"""Which GPU a device's name means, and how much of its memory is used by whom."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest

from tests.xbench.telemetry.nvml_sim import UUIDS, SimulatedNvml
from tests.xbench.telemetry.simulated import SimulatedPassage
from xbench.telemetry.device_memory import watched
from xbench.telemetry.meter import Absent, MeterError
from xbench.telemetry.nvml import find_gpu
from xbench.telemetry.nvml_power import nvml_meters

Driver = Callable[[int], SimulatedNvml]
GB = 1 << 30


@pytest.mark.parametrize(
    ("visible", "device", "index"),
    [
        (None, "cuda:2", 2),
        ("2,0", "cuda:0", 2),
        ("2,0", "cuda:1", 0),
        (f"{UUIDS[3]},{UUIDS[1]}", "cuda:1", 1),
        ("GPU-1aff", "cuda:0", 1),
        (" 1 , GPU-1a2b ", "cuda:1", 0),
        ("1,-1,0", "cuda:0", 1),
        ("0", UUIDS[3], 3),
        (None, "GPU-77770000-0002", 2),
    ],
)
def test_a_device_is_the_one_that_cuda_means(
    simulated_nvml: Driver, visible: str | None, device: str, index: int
) -> None:
    """Numbers, UUIDs and starts of UUIDs in CUDA_VISIBLE_DEVICES, and UUIDs asked for."""
    simulated_nvml(4)
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}

    assert find_gpu(device, environment).uuid == UUIDS[index]


@pytest.mark.parametrize(
    ("visible", "device", "reason"),
    [
        ("", "cuda:0", "hides cuda:0"),
        ("1,-1,0", "cuda:1", "hides cuda:1"),
        ("0", "cuda:1", "hides cuda:1"),
        ("7", "cuda:0", "there is no cuda:7"),
        (None, "cuda:4", "there is no cuda:4"),
        ("GPU-7777", "cuda:0", "more than one"),
        ("GPU-dead", "cuda:0", "no GPU has a UUID"),
    ],
)
def test_a_device_that_cannot_be_told_is_refused(
    simulated_nvml: Driver, visible: str | None, device: str, reason: str
) -> None:
    """Hidden, missing or ambiguous: no other GPU is measured in its place."""
    simulated_nvml(4)
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}

    with pytest.raises(MeterError, match=reason):
        find_gpu(device, environment)


def test_numbers_of_gpus_of_several_kinds_need_a_known_order(simulated_nvml: Driver) -> None:
    """CUDA numbers the fastest first unless it is told to go by the bus."""
    sim = simulated_nvml(2)
    sim.identity(1, UUIDS[1], "Another GPU")

    with pytest.raises(MeterError, match="of different kinds") as caught:
        find_gpu("cuda:1", {})
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in caught.value.fix
    assert find_gpu("cuda:1", {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}).uuid == UUIDS[1]
    assert find_gpu("cuda:0", {"CUDA_VISIBLE_DEVICES": UUIDS[1]}).uuid == UUIDS[1]


def test_a_mig_instance_is_found_by_its_uuid(simulated_nvml: Driver) -> None:
    """Among those of every GPU, also through CUDA_VISIBLE_DEVICES."""
    sim = simulated_nvml(2)
    sim.set("mig", 1, 3, "MIG-0123")

    gpu = find_gpu("cuda:0", {"CUDA_VISIBLE_DEVICES": "MIG-0123"})

    assert gpu.uuid == "MIG-0123"
    assert gpu.part


def test_memory_is_told_above_a_baseline_and_by_process(simulated_nvml: Driver) -> None:
    """The peak between is seen; what the driver keeps for itself is no part of it."""
    sim = simulated_nvml(1)
    sim.set("memory", 0, 2 * GB, GB)
    passage = SimulatedPassage(sim)

    with watched(find_gpu("cuda:0"), lambda: {os.getpid()}, passage=passage) as watch:
        passage.sleep(0.1)
        sim.set("memory", 0, 7 * GB, GB)
        sim.set("process", 0, os.getpid(), 4 * GB)
        sim.set("process", 0, 999999, GB)
        passage.sleep(0.05)
        sim.set("memory", 0, 3 * GB, GB)
        passage.sleep(0.1)

    found = watch.found()
    assert found.baseline_bytes == 2 * GB
    assert found.peak_bytes == 5 * GB
    assert found.process_peak_bytes == 4 * GB
    assert found.reason is None


def test_a_driver_without_the_newer_call_still_tells_memory(simulated_nvml: Driver) -> None:
    """Then the reserved part is in both numbers and leaves the difference alone."""
    sim = simulated_nvml(1)
    sim.fault("nvmlDeviceGetMemoryInfo_v2", pynvml.NVML_ERROR_NOT_SUPPORTED)
    sim.set("memory", 0, GB, GB)

    with watched(find_gpu("cuda:0"), set, passage=SimulatedPassage(sim)) as watch:
        sim.set("memory", 0, 4 * GB, GB)

    assert watch.found().baseline_bytes == 2 * GB
    assert watch.found().peak_bytes == 3 * GB


NOT_AVAILABLE = pynvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value


@pytest.mark.parametrize(
    ("pid", "used", "reason"),
    [
        (999999, GB, "does not have ours"),
        (os.getpid(), NOT_AVAILABLE, "without its memory"),
        (None, 0, "does not have ours"),
    ],
)
def test_memory_by_process_is_none_where_the_driver_does_not_tell(
    simulated_nvml: Driver, pid: int | None, used: int, reason: str
) -> None:
    """As in a container without process numbers: None with the reason, never 0."""
    sim = simulated_nvml(1)
    if pid is not None:
        sim.set("process", 0, pid, used)

    own = {os.getpid()}
    with watched(find_gpu("cuda:0"), lambda: own, passage=SimulatedPassage(sim)) as watch:
        sim.set("memory", 0, GB, 0)

    assert watch.found().process_peak_bytes is None
    assert reason in (watch.found().reason or "")
    assert watch.found().peak_bytes == GB


def test_memory_that_the_driver_does_not_tell_is_an_error(simulated_nvml: Driver) -> None:
    """As where the device shares the memory of the host."""
    sim = simulated_nvml(1)
    for name in ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2"):
        sim.fault(name, pynvml.NVML_ERROR_NOT_SUPPORTED)

    with (
        pytest.raises(MeterError, match="does not offer it"),
        watched(find_gpu("cuda:0"), set, passage=SimulatedPassage(sim)),
    ):
        pass


def test_without_a_driver_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the driver, as on this machine where it has none."""

    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(pynvml, "CDLL", absent)
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})

    (meter,) = nvml_meters("cuda:0")

    assert isinstance(meter, Absent)
    assert meter.reason == "there is no NVIDIA driver on this machine"
    assert "--gpus" in meter.fix


def test_nvidia_ml_py_finds_the_library_as_it_finds_the_drivers(nvml_library: Path) -> None:
    """A process that is given the library by the loader's path uses it, nothing patched."""
    code = (
        "import ctypes\n"
        "sim = ctypes.CDLL('libnvidia-ml.so.1')\n"
        "sim.sim_reset(1)\n"
        "sim.sim_identity(0, b'GPU-abcd', b'Simulated GPU')\n"
        "from xbench.telemetry.nvml_power import nvml_meters\n"
        "print([meter.name for meter in nvml_meters('cuda:0')])\n"
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": str(nvml_library.parent)}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "['nvml counter GPU-abcd', 'nvml power GPU-abcd']"
