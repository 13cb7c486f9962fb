"""The processor: which CPUs a worker may use, and what decides how fast they are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xbench import cgroup
from xbench.cgroup import read_text
from xbench.device.record import CPU, Device

FOLDER = Path("/sys/devices/system/cpu")

# What decides which kernels a runtime picks; the names are the kernel's, for x86 and Arm.
INSTRUCTION_SETS = (
    *("sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni"),
    *("avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)


def allowed_cpus() -> tuple[int, ...]:
    """Return the numbers of the CPUs that a worker may keep busy, spread over the cores.

    They lie within this process's affinity (which a cpuset narrows), and there are no more
    than the control group's quota of CPU time pays for: a pool of more threads than that is
    stopped by the kernel in the middle of an inference.
    """
    spread = spread_over_cores(sorted(os.sched_getaffinity(0)), core_of)
    quota = cgroup.cpu_quota()
    return tuple(spread if quota is None else spread[: max(1, int(quota))])


def why_no_more(allowed: int) -> str:
    """Return what limits this process to the CPUs that it may use."""
    quota, affinity = cgroup.cpu_quota(), len(os.sched_getaffinity(0))
    if quota is not None and allowed < affinity:
        return f"its control group's quota is {quota:g}"
    return f"its affinity covers {affinity} of {os.cpu_count()}"


def physical_cores() -> int:
    """Return how many cores, not hardware threads, this process's affinity covers."""
    return len({core_of(cpu) for cpu in os.sched_getaffinity(0)})


def default_threads() -> int:
    """Return the threads of one inference where none are asked for: one a physical core."""
    return min(physical_cores(), len(allowed_cpus()))


def cpu_device(folder: Path = FOLDER) -> Device:
    """Return this machine's CPU, with what decides how fast it runs a model.

    Args:
        folder: Where the kernel tells of its processors.
    """
    import psutil

    info = cpu_info()
    flags = (info.get("flags") or info.get("Features") or "").split()
    details = {
        "cores": physical_cores(),
        "logical_cpus": len(os.sched_getaffinity(0)),
        "online_cpus": os.cpu_count(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "quota_cpus": cgroup.cpu_quota(),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in flags] or None,
        "caches_bytes": caches_bytes(folder) or None,
        **frequency_policy(folder),
    }
    memory_bytes = psutil.virtual_memory().total
    limit_bytes = cgroup.memory_limit_bytes()
    return Device(CPU, cpu_model(info), min(memory_bytes, limit_bytes or memory_bytes), details)


def frequency_policy(folder: Path = FOLDER) -> dict[str, Any]:
    """Return who sets the first CPU's frequency and within what; None for what is not told.

    ``min_khz`` and ``max_khz`` are what the hardware can, ``lowest_khz`` and ``highest_khz`` what
    the policy lets it; ``base_khz`` it holds without turbo.
    """
    policy = folder / "cpu0/cpufreq"
    nominal_mhz = _number(folder / "cpu0/acpi_cppc/nominal_freq")
    return {
        "governor": read_text(policy / "scaling_governor"),
        "frequency_driver": read_text(policy / "scaling_driver"),
        "min_khz": _number(policy / "cpuinfo_min_freq"),
        "max_khz": _number(policy / "cpuinfo_max_freq"),
        "lowest_khz": _number(policy / "scaling_min_freq"),
        "highest_khz": _number(policy / "scaling_max_freq"),
        "base_khz": _number(policy / "base_frequency")
        or (nominal_mhz * 1000 if nominal_mhz else None),
        "turbo": turbo(folder),
    }


def turbo(folder: Path = FOLDER) -> bool | None:
    """Return whether the CPU may run above its base frequency; None where no driver tells."""
    boost = read_text(folder / "cpufreq/boost")
    no_turbo = read_text(folder / "intel_pstate/no_turbo")
    if no_turbo in {"0", "1"}:
        return no_turbo == "0"
    return boost == "1" if boost in {"0", "1"} else None


def cpu_info() -> dict[str, str]:
    """Return the fields that the kernel gives for the first CPU, by its own names."""
    first = (read_text(Path("/proc/cpuinfo")) or "").split("\n\n", maxsplit=1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def cpu_model(info: Mapping[str, str]) -> str | None:
    """Return the processor's name; on Arm the board's, or the codes that stand for it."""
    board = read_text(Path("/proc/device-tree/model"))
    codes = [info[key] for key in ("CPU implementer", "CPU part") if key in info]
    arm = "Arm " + " ".join(codes) if codes else None
    return info.get("model name") or (board.strip("\0") if board else None) or arm


def core_of(cpu: int) -> tuple[int, int]:
    """Return the package and lowest sibling of a CPU's core: equal for hardware threads of one."""
    topology = FOLDER / f"cpu{cpu}/topology"
    siblings = read_text(topology / "thread_siblings_list") or str(cpu)
    first = re.match(r"\d+", siblings)
    return _number(topology / "physical_package_id") or 0, int(first[0]) if first else cpu


def spread_over_cores(cpus: Sequence[int], core: Any) -> list[int]:
    """Return the CPUs with the first hardware thread of every core before the second of any."""
    taken: dict[Any, int] = {}
    turn = {}
    for cpu in cpus:
        turn[cpu] = taken.get(core(cpu), 0)
        taken[core(cpu)] = turn[cpu] + 1
    return sorted(cpus, key=lambda cpu: (turn[cpu], cpu))


def caches_bytes(folder: Path = FOLDER) -> dict[str, int]:
    """Return the size of each cache that the first CPU sees, in bytes, such as ``{"L2": ...}``."""
    caches = {}
    for cache in sorted((folder / "cpu0/cache").glob("index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(read_text(cache / "type") or "", "")
        size = re.fullmatch(r"(\d+)K", read_text(cache / "size") or "")
        if size:
            caches[f"L{read_text(cache / 'level')}{kind}"] = int(size[1]) * 1024
    return caches


def _number(path: Path) -> int | None:
    """Return the whole number that a file holds, or None."""
    text = read_text(path)
    return int(text) if text and text.isdecimal() else None
