"""Workers get CPUs that they may have, one a core, and devices are told as they are."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.device import (
    CPU_FOLDER,
    allowed_cpus,
    cpu_model,
    default_threads,
    limits_for,
    list_devices,
    oom_kills,
    parse_device,
    physical_cores,
    spread_over_cores,
)
from xbench.errors import UnknownNameError, UsageError


def test_no_more_cpus_are_allowed_than_the_kernel_grants() -> None:
    assert set(allowed_cpus()) <= os.sched_getaffinity(0)
    assert 1 <= default_threads() <= physical_cores() <= len(os.sched_getaffinity(0))
    assert physical_cores() <= (psutil.cpu_count(logical=False) or physical_cores())


def test_a_narrower_affinity_is_heeded() -> None:
    """In a process pinned to one CPU there is one thread, and a second one is refused."""
    code = (
        "import os; from xbench.device import *; from xbench.errors import UsageError;"
        "cpu = max(os.sched_getaffinity(0)); os.sched_setaffinity(0, {cpu});"
        "assert allowed_cpus() == (cpu,) and physical_cores() == default_threads() == 1;"
        "assert limits_for(None, 'cpu').cpus == (cpu,);"
        "\ntry: limits_for(2, 'cpu')"
        "\nexcept UsageError as error: print(error)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 threads were asked for, and this process may use 1 CPU (its affinity" in done.stdout


def test_limits_are_as_many_cpus_as_threads() -> None:
    for threads in range(1, len(allowed_cpus()) + 1):
        limits = limits_for(threads, "cpu", 2**30)
        assert limits.threads == len(set(limits.cpus)) == threads
        assert (limits.memory_bytes, limits.device) == (2**30, "cpu")
    assert limits_for(None, "CPU ").threads == default_threads()


@pytest.mark.parametrize("threads", [0, -1, 10**6])
def test_threads_that_cannot_be_had_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match="Ask for --threads between 1 and"):
        limits_for(threads, "cpu")


@given(st.dictionaries(st.integers(0, 99), st.integers(0, 9), min_size=1), st.data())
def test_threads_share_no_core_while_another_is_free(
    core_of: dict[int, int], data: st.DataObject
) -> None:
    """Two of a core's hardware threads are taken only when every core has one."""
    spread = spread_over_cores(sorted(core_of), core_of.__getitem__)
    assert sorted(spread) == sorted(core_of)
    threads = data.draw(st.integers(1, len(spread)))
    cores = {core_of[cpu] for cpu in spread[:threads]}
    assert len(cores) == min(threads, len(set(core_of.values())))


def test_the_cpu_is_a_device_with_what_decides_its_speed() -> None:
    cpu = list_devices()[0]
    assert (cpu.name, cpu.reason) == ("cpu", None)
    assert cpu.model
    assert cpu.memory_bytes is not None
    assert 2**28 < cpu.memory_bytes <= psutil.virtual_memory().total
    assert cpu.details["cores"] == physical_cores()
    assert cpu.details["online_cpus"] == os.cpu_count()
    assert cpu.details["instruction_sets"]
    assert 0 not in cpu.details.values(), "what is absent is None"


@pytest.mark.skipif(
    not (CPU_FOLDER / "cpu0/cache").exists(), reason="the kernel tells of no caches here"
)
def test_caches_are_told_in_bytes() -> None:
    caches = list_devices()[0].details["caches_bytes"]
    assert caches["L1d"] >= 4096
    assert all(size % 1024 == 0 for size in caches.values())


@pytest.mark.parametrize(
    ("info", "model"),
    [
        ({"model name": "Some CPU"}, "Some CPU"),
        ({"CPU implementer": "0x41", "CPU part": "0xd0c"}, "Arm 0x41 0xd0c"),
    ],
)
def test_a_cpu_is_named_as_well_as_the_kernel_can(info: dict[str, str], model: str) -> None:
    assert cpu_model(info) == model


def test_gpus_are_listed_or_there_is_a_reason() -> None:
    gpus = list_devices()[1:]
    assert gpus
    for gpu in gpus:
        assert gpu.name.startswith("cuda")
        assert (gpu.model is None) == (gpu.reason is not None)


def test_devices_are_found_by_name() -> None:
    assert parse_device("cpu") == "cpu"
    usable = [device.name for device in list_devices() if device.reason is None]
    for name in usable:
        assert parse_device(name.upper()) == name
    with pytest.raises(UnknownNameError, match=r"Did you mean 'cpu'.*`xbench devices`"):
        parse_device("cqu")
    with pytest.raises(UsageError, match="`xbench devices`"):
        parse_device("cuda:99")


@pytest.mark.skipif(
    any(device.name == "cuda:0" for device in list_devices()), reason="there is a GPU here"
)
def test_a_gpu_that_is_not_there_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="cuda:0 cannot be used here: there is no NVIDIA driver"):
        limits_for(1, "cuda")


def test_the_count_of_kills_for_memory_only_grows() -> None:
    before, after = oom_kills(), oom_kills()
    assert (before is None) == (after is None)
    assert before is None or after is None or 0 <= before <= after
