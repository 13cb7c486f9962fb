"""The caps of one worker: imposed by its parent before its first instruction, and read back.

A cap on memory or on CPU time needs the worker's process id, and must hold before the interpreter
starts. So a shell is started in its place. It waits for a word, while the parent puts it into its
groups or limits its address space, and then becomes the interpreter: same process, same caps.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from xbench import cgroup
from xbench.adapter import Limits
from xbench.caps.groups import Groups, memory_cap, quota_cap
from xbench.caps.words import size_text
from xbench.cgroup import ROOT

GATE = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "xbench")
OPEN = b"go\n"
ADDRESS_SPACE = "RLIMIT_AS"
REACHED = 0.9  # of the cap: a kill below it was for another limit, or for the whole machine
SIGNS = (
    "MemoryError",
    "bad_alloc",
    "bad allocation",
    "allocate memory",
    "Cannot allocate",
    "not enough memory",
    "OOM when allocating",
    "failed to map segment",  # a library that found no room
    "can't start new thread",  # nor did its stack
)
LONGEST = 160  # of what a worker said last


class Caps:
    """The caps of one worker. Making one prepares its control groups; `remove` is a must.

    Attributes:
        by: What imposes each cap: of ``threads``, ``cpus``, ``memory`` and ``quota`` those that
            there are.
    """

    def __init__(self, limits: Limits, root: Path = ROOT) -> None:
        self._limits, self._root = limits, root
        self._groups = Groups(root)
        self.by = {"threads": "environment variables, and the adapter's own setting"}
        if limits.cpus:
            self.by["cpus"] = "affinity"
        if limits.memory_bytes is not None:
            self._group_memory(limits.memory_bytes)
        if limits.quota_cpus is not None:
            self._group_time(limits.quota_cpus)

    @property
    def gated(self) -> bool:
        """Return whether the worker waits until its process id has been capped."""
        return self._limits.memory_bytes is not None or self._limits.quota_cpus is not None

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return what to start; its standard input is read for `OPEN` if `gated`."""
        return [*GATE, *argv] if self.gated else [*argv]

    def impose(self, pid: int) -> None:
        """Cap a process that has not begun its work; what cannot be is told by `by`."""
        try:
            self._groups.enter(pid)
        except OSError as error:
            self._groups.remove()
            self._without_groups(error)
        if self.by.get("memory", "").startswith(ADDRESS_SPACE):
            _limit_address_space(pid, self._limits.memory_bytes or 0)

    def told(self, pids: Iterable[int]) -> dict[str, Any]:
        """Return what imposes the caps and what is in force, as plain data.

        Args:
            pids: The worker, then all that it started.
        """
        worker, *others = pids
        return {"by": dict(self.by), "read": self._read(worker, others)}

    def kills(self) -> int | None:
        """Return how many of its processes the kernel has killed; None if no group counts them."""
        return self._groups.kills()

    def out_of_memory(self, said: str, *, certain: bool = False) -> tuple[str, str] | None:
        """Return why its cap on memory ended a worker, and what to do; None if it did not.

        Args:
            said: What the worker said last.
            certain: Whether it is known that this was for memory.
        """
        size = self._limits.memory_bytes
        if size is None:
            return None
        by_group = bool(self._groups.folders)
        peak = self._groups.peak_bytes()
        killed = bool(self.kills()) and (peak is None or peak >= REACHED * size)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        signs = [line for line in lines if certain or any(sign in line for sign in SIGNS)]
        if not killed and not signs:
            return None
        what = size_text(size) if by_group else f"{size_text(size)} of address space"
        how = "the kernel's OOM killer ended it in its own control group"
        if not killed:
            how = signs[0][:LONGEST]
        reason = f"it needs more than the {what} that it was capped to ({how})"
        if by_group:
            return reason, "Use a smaller model or batch, or a profile with more memory"
        fix = "Address space is more than what is held: run where a control group can be written"
        return reason, fix

    def remove(self) -> None:
        """End what is left in the worker's groups, and remove them. May be called twice."""
        self._groups.remove()

    def _group_memory(self, size_bytes: int) -> None:
        cap = memory_cap(self._groups.version, size_bytes)
        try:
            self._groups.impose(cap)
        except OSError as error:
            self.by["memory"] = self._instead(error)
        else:
            self.by["memory"] = f"cgroup v{self._groups.version} {cap.name}"

    def _group_time(self, cpus: float) -> None:
        cap = quota_cap(self._groups.version, cpus)
        try:
            self._groups.impose(cap)
        except OSError as error:
            self.by["quota"] = _nothing(error)
        else:
            self.by["quota"] = f"cgroup v{self._groups.version} {cap.name}"

    def _without_groups(self, error: OSError) -> None:
        """Fall back where the groups could be made, and not entered."""
        if "memory" in self.by:
            self.by["memory"] = self._instead(error)
        if "quota" in self.by:
            self.by["quota"] = _nothing(error)

    def _instead(self, error: OSError) -> str:
        """Return what caps memory where no group can: a GPU's driver reserves too much for it."""
        if self._limits.device != "cpu":
            return _nothing(error)
        return f"{ADDRESS_SPACE} (no control group: {error.strerror or error})"

    def _read(self, worker: int, others: Sequence[int]) -> dict[str, Any]:
        process = str(worker)
        return {
            "memory_limit_bytes": cgroup.memory_limit_bytes(self._root, process),
            "memory_peak_bytes": self._groups.peak_bytes(),
            "memory_kills": self._groups.kills() or 0,
            "address_space_bytes": _address_space_of(worker),
            "quota_cpus": cgroup.cpu_quota(self._root, process),
            "cpus": affinity((worker, *others)),
            "processes": 1 + len(others),
        }


def affinity(pids: Iterable[int]) -> list[int]:
    """Return every CPU that a thread of these processes may run on, in order."""
    cpus: set[int] = set()
    for pid in pids:
        try:
            threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
        except OSError:
            continue  # it has ended
        for thread in threads:
            try:
                cpus |= os.sched_getaffinity(thread)
            except OSError:
                continue
    return sorted(cpus)


def _limit_address_space(pid: int, size_bytes: int) -> None:
    """Limit the address space of a process: to what it may have already, if that is less."""
    with suppress(ProcessLookupError):  # that it has ended is noticed by who waits for it
        _, most = resource.prlimit(pid, resource.RLIMIT_AS)
        size = size_bytes if most == resource.RLIM_INFINITY else min(size_bytes, most)
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))


def _address_space_of(pid: int) -> int | None:
    """Return the limit on the address space of a process, in bytes; None if there is none."""
    try:
        soft, _ = resource.prlimit(pid, resource.RLIMIT_AS)
    except OSError:  # it has ended
        return None
    return None if soft == resource.RLIM_INFINITY else soft


def _nothing(error: OSError) -> str:
    return f"nothing (no control group: {error.strerror or error})"
