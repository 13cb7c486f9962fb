"""What this machine was while it measured: what a result must be read together with.

Nothing here guesses. What cannot be read is None, and ``absent`` says why.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from xbench import __version__, cgroup
from xbench.cgroup import read_text
from xbench.device import cpu_info, list_devices
from xbench.device import turbo as cpu_turbo

SYSTEM = Path("/sys/devices/system")

# What changes the threads, the mathematics or the memory of a runtime behind its user's back.
SETTINGS = re.compile(
    r"(OMP|GOMP|KMP|MKL|OPENBLAS|BLIS|ORT|ONNXRUNTIME|OV|OPENVINO|DNNL|ONEDNN|TF(?!_CLI_)|XLA|TORCH|PYTORCH"
    r"|ATEN|TBB|NUMEXPR|XNNPACK|MALLOC|CUDA|NVIDIA|TRT|GLIBC)_\w+|LD_PRELOAD|LD_LIBRARY_PATH"
    r"|PYTHONMALLOC|PYTHONHASHSEED|PYTHONOPTIMIZE"
)

# Distributions whose version decides what was measured; each only where it is installed.
DISTRIBUTIONS = (
    *("numpy", "onnx", "psutil", "nvidia-ml-py"),
    *("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "openvino", "torch", "triton"),
    *("tensorflow", "tensorflow-cpu", "keras", "ai-edge-litert", "tensorrt", "jax"),
)

READINGS: dict[str, tuple[Callable[[], Any], str]] = {}
"""Each reading by its name: how it is made, and why it may not be there."""


def reading(reason: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Return a decorator that adds a function to `READINGS` under its own name."""

    def add(read: Callable[[], Any]) -> Callable[[], Any]:
        READINGS[read.__name__] = (read, reason)
        return read

    return add


def capture_context() -> dict[str, Any]:
    """Return the machine, its state and the versions on it, as the document's ``host``.

    ``absent`` has the reason for each value that is None.
    """
    context: dict[str, Any] = {}
    absent: dict[str, str] = {}
    for name, (read, reason) in READINGS.items():
        try:
            context[name] = read()
        except OSError as error:
            context[name], reason = None, f"{error.strerror or error}"
        if context[name] is None:
            absent[name] = reason
    return {**context, "absent": absent}


@reading("the machine has no identity that can be read")
def host_id() -> str | None:
    """Return what tells two machines apart without naming this one: a hash, cut short."""
    identity = read_text(Path("/etc/machine-id")) or platform.node()
    return hashlib.sha256(f"xbench {identity}".encode()).hexdigest()[:12] if identity else None


@reading("no device could be listed")
def devices() -> list[dict[str, Any]]:
    """Return the CPU and GPUs as `xbench.device` lists them."""
    return [asdict(device) for device in list_devices()]


@reading("the kernel does not tell the microcode")
def microcode() -> str | None:
    """Return the CPU's microcode revision."""
    return cpu_info().get("microcode")


@reading("the kernel sets no frequency here (cpufreq is absent, as in most virtual machines)")
def governor() -> str | None:
    """Return the policies that set the CPUs' frequency; more than one where they differ."""
    policies = sorted(SYSTEM.glob("cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(sorted({text for p in policies if (text := read_text(p))})) or None


@reading("no driver tells whether the CPU may exceed its base frequency")
def turbo() -> bool | None:
    """Return whether the CPU may run above its base frequency."""
    return cpu_turbo()


@reading("the kernel does not tell")
def smt() -> bool | None:
    """Return whether two hardware threads share a core."""
    active = read_text(SYSTEM / "cpu/smt/active")
    return active == "1" if active in {"0", "1"} else None


@reading("no temperature sensor is exposed")
def temperature_c() -> dict[str, float] | None:
    """Return the hottest reading of each sensor chip, in degrees Celsius."""
    import psutil

    chips = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    return {chip: max(t.current for t in sensors) for chip, sensors in chips.items()} or None


@reading("the kernel does not tell the CPU's frequency")
def cpu_mhz() -> float | None:
    """Return the frequency of the first CPU just now, in MHz."""
    text = cpu_info().get("cpu MHz")
    return float(text) if text else None


@reading("the memory cannot be read")
def memory_bytes() -> dict[str, int]:
    """Return the machine's memory and swap."""
    import psutil

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "total": memory.total,
        "available": memory.available,
        "swap_total": swap.total,
        "swap_used": swap.used,
    }


@reading("there is no control group")
def control_group() -> dict[str, Any] | None:
    """Return the version of the control groups and what they grant; None there: no limit."""
    version = cgroup.version()
    if version is None:
        return None
    limits = {"cpu_quota": cgroup.cpu_quota(), "memory_limit_bytes": cgroup.memory_limit_bytes()}
    return {"version": version, **limits}


@reading("the system has no affinity")
def affinity() -> list[int]:
    """Return the CPUs that this process may run on."""
    return sorted(os.sched_getaffinity(0))


@reading("the load cannot be read")
def load_average() -> list[float]:
    """Return the mean count of running processes over the last 1, 5 and 15 minutes."""
    return list(os.getloadavg())


@reading("the kernel does not tell")
def transparent_hugepages() -> str | None:
    """Return when the kernel backs memory by large pages: always, madvise or never."""
    chosen = re.search(
        r"\[(\w+)\]", read_text(Path("/sys/kernel/mm/transparent_hugepage/enabled")) or ""
    )
    return chosen[1] if chosen else None


@reading("the kernel does not tell")
def clock_source() -> str | None:
    """Return what the kernel reads the time from: a slow source is in every sample."""
    return read_text(SYSTEM / "clocksource/clocksource0/current_clocksource")


@reading("nothing says that this is a virtual machine or a container, or that it is not")
def virtualisation() -> str | None:
    """Return ``none``, or how the machine is known to be virtual."""
    if "hypervisor" in cpu_info().get("flags", "").split():
        product = read_text(Path("/sys/class/dmi/id/product_name"))
        return f"virtual machine ({product})" if product else "virtual machine"
    return "none" if "flags" in cpu_info() else None  # Arm does not say


@reading("the kernel does not tell")
def kernel() -> str:
    """Return the operating system's kernel and its version."""
    system = os.uname()
    return f"{system.sysname} {system.release} {system.machine}"


@reading("the system does not tell")
def operating_system() -> str | None:
    """Return the distribution's own name for itself."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


@reading("Python's own file does not tell")
def libc() -> str | None:
    """Return the C library and its version."""
    return " ".join(platform.libc_ver()).strip() or None


@reading("Python always tells")
def python() -> str:
    """Return Python's implementation and version."""
    return f"{platform.python_implementation()} {platform.python_version()}"


@reading("no distribution is installed")
def versions() -> dict[str, str]:
    """Return the version of each distribution that matters and is installed, by name."""
    return {"xbench": __version__, **dict(_versions())}


@reading("the environment cannot be read")
def environment() -> dict[str, str]:
    """Return the variables that change threads, mathematics or memory, and are set."""
    return {name: os.environ[name] for name in sorted(os.environ) if SETTINGS.fullmatch(name)}


def _versions() -> Iterator[tuple[str, str]]:
    """Yield each distribution that matters, or brings an adapter, with its version."""
    points = metadata.entry_points(group="xbench.adapters")
    plugins = {point.dist.name for point in points if point.dist}
    for name in dict.fromkeys((*DISTRIBUTIONS, *sorted(plugins))):
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
