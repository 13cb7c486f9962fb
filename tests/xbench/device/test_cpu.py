"""Workers get CPUs that they may have, one a core, and the processor is told as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbench.device import (
    allowed_cpus,
    cpu_device,
    cpu_model,
    default_threads,
    limits_for,
    list_devices,
    oom_kills,
    physical_cores,
    spread_over_cores,
)
from xbench.device.cpu import FOLDER
from xbench.errors import UsageError


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
    absent = [name for name, value in cpu.details.items() if value == 0 and value is not False]
    assert not absent, "what is absent is None"
    assert cpu.details["affinity"] == sorted(os.sched_getaffinity(0))
    assert cpu.uuid is None


@pytest.mark.skipif(
    not (FOLDER / "cpu0/cache").exists(), reason="the kernel tells of no caches here"
)
def test_caches_are_told_in_bytes() -> None:
    caches = list_devices()[0].details["caches_bytes"]
    assert caches["L1d"] >= 4096
    assert all(size % 1024 == 0 for size in caches.values())


POLICY = {
    "cpu0/cpufreq/scaling_governor": "schedutil\n",
    "cpu0/cpufreq/scaling_driver": "intel_pstate\n",
    "cpu0/cpufreq/cpuinfo_min_freq": "800000\n",
    "cpu0/cpufreq/cpuinfo_max_freq": "3500000\n",
    "cpu0/cpufreq/scaling_min_freq": "800000\n",
    "cpu0/cpufreq/scaling_max_freq": "2000000\n",
    "cpu0/cpufreq/base_frequency": "2100000\n",
    "intel_pstate/no_turbo": "1\n",
}


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_the_frequency_policy_is_the_kernels(tmp_path: Path) -> None:
    """What the hardware can, what the policy lets it, and whether turbo is on."""
    details = cpu_device(tree(tmp_path, POLICY)).details

    assert details["governor"] == "schedutil"
    assert details["frequency_driver"] == "intel_pstate"
    assert (details["min_khz"], details["max_khz"]) == (800_000, 3_500_000)
    assert (details["lowest_khz"], details["highest_khz"]) == (800_000, 2_000_000)
    assert details["base_khz"] == 2_100_000
    assert details["turbo"] is False


def test_amds_files_tell_base_and_turbo(tmp_path: Path) -> None:
    """The base is in megahertz there, and boost is on where turbo is."""
    files = {"cpu0/acpi_cppc/nominal_freq": "2450\n", "cpufreq/boost": "1\n"}
    details = cpu_device(tree(tmp_path, files)).details
    assert (details["base_khz"], details["turbo"]) == (2_450_000, True)


def test_a_policy_that_is_not_told_is_none(tmp_path: Path) -> None:
    """As in most virtual machines: None, never 0 and never a guess."""
    details = cpu_device(tmp_path).details
    for name in ("governor", "min_khz", "max_khz", "base_khz", "turbo", "caches_bytes"):
        assert details[name] is None


@pytest.mark.parametrize(
    ("info", "model"),
    [
        ({"model name": "Some CPU"}, "Some CPU"),
        ({"CPU implementer": "0x41", "CPU part": "0xd0c"}, "Arm 0x41 0xd0c"),
    ],
)
def test_a_cpu_is_named_as_well_as_the_kernel_can(info: dict[str, str], model: str) -> None:
    assert cpu_model(info) == model


def test_the_count_of_kills_for_memory_only_grows() -> None:
    before, after = oom_kills(), oom_kills()
    assert (before is None) == (after is None)
    assert before is None or after is None or 0 <= before <= after
