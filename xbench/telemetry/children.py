"""The memory of a worker's children, the short-lived ones included.

The kernel keeps a child's high-water mark only as long as it lives. Of one that has ended,
``getrusage`` tells the largest resident set, but begins counting from its parent's own (a child of
13 MB was once said to have held 215 MB): that is a bound, and a measure only where it exceeds all
that the parent ever held. So the parent of the worker looks at the children while the worker
imports, loads and warms up, never in the rounds: as it reads high-water marks, only the growth in
the last few milliseconds of a child's life can escape it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from time import monotonic_ns
from types import TracebackType
from typing import Self

from xbench.telemetry.usage import Usage, read_sizes, read_usage

PERIOD_S = 0.02
PROC = Path("/proc")
FORKED = 0x40  # PF_FORKNOEXEC, linux/sched.h: it runs what its parent ran
FLAGS = 6  # their place in `stat`, counted from the state


@dataclass(frozen=True, slots=True)
class Child:
    """A living descendant of a worker.

    Attributes:
        forked: Whether it still runs its parent's program, in a copy of its memory.
    """

    pid: int
    forked: bool


class ChildWatch:
    """Looks at the children of a process, from another one, while the ``with`` block lasts.

    Attributes:
        held: Instants of the monotonic clock, in nanoseconds, and what all children held then at
            most, in bytes; only those at which there were any.
    """

    def __init__(self, pid: int, period_s: float = PERIOD_S) -> None:
        self.held: list[tuple[int, int]] = []
        self._pid, self._period_s = pid, period_s
        self._first: dict[int, int] = {}
        self._over = Event()
        self._thread = Thread(target=self._watch, name="children", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._period_s):
            at_ns = monotonic_ns()  # before the look: what it finds lived in the phase of then
            if held := sum(map(self._held, living(self._pid))):
                self.held.append((at_ns, held))

    def _held(self, child: Child) -> int:
        """Return what a child held at most, in bytes; of a forked one what it grew while seen.

        That one began with its parent's pages, which are no memory of its own.
        """
        mark = read_sizes(PROC / str(child.pid) / "status").get("VmHWM", 0)
        return max(0, mark - self._first.setdefault(child.pid, mark)) if child.forked else mark


def living(pid: int) -> list[Child]:
    """Return the descendants of a process that live; none where the kernel does not list them.

    A child between ``vfork`` and ``exec`` has no memory of its own and is left out. So is one that
    has left its family (a daemon).
    """
    found = []
    for tid, child in _children(pid):
        flags = _stat(PROC / str(child))
        if len(flags) > FLAGS:
            forked = bool(int(flags[FLAGS]) & FORKED)
            if not (forked and _blocked(pid, tid)):
                found.append(Child(child, forked))
        found += living(child)
    return found


def read_living(pid: int) -> list[tuple[Child, Usage]]:
    """Return the living descendants of a process with what each holds; forked ones their own."""
    return [(child, _own(child, read_usage(PROC / str(child.pid)))) for child in living(pid)]


def lists_children() -> bool:
    """Return whether this kernel lists the children of a process (CONFIG_PROC_CHILDREN)."""
    return (PROC / f"self/task/{os.getpid()}/children").exists()


def in_phases(held: Sequence[tuple[int, int]], ends_ns: Sequence[int]) -> list[int]:
    """Return the most that children held in each phase, in bytes; 0 where none was seen.

    Args:
        held: Instants and bytes, as `ChildWatch.held`.
        ends_ns: The instant at which each phase ended; the first one began at any time before.
    """
    most, start_ns = [], -1
    for end_ns in ends_ns:
        most.append(max((size for at, size in held if start_ns < at <= end_ns), default=0))
        start_ns = end_ns
    return most


def _own(child: Child, usage: Usage) -> Usage:
    if not child.forked:
        return usage
    own = usage.private
    return replace(usage, peak=own, rss=own, anonymous=own, file=0)


def _children(pid: int) -> Iterator[tuple[int, int]]:
    """Yield thread and child for every child of a process."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 -- in a loop, and half the time
    except OSError:
        return
    for tid in threads:
        try:
            with open(f"/proc/{pid}/task/{tid}/children", "rb") as file:  # noqa: PTH123 -- as above
                text = file.read()
        except OSError:  # the thread has ended
            continue
        yield from ((int(tid), int(child)) for child in text.split())


def _blocked(pid: int, tid: int) -> bool:
    """Return whether a thread waits, uninterruptibly, as it does for a child of ``vfork``."""
    return _stat(PROC / f"{pid}/task/{tid}")[:1] == ["D"]


def _stat(process: Path) -> list[str]:
    """Return the fields of ``stat`` from the state on; none if the process has ended."""
    try:
        text = (process / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the name before may hold anything
