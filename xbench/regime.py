"""The machine's regime around each epoch: the canary, and what other programs take.

The canary tells what no guest can see: a slower host. The kernel's own accounts tell the
rest: CPU time that went to nobody of ours.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, monotonic_ns, process_time_ns

from xbench.adapter import Limits
from xbench.errors import WorkerError
from xbench.interrupts import Interrupts
from xbench.process import WorkerProcess
from xbench.progress import Progress

TIMEOUT_S = 60.0
IDLE_FIELDS = (3, 4)  # of a CPU's line in /proc/stat: idle, and idle while a disk is awaited
GUEST_FIELDS = 8  # from here on, guests' time, which the fields before hold already
BLUR_CPUS = 0.15  # by which an account of others may be off
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used until a moment, in nanoseconds.

    Attributes:
        at_ns: The moment.
        busy_ns: CPU time that the CPUs spent working, or None where the kernel does not tell.
        own_ns: CPU time of this process and its workers.
    """

    at_ns: int
    busy_ns: int | None
    own_ns: int

    def others_cpus(self, later: Usage) -> float | None:
        """Return how many CPUs other programs kept busy from here to ``later``, on average."""
        if self.busy_ns is None or later.busy_ns is None or later.at_ns <= self.at_ns:
            return None
        others_ns = (later.busy_ns - self.busy_ns) - (later.own_ns - self.own_ns)
        return max(0.0, others_ns / (later.at_ns - self.at_ns))


def busy_ns(cpus: Iterable[int]) -> int | None:
    """Return the CPU time that ``cpus`` have spent working, in nanoseconds, as the kernel counts.

    It counts in ticks of a hundredth of a second.
    """
    names = {f"cpu{cpu}" for cpu in cpus}
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None
    fields = [line.split()[1:] for line in lines if line.split(" ", 1)[0] in names]
    if not fields:
        return None
    ticks = sum(
        int(field)
        for of_cpu in fields
        for place, field in enumerate(of_cpu[:GUEST_FIELDS])
        if place not in IDLE_FIELDS
    )
    return ticks * TICK_NS


class Others:
    """What other programs take, over a stretch that is long enough for the kernel's ticks to tell.

    Each CPU's account is off by up to a tick at either end, and by the same one where all worked
    together: 16 CPUs over a tenth of a second are off by more than one. So the account goes back
    over the rounds before, as far as it must.
    """

    def __init__(self) -> None:
        self._began: deque[Usage] = deque()  # the rounds, oldest first
        self._workers: tuple[int, ...] = ()

    def cpus(
        self, before: Usage, after: Usage, *, cpus: int, workers: tuple[int, ...]
    ) -> float | None:
        """Return how many CPUs other programs kept busy, on average; None where nothing tells.

        Args:
            before: What was used when the round began.
            after: What was used when it ended.
            cpus: How many are accounted for.
            workers: Whose time was ours in both; with others the account begins anew.
        """
        if workers != self._workers:
            self._began.clear()
            self._workers = workers
        self._began.append(before)
        least_ns = cpus * TICK_NS / BLUR_CPUS
        while len(self._began) > 1 and after.at_ns - self._began[1].at_ns >= least_ns:
            self._began.popleft()
        return self._began[0].others_cpus(after)


class Regime:
    """A canary in a process of its own. Without one, measuring goes on, and rows say so.

    Attributes:
        seconds: Spent listening, in all.
    """

    def __init__(self, progress: Progress) -> None:
        self.seconds = 0.0
        self._progress = progress
        self._canary: WorkerProcess | None = None
        self._cpus: tuple[int, ...] = ()
        self._others = Others()

    def start(self, limits: Limits, interrupts: Interrupts) -> None:
        """Start the canary on the CPUs and threads that the cells have.

        Raises:
            InterruptedRunError: If the user asked to stop.
        """
        self._cpus = limits.cpus
        self._canary = WorkerProcess("xbench.canary", limits.helpers, interrupts)
        try:
            self._canary.ask({"do": "load"}, TIMEOUT_S)
        except WorkerError as error:
            self._lose(error)

    def canary_ns(self) -> int | None:
        """Return the canary's time now, in nanoseconds, or None without a canary."""
        if not self._canary:
            return None
        start_s = monotonic()
        try:
            return int(self._canary.ask({"do": "sing"}, TIMEOUT_S, patient=True)["ns"])
        except (WorkerError, KeyError) as error:
            self._lose(error)
            return None
        finally:
            self.seconds += monotonic() - start_s

    def usage(self, ours: Iterable[WorkerProcess]) -> Usage:
        """Return what has been used of the CPUs until now, by all and by us."""
        mine = process_time_ns() + (self._canary.cpu_ns if self._canary else 0)
        own_ns = mine + sum(worker.cpu_ns for worker in ours)
        return Usage(monotonic_ns(), busy_ns(self._cpus), own_ns)

    def others_cpus(self, before: Usage, ours: Sequence[WorkerProcess]) -> float | None:
        """Return how many CPUs others kept busy in a round that began with ``before``, or longer.

        None where the kernel does not tell.
        """
        pids = tuple(worker.pid for worker in ours)
        return self._others.cpus(
            before, self.usage(ours), cpus=max(1, len(self._cpus)), workers=pids
        )

    def end(self) -> None:
        """End the canary's process."""
        if self._canary:
            self._canary.end()
            self._canary = None

    def _lose(self, error: Exception) -> None:
        self.end()
        self._progress.note(f"The canary is gone: {error} Disturbed rounds cannot be told apart.")
