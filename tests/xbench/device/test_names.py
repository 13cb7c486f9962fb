"""Which devices a text means, and what a worker on one of them sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest

from tests.xbench.telemetry.nvml_sim import UUIDS, SimulatedNvml
from xbench.adapter import Limits
from xbench.device import devices_of, kind_of, limits_for, list_devices, parse_device
from xbench.errors import UnknownNameError, UsageError
from xbench.process import environment
from xbench.telemetry.nvml import find_gpu, gpu_of

Driver = Callable[[int], SimulatedNvml]
MIG = "MIG-0123abcd-0000"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cpu", ("cpu",)),
        (" CPU ,cpu,", ("cpu",)),
        ("cuda", ("cuda:0",)),
        ("CUDA:2", ("cuda:2",)),
        ("cuda:1,cpu,cuda:1", ("cuda:1", "cpu")),
        (UUIDS[1], ("cuda:1",)),
        ("gpu-1AFF", ("cuda:1",)),
        (f"{UUIDS[3]},cuda:3,{UUIDS[0]}", ("cuda:3", "cuda:0")),
        ("all", ("cpu", "cuda:0", "cuda:1", "cuda:2", "cuda:3")),
        ("cuda:2,all", ("cuda:2", "cpu", "cuda:0", "cuda:1", "cuda:3")),
    ],
)
def test_a_text_means_devices_each_once_in_its_order(
    simulated_nvml: Driver, text: str, names: tuple[str, ...]
) -> None:
    simulated_nvml(4)
    assert devices_of(text) == names


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("cqu", UnknownNameError, r"Did you mean 'cpu'.*`xbench devices`"),
        ("cuda:4", UnknownNameError, "no device 'cuda:4'"),
        ("cuda:01", UnknownNameError, "no device"),
        ("GPU-dead", UnknownNameError, "no device 'GPU-dead'"),
        ("MIG-", UnknownNameError, "no device"),
        ("GPU-7777", UsageError, "the UUIDs of 2 devices start with GPU-7777"),
        ("cpu,cpo", UnknownNameError, "no device 'cpo'"),
        (" , ", UsageError, "no device is named"),
    ],
)
def test_a_text_that_means_none_or_several_is_refused(
    simulated_nvml: Driver, text: str, error: type[UsageError], said: str
) -> None:
    """No other device is measured in its place."""
    simulated_nvml(4)
    with pytest.raises(error, match=said):
        devices_of(text)


def test_one_device_is_one(simulated_nvml: Driver) -> None:
    """Where a command takes one, a list is refused and not cut short."""
    simulated_nvml(2)
    assert parse_device("cuda") == "cuda:0"
    for text in ("cpu,cuda:0", "all"):
        with pytest.raises(UsageError, match="more than one device"):
            limits_for(1, text)


def test_limits_of_a_gpu_have_its_uuid_and_a_worker_sees_it_alone(
    simulated_nvml: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever of several was asked for, a framework in the worker counts it as 0."""
    simulated_nvml(4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    limits = limits_for(1, "cuda:3", 2**30)

    assert (limits.device, limits.uuid, limits.memory_bytes) == ("cuda:3", UUIDS[3], 2**30)
    own = environment(limits)
    assert own["CUDA_VISIBLE_DEVICES"] == UUIDS[3]
    assert own["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert find_gpu("cuda:0", own).uuid == gpu_of(limits).uuid == UUIDS[3]


def test_a_worker_on_the_cpu_sees_no_gpu(
    simulated_nvml: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that the caller's own environment shows."""
    simulated_nvml(1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    limits = limits_for(1, "cpu")

    assert (limits.device, limits.uuid) == ("cpu", None)
    assert environment(limits)["CUDA_VISIBLE_DEVICES"] == ""


def test_limits_without_a_uuid_leave_the_callers_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those that a test writes by hand."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert environment(Limits(1, device="cuda:0"))["CUDA_VISIBLE_DEVICES"] == "7"


def test_threads_beside_a_gpu_sleep_while_they_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a worker on the CPU wait as the runtime has it; what the user set is left."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert environment(Limits(1, device="cuda:0"))["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "OMP_WAIT_POLICY" not in environment(Limits(1))
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert environment(Limits(1, device="cuda:0"))["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.parametrize(
    ("visible", "usable"),
    [
        ("2,0", ("cpu", "cuda:0", "cuda:2")),
        (UUIDS[3], ("cpu", "cuda:3")),
        ("GPU-1aff,GPU-7777", ("cpu", "cuda:1")),  # the second is none, as it could be two
        ("1,-1,0", ("cpu", "cuda:1")),
        ("9,0", ("cpu",)),
        ("", ("cpu",)),
        ("NoDevFiles", ("cpu",)),
    ],
)
def test_a_gpu_that_the_caller_may_not_use_is_refused(
    simulated_nvml: Driver,
    monkeypatch: pytest.MonkeyPatch,
    visible: str,
    usable: tuple[str, ...],
) -> None:
    """A scheduler that gave one GPU of four meant it; the reason names the variable."""
    simulated_nvml(4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert devices_of("all") == usable
    for name in {"cuda:0", "cuda:1", "cuda:2", "cuda:3"} - set(usable):
        with pytest.raises(UsageError, match=f"CUDA_VISIBLE_DEVICES={visible} hides it"):
            devices_of(name)


def test_numbers_in_an_order_that_is_not_known_show_no_gpu(
    simulated_nvml: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA may have meant the other one, which is perhaps somebody else's."""
    sim = simulated_nvml(2)
    sim.identity(1, UUIDS[1], "Another GPU")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")

    with pytest.raises(UsageError, match="CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        devices_of("cuda:1")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert devices_of("all") == ("cpu", "cuda:1")


def test_a_mig_instance_is_a_device_and_its_gpu_is_none(
    simulated_nvml: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA runs nothing on a GPU that is split."""
    sim = simulated_nvml(2)
    sim.set("mig", 1, 3, MIG)

    assert devices_of("all") == ("cpu", "cuda:0", MIG)
    assert kind_of(MIG) == kind_of("cuda:0") == "cuda"
    with pytest.raises(UsageError, match="split into MIG instances"):
        devices_of("cuda:1")
    limits = limits_for(1, "mig-0123")
    assert (limits.device, limits.uuid) == (MIG, MIG)
    assert environment(limits)["CUDA_VISIBLE_DEVICES"] == MIG
    for visible, names in (("0", ("cuda:0",)), (MIG, (MIG,)), ("1", (MIG,))):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert devices_of("all") == ("cpu", *names)


def test_what_a_gpu_does_not_tell_is_none(simulated_nvml: Driver) -> None:
    """Figures of a GPU with its units, and None where the driver refuses."""
    sim = simulated_nvml(2)
    sim.set("clocks", 0, 345, 1593, 40)
    for name in ("nvmlDeviceGetEccMode", "nvmlDeviceGetMemoryInfo"):
        sim.fault(name, pynvml.NVML_ERROR_NOT_SUPPORTED, index=1)
    _, first, second = list_devices()

    assert first.memory_bytes == 80 * 2**30
    told = {
        "uuid": UUIDS[0],
        "driver": "580.1",
        "cuda": "13.0",
        "sm_mhz": 345,
        "max_sm_mhz": 1980,
        "memory_mhz": 1593,
        "max_memory_mhz": 2619,
        "power_limit_mw": 700_000,
        "default_power_limit_mw": 650_000,
        "min_power_limit_mw": 200_000,
        "max_power_limit_mw": 700_000,
        "persistence": True,
        "ecc": False,
        "mig": False,
        "instances": None,
    }
    assert {name: first.details[name] for name in told} == told
    assert tuple(first.details["compute_capability"]) == (9, 0)
    assert (second.memory_bytes, second.details["ecc"]) == (None, None)
    assert json.loads(json.dumps(dict(second.details)))["uuid"] == UUIDS[1]


def test_without_a_driver_a_gpu_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(pynvml, "CDLL", absent)
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})

    assert [device.name for device in list_devices()] == ["cpu", "cuda"]
    assert devices_of("all") == ("cpu",)
    for text in ("cuda", "cuda:0", "cuda:99"):
        with pytest.raises(UsageError, match="cannot be used here: there is no NVIDIA driver"):
            limits_for(1, text)
    with pytest.raises(UnknownNameError, match="no device 'GPU-1234'"):
        devices_of("GPU-1234")


def test_a_driver_that_lists_no_gpu_is_the_reason(simulated_nvml: Driver) -> None:
    simulated_nvml(0)
    with pytest.raises(UsageError, match="lists no GPU"):
        devices_of("cuda:0")


def test_the_cpu_is_found_without_asking_a_driver(nvml_library: Path) -> None:
    """One that hangs must not keep a run on the CPU from starting."""
    code = (
        "import sys; from xbench.device import limits_for;"
        "assert limits_for(1, 'cpu').device == 'cpu'; print('pynvml' in sys.modules)"
    )
    own = {**os.environ, "LD_LIBRARY_PATH": str(nvml_library.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=own, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
