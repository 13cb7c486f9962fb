"""What the kernel's control groups grant a process; None where no group says so.

A container's ``nproc`` tells of the host. Its share of time and memory is written here, in
version 1 or 2 of the interface, in the process's own group or in one above it. This module only
reads; `xbench.caps.groups` makes groups for workers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

UNLIMITED_BYTES = 2**60  # version 1 writes "no limit" as a number near 2**63
LIMITS = ("memory.max", "memory.limit_in_bytes")
PEAKS = ("memory.peak", "memory.max_usage_in_bytes")
KILLS = ("memory.events", "memory.oom_control")
SELF = "self"

ROOT = Path("/")  # tests put a tree of their own here


def version(root: Path = ROOT) -> int | None:
    """Return 2 where one tree holds every controller, 1 where each has its own."""
    mounted = root / "sys/fs/cgroup"
    if (mounted / "cgroup.controllers").is_file():
        return 2
    return 1 if (mounted / "memory").is_dir() or (mounted / "cpu").is_dir() else None


def cpu_quota(root: Path = ROOT, process: str = SELF) -> float | None:
    """Return how many CPUs' time a process may use, such as 1.5; None if not limited."""
    own = folders("cpu", root, process)
    return min((quota for one in own if (quota := _quota(one)) is not None), default=None)


def memory_limit_bytes(root: Path = ROOT, process: str = SELF) -> int | None:
    """Return the memory that a process's groups may hold, in bytes; None if not limited."""
    own = folders("memory", root, process)
    return min((limit for one in own if (limit := limit_of(one)) is not None), default=None)


def limit_of(folder: Path) -> int | None:
    """Return the memory that one group may hold by its own file, in bytes; None if not limited."""
    return next((size for size in _sizes(folder, LIMITS) if size < UNLIMITED_BYTES), None)


def peak_of(folder: Path) -> int | None:
    """Return the most memory that was ever charged to a group, in bytes; None if not told."""
    return next(_sizes(folder, PEAKS), None)


def kills_of(folder: Path) -> int | None:
    """Return how many processes of a group the kernel has killed for memory; None if not told."""
    return next(_counted(folder / name for name in KILLS), None)


def oom_kills(root: Path = ROOT) -> int | None:
    """Return how many processes the kernel has killed for memory, as far as this one sees.

    Counted for this process's own group; for the whole machine where the group keeps no
    count. Only the difference of two readings means anything.
    """
    own = next(iter(folders("memory", root)), None)
    counters = [own / name for name in KILLS] if own else []
    return next(_counted([*counters, root / "proc/vmstat"]), None)


def folders(controller: str, root: Path = ROOT, process: str = SELF) -> Iterator[Path]:
    """Yield a process's group for a controller, then each group above it.

    Args:
        controller: Such as ``memory``; version 2 has one tree for all.
        root: Where the file system begins.
        process: A process id, or this process.
    """
    mounted = root / "sys/fs/cgroup"
    tree = mounted if version(root) == 2 else mounted / controller
    if not tree.is_dir():
        return
    group = tree / _group(controller, root, process).lstrip("/")
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


def _sizes(folder: Path, names: Iterable[str]) -> Iterator[int]:
    """Yield the numbers that files of a group hold; words such as ``max`` are none."""
    for name in names:
        text = read_text(folder / name)
        if text is not None and text.isdecimal():
            yield int(text)


def _counted(paths: Iterable[Path]) -> Iterator[int]:
    """Yield the count of kills for memory of each file that keeps one."""
    for path in paths:
        for line in (read_text(path) or "").splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill" and value.strip().isdecimal():
                yield int(value)


def _group(controller: str, root: Path, process: str) -> str:
    """Return the path of a process's group, as the kernel spells it."""
    for line in (read_text(root / "proc" / process / "cgroup") or "").splitlines():
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
