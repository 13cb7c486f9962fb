"""The devices of this machine, and how much of them a worker may use."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xbench import cgroup
from xbench.adapter import Limits
from xbench.cgroup import read_text
from xbench.errors import UnknownNameError, UsageError

CPU_FOLDER = Path("/sys/devices/system/cpu")
LISTING = "xbench devices"

# What decides which kernels a runtime picks; the names are the kernel's, for x86 and Arm.
INSTRUCTION_SETS = (
    *("sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni"),
    *("avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)


@dataclass(frozen=True, slots=True)
class Device:
    """Something that can run a model.

    Attributes:
        name: As ``--device`` takes it: ``cpu``, ``cuda:0``.
        model: The maker's name for it, or None where it does not tell.
        memory_bytes: Its memory, or None where unknown.
        details: What else it tells, by name; None for what it does not.
        reason: Why it cannot be used, or None.
    """

    name: str
    model: str | None
    memory_bytes: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None


def allowed_cpus() -> tuple[int, ...]:
    """Return the numbers of the CPUs that a worker may keep busy, spread over the cores.

    They lie within this process's affinity (which a cpuset narrows), and there are no more
    than the control group's quota of CPU time pays for: a pool of more threads than that is
    stopped by the kernel in the middle of an inference.
    """
    spread = spread_over_cores(sorted(os.sched_getaffinity(0)), core_of)
    quota = cgroup.cpu_quota()
    return tuple(spread if quota is None else spread[: max(1, int(quota))])


def physical_cores() -> int:
    """Return how many cores, not hardware threads, this process's affinity covers."""
    return len({core_of(cpu) for cpu in os.sched_getaffinity(0)})


def default_threads() -> int:
    """Return the threads of one inference where none are asked for: one a physical core."""
    return min(physical_cores(), len(allowed_cpus()))


def limits_for(threads: int | None, device: str, memory_bytes: int | None = None) -> Limits:
    """Return what a worker may use: as many CPUs as threads, on cores of their own if it can.

    Raises:
        UsageError: If there are fewer CPUs than threads, or the device is not there.
    """
    name = parse_device(device)
    cpus = allowed_cpus()
    wanted = default_threads() if threads is None else threads
    if not 1 <= wanted <= len(cpus):
        raise UsageError(
            f"{wanted} threads were asked for, and this process may use {_cpus(len(cpus))}"
            f" ({_why(len(cpus))})",
            f"Ask for --threads between 1 and {len(cpus)}",
        )
    return Limits(wanted, tuple(sorted(cpus[:wanted])), memory_bytes, name)


def parse_device(text: str) -> str:
    """Return the device's full name: ``cuda`` is ``cuda:0``.

    Raises:
        UnknownNameError: If this machine has no such device.
        UsageError: If it has, and it cannot be used.
    """
    word = text.strip().lower()
    name = "cuda:0" if word == "cuda" else word
    if name == "cpu":
        return name
    devices = {device.name: device for device in list_devices()}
    known = tuple(one for one, device in devices.items() if device.reason is None)
    if name in known:
        return name
    absent = devices.get(name) or devices.get("cuda")
    if re.fullmatch(r"cuda:\d+", name) and absent is not None:
        raise UsageError(
            f"{name} cannot be used here: {absent.reason}", f"`{LISTING}` lists what can be"
        )
    raise UnknownNameError("device", text, known, LISTING)


def list_devices() -> tuple[Device, ...]:
    """Return the CPU, then each GPU; ``cuda`` with a reason where no GPU can be reached."""
    return (cpu_device(), *_gpus())


def cpu_device() -> Device:
    """Return this machine's CPU, with what decides how fast it runs a model."""
    import psutil

    info = cpu_info()
    flags = (info.get("flags") or info.get("Features") or "").split()
    details = {
        "cores": physical_cores(),
        "logical_cpus": len(os.sched_getaffinity(0)),
        "online_cpus": os.cpu_count(),
        "quota_cpus": cgroup.cpu_quota(),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in flags] or None,
        "caches_bytes": _caches_bytes() or None,
        "governor": read_text(CPU_FOLDER / "cpu0/cpufreq/scaling_governor"),
        "max_khz": _number(CPU_FOLDER / "cpu0/cpufreq/cpuinfo_max_freq"),
    }
    memory_bytes = psutil.virtual_memory().total
    limit_bytes = cgroup.memory_limit_bytes()
    return Device("cpu", cpu_model(info), min(memory_bytes, limit_bytes or memory_bytes), details)


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
    topology = CPU_FOLDER / f"cpu{cpu}/topology"
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


def oom_kills() -> int | None:
    """Return how many processes the kernel has killed for memory; see `xbench.cgroup`."""
    return cgroup.oom_kills()


def _gpus() -> list[Device]:
    """Return NVIDIA's GPUs as its driver lists them, or one entry that says why there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return [Device("cuda", None, reason="the package nvidia-ml-py is not installed")]
    except pynvml.NVMLError as error:
        missing = isinstance(error, pynvml.NVMLError_LibraryNotFound)
        reason = "there is no NVIDIA driver on this machine" if missing else f"NVML says: {error}"
        return [Device("cuda", None, reason=reason)]
    try:
        found = [_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()
    return found or [Device("cuda", None, reason="the NVIDIA driver lists no GPU")]


def _gpu(nvml: Any, index: int) -> Device:
    """Return one GPU; what its driver does not tell is None."""

    def ask(question: Any, *arguments: Any) -> Any:
        try:
            return question(handle, *arguments)
        except nvml.NVMLError:
            return None

    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = ask(nvml.nvmlDeviceGetMemoryInfo)
    details = {
        "uuid": ask(nvml.nvmlDeviceGetUUID),
        "compute_capability": ask(nvml.nvmlDeviceGetCudaComputeCapability),
        "driver": nvml.nvmlSystemGetDriverVersion(),
        "max_sm_mhz": ask(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
        "power_limit_mw": ask(nvml.nvmlDeviceGetEnforcedPowerLimit),
    }
    name = ask(nvml.nvmlDeviceGetName)
    return Device(f"cuda:{index}", name, memory.total if memory else None, details)


def _caches_bytes() -> dict[str, int]:
    """Return the size of each cache that the first CPU sees, in bytes, such as ``{"L2": ...}``."""
    caches = {}
    for folder in sorted((CPU_FOLDER / "cpu0/cache").glob("index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(read_text(folder / "type") or "", "")
        size = re.fullmatch(r"(\d+)K", read_text(folder / "size") or "")
        if size:
            caches[f"L{read_text(folder / 'level')}{kind}"] = int(size[1]) * 1024
    return caches


def _number(path: Path) -> int | None:
    """Return the whole number that a file holds, or None."""
    text = read_text(path)
    return int(text) if text and text.isdecimal() else None


def _cpus(count: int) -> str:
    """Return a count of CPUs in words."""
    return f"{count} CPU{'' if count == 1 else 's'}"


def _why(allowed: int) -> str:
    """Return what limits this process to the CPUs that it may use."""
    quota, affinity = cgroup.cpu_quota(), len(os.sched_getaffinity(0))
    if quota is not None and allowed < affinity:
        return f"its control group's quota is {quota:g}"
    return f"its affinity covers {affinity} of {os.cpu_count()}"
