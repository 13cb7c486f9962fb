"""What the kernel's control groups grant this process; None where no group says so.

A container's ``nproc`` tells of the host. Its share of time and memory is written here, in
version 1 or 2 of the interface, in this process's own group or in one above it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

UNLIMITED_BYTES = 2**60  # version 1 writes "no limit" as a number near 2**63

ROOT = Path("/")  # tests put a tree of their own here


def version(root: Path = ROOT) -> int | None:
    """Return 2 where one tree holds every controller, 1 where each has its own."""
    mounted = root / "sys/fs/cgroup"
    if (mounted / "cgroup.controllers").is_file():
        return 2
    return 1 if (mounted / "memory").is_dir() or (mounted / "cpu").is_dir() else None


def cpu_quota(root: Path = ROOT) -> float | None:
    """Return how many CPUs' time this process may use, such as 1.5; None if not limited."""
    quotas = [quota for folder in folders("cpu", root) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def memory_limit_bytes(root: Path = ROOT) -> int | None:
    """Return the memory that this process's groups may hold, in bytes; None if not limited."""
    limits = []
    for folder in folders("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = read_text(folder / name)
            if text is not None and text.isdecimal() and int(text) < UNLIMITED_BYTES:
                limits.append(int(text))
    return min(limits, default=None)


def oom_kills(root: Path = ROOT) -> int | None:
    """Return how many processes the kernel has killed for memory, as far as this one sees.

    Counted for this process's own group; for the whole machine where the group keeps no
    count. Only the difference of two readings means anything.
    """
    own = next(iter(folders("memory", root)), None)
    counters = [own / "memory.events", own / "memory.oom_control"] if own else []
    for path in [*counters, root / "proc/vmstat"]:
        for line in (read_text(path) or "").splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill" and value.strip().isdecimal():
                return int(value)
    return None


def folders(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """Yield this process's group for a controller, then each group above it."""
    mounted = root / "sys/fs/cgroup"
    tree = mounted if version(root) == 2 else mounted / controller
    if not tree.is_dir():
        return
    group = tree / _group(controller, root).lstrip("/")
    # A container often sees its own group mounted as the root, under a path of the host's.
    for folder in (group, *group.parents):
        if folder.is_relative_to(tree) and folder.is_dir():
            yield folder


def read_text(path: Path) -> str | None:
    """Return a small file's text without the white space around it, or None if unreadable."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _group(controller: str, root: Path) -> str:
    """Return the path of this process's group, as the kernel spells it."""
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        number, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") or (number == "0" and version(root) == 2):
            return os.path.normpath(path)
    return "/"


def _quota(folder: Path) -> float | None:
    """Return the CPUs' time that one group grants, in either version's spelling."""
    quota, _, period = (read_text(folder / "cpu.max") or "").partition(" ")
    if not quota:
        quota = read_text(folder / "cpu.cfs_quota_us") or ""
        period = read_text(folder / "cpu.cfs_period_us") or ""
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None  # "max" in version 2, -1 in version 1
    return int(quota) / int(period)
