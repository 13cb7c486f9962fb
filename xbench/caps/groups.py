"""Control groups of a worker's own: made, entered, asked and removed; in both versions.

A group is made inside the group that this process is in, so that every limit above it still holds.
Version 2 hands no controller on from a group that has processes in it. There the group is made
beside this process's own, but only where that sets no limit itself: none is ever escaped.

A group's name says which process made it. Whoever makes the next one removes those of processes
that are gone, with whatever still runs in them.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import monotonic, sleep

from xbench import cgroup
from xbench.cgroup import ROOT, read_text

PERIOD_US = 5_000  # the kernel's own 100 ms would stop a worker for longer than an epoch lasts
LEAST_QUOTA_US = 1_000  # below it the kernel refuses
NAME = re.compile(r"xbench-(?P<space>\d+)-(?P<pid>\d+)-(?P<started>\d+)-\d+")
MEMBERS = "cgroup.procs"
GONE_S = 2.0  # a killed process leaves its group within milliseconds
STEP_S = 0.005
START_FIELD = 19  # of `stat`, counted from the state: proc(5), "starttime"
_numbers = count()


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit as one version of the interface spells it.

    Attributes:
        controller: ``memory`` or ``cpu``.
        files: What is written where, in this order.
        needed: How many of them must hold; the others do where the kernel has them.
    """

    controller: str
    files: tuple[tuple[str, str], ...]
    needed: int

    @property
    def name(self) -> str:
        """Return the file that says the limit."""
        return self.files[self.needed - 1][0]


def memory_cap(version: int | None, size_bytes: int) -> Cap:
    """Return the cap on the memory of a group, swap included."""
    size = str(size_bytes)
    if version == 2:
        files = (("memory.max", size), ("memory.swap.max", "0"), ("memory.oom.group", "1"))
        return Cap("memory", files, needed=1)
    # The second counts memory and swap together, and must not be below the first.
    files = (
        ("memory.limit_in_bytes", size),
        ("memory.memsw.limit_in_bytes", size),
        ("memory.swappiness", "0"),
    )
    return Cap("memory", files, needed=1)


def quota_cap(version: int | None, cpus: float) -> Cap:
    """Return the cap on the CPU time of a group, in CPUs, such as 0.5."""
    period_us = max(PERIOD_US, round(LEAST_QUOTA_US / cpus))
    quota = str(round(period_us * cpus))
    if version == 2:
        return Cap("cpu", (("cpu.max", f"{quota} {period_us}"),), needed=1)
    files = (("cpu.cfs_period_us", str(period_us)), ("cpu.cfs_quota_us", quota))
    return Cap("cpu", files, needed=2)


class Groups:
    """The groups of one worker: one a controller in version 1, one for all in version 2."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self.version = cgroup.version(root)
        self.folders: dict[str, Path] = {}

    def impose(self, cap: Cap) -> None:
        """Make a group with this cap, or set it on the one that there is already.

        Raises:
            OSError: If it cannot be, with why; no group is left of it.
        """
        tree = "" if self.version == 2 else cap.controller
        there = self.folders.get(tree)
        folder = there or self._made(cap.controller)
        for place, (name, text) in enumerate(cap.files):
            try:
                (folder / name).write_text(text)
            except OSError:
                if place < cap.needed:
                    if there is None:
                        drop_folder(folder)
                    raise
        self.folders[tree] = folder

    def enter(self, pid: int) -> None:
        """Move a process into every group; what it starts from now on is in them too.

        Raises:
            OSError: If it cannot be moved.
        """
        for folder in self.folders.values():
            (folder / MEMBERS).write_text(str(pid))

    def kills(self) -> int | None:
        """Return how many processes the kernel has killed for memory; None if no group counts."""
        kills = (cgroup.kills_of(folder) for folder in self.folders.values())
        return next((count for count in kills if count is not None), None)

    def peak_bytes(self) -> int | None:
        """Return the most memory that was charged to the group; None where it is not told."""
        peaks = (cgroup.peak_of(folder) for folder in self.folders.values())
        return next((peak for peak in peaks if peak is not None), None)

    def remove(self) -> None:
        """End all that is left in the groups, and remove them. May be called twice."""
        for folder in self.folders.values():
            remove(folder)
        self.folders = {}

    def _made(self, controller: str) -> Path:
        """Return a new group in which that controller can be set."""
        why = OSError(errno.ENOENT, f"no control group for {controller} is mounted")
        for parent in self._parents(controller):
            folder = parent / new_name()
            sweep(parent)
            try:
                if self.version == 2:
                    _hand_on(parent, controller)
                make_folder(folder)
            except OSError as error:
                why = error
                continue
            return folder
        raise why

    def _parents(self, controller: str) -> Iterator[Path]:
        """Yield where a group may be made: none from which a limit would be escaped."""
        for folder in cgroup.folders(controller, self._root):
            yield folder
            if self.version == 1 or _limits(folder):
                return


def new_name() -> str:
    """Return a name that no other group has, and that tells whose it is."""
    pid = os.getpid()
    return f"xbench-{_pid_space()}-{pid}-{_started(pid)}-{next(_numbers)}"


def sweep(parent: Path) -> None:
    """Remove the groups in a folder whose makers are gone.

    Those of another space of process ids, such as another container's, are left alone: whether
    their makers live cannot be told from here.
    """
    with suppress(OSError):
        for folder in list(parent.iterdir()):
            named = NAME.fullmatch(folder.name)
            if named and named["space"] == _pid_space() and _gone(named["pid"], named["started"]):
                remove(folder)


def remove(folder: Path) -> None:
    """End what runs in a group and remove it; one that will not go is left to the next sweep."""
    end_s = monotonic() + GONE_S
    while folder.is_dir():
        for pid in members(folder):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with suppress(OSError):  # busy until the last of them is gone
            drop_folder(folder)
            return
        if monotonic() > end_s:
            return
        sleep(STEP_S)


def members(folder: Path) -> list[int]:
    """Return the processes in a group, as far as this process can name them."""
    words = (read_text(folder / MEMBERS) or "").split()
    return [int(word) for word in words if word.isdecimal() and int(word) > 1]


def make_folder(folder: Path) -> None:
    """Make a group: the kernel fills its folder."""
    folder.mkdir()


def drop_folder(folder: Path) -> None:
    """Remove a group without processes: the kernel empties its folder."""
    folder.rmdir()


def _hand_on(parent: Path, controller: str) -> None:
    """Let the groups in a group of version 2 have a controller.

    Raises:
        OSError: If it has processes of its own, or may not.
    """
    path = parent / "cgroup.subtree_control"
    if controller not in (read_text(path) or "").split():
        path.write_text(f"+{controller}")


def _limits(folder: Path) -> bool:
    """Return whether a group of version 2 sets a limit itself, on memory or on time."""
    quota = read_text(folder / "cpu.max")
    return cgroup.limit_of(folder) is not None or not (quota is None or quota.startswith("max"))


def _pid_space() -> str:
    """Return what tells this space of process ids from others; 0 where the kernel does not."""
    try:
        return str((Path("/proc/self/ns/pid")).stat().st_ino)
    except OSError:
        return "0"


def _gone(pid: str, started: str) -> bool:
    """Return whether the process that started then is there no more."""
    now = _started(int(pid))
    if now != "0":
        return now != started
    try:
        os.kill(int(pid), 0)  # the kernel may hide another user's processes
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; 0 if there is none."""
    fields = (read_text(Path(f"/proc/{pid}/stat")) or "").rpartition(")")[2].split()
    return fields[START_FIELD] if len(fields) > START_FIELD else "0"
