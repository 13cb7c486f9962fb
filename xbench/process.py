"""A worker as its parent sees it: started with its caps, asked, stopped, continued, ended.

The parent sleeps in ``poll`` while a worker works. Between its turns a worker is stopped
(SIGSTOP to its process group), so that no spinning thread pool takes time from the others.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import psutil

from xbench.adapter import Limits
from xbench.caps import OPEN, Caps
from xbench.device import CPU, kind_of, oom_kills
from xbench.errors import (
    InterruptedRunError,
    WorkerCrashedError,
    WorkerMemoryError,
    WorkerTimeoutError,
)
from xbench.interrupts import Interrupts
from xbench.result import Status
from xbench.wire import Message, decode, encode

KEPT_BYTES = 256 * 1024  # of what a worker prints: this much of the start and of the end
MAY_BE_MEMORY = {Status.CRASHED, Status.OOM_HOST, Status.UNAVAILABLE}  # what it looks like
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TORCHINDUCTOR_COMPILE_THREADS",
)
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""For a worker on a GPU: threads that wait for it by spinning keep every core busy meanwhile. On a
machine of 16 cores they took 15 beside the one that fed the GPU, and the machine stalled for it."""
LAST_LINES = 8  # in which the reason for an end may stand
FIXED = {
    "PYTHONHASHSEED": "0",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # so that cuda:0 is the GPU that the driver's tools call 0
}


class Log:
    """What a worker printed: its start and its end, however much that was."""

    def __init__(self) -> None:
        self.head = b""
        self.tail = b""
        self.total_bytes = 0

    def add(self, chunk: bytes) -> None:
        """Take what was printed next."""
        self.total_bytes += len(chunk)
        room = KEPT_BYTES - len(self.head)
        self.head += chunk[:room]
        self.tail = (self.tail + chunk[max(0, room) :])[-KEPT_BYTES:]

    def text(self) -> str:
        """Return what was kept, with a line where something is left out."""
        dropped = self.total_bytes - len(self.head) - len(self.tail)
        middle = f"\n[{dropped} bytes left out]\n".encode() if dropped else b""
        return (self.head + middle + self.tail).decode(errors="replace")


class WorkerProcess:
    """One process that answers jobs, in a process group of its own."""

    def __init__(self, module: str, limits: Limits, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._oom_kills_before = oom_kills()
        self._caps = Caps(limits)
        self.log = Log()
        jobs_end, self._jobs = os.pipe()
        self._replies, replies_end = os.pipe()
        self._printed, print_end = os.pipe()
        gate, opener = os.pipe()
        os.set_blocking(self._printed, False)
        try:
            with _affinity(limits.cpus):  # the child inherits it before its first instruction
                self._process = subprocess.Popen(
                    # -P: nothing in the current folder stands in for a package
                    self._caps.command(
                        [sys.executable, "-P", "-m", module, str(jobs_end), str(replies_end)]
                    ),
                    stdin=gate if self._caps.gated else subprocess.DEVNULL,
                    stdout=print_end,
                    stderr=print_end,
                    pass_fds=(jobs_end, replies_end),
                    start_new_session=True,  # Ctrl-C in the terminal is for the parent alone
                    env=environment(limits),
                )
            self._caps.impose(self._process.pid)
            os.write(opener, OPEN)
        except BaseException:
            self._caps.remove()
            raise
        finally:
            for end in (jobs_end, replies_end, print_end, gate, opener):
                os.close(end)
        self._ended = os.pidfd_open(self._process.pid)
        self._buffer = b""
        self._alive = True
        self.cpu_ns = 0  # that its answers took, in all

    @property
    def pid(self) -> int:
        """Return the process id, which is also the id of its group."""
        return self._process.pid

    def ask(self, job: Mapping[str, Any], timeout_s: float, *, patient: bool = False) -> Message:
        """Return the worker's answer; it runs only while it works on one.

        Args:
            job: What to do.
            timeout_s: Seconds after which the worker is given up.
            patient: Whether to wait for the answer even when the user asks to stop.

        Raises:
            WorkerTimeoutError: If no answer came in time; the worker is ended.
            WorkerCrashedError: If it ended instead.
            WorkerMemoryError: If it was killed for memory.
            InterruptedRunError: If the user asked to stop, unless ``patient``.
        """
        if not self._alive:
            raise WorkerCrashedError("the worker has ended already")
        self._signal(signal.SIGCONT)
        with suppress(BrokenPipeError):  # its end is noticed, and explained, while waiting
            os.write(self._jobs, encode(job))
        message = self._wait(monotonic() + timeout_s, timeout_s, patient)
        self._signal(signal.SIGSTOP)
        self.cpu_ns += message.pop("spent_ns", 0)
        if problem := message.get("error"):
            self._explain_error(problem)
        return message

    def caps(self) -> dict[str, Any]:
        """Return what imposes the worker's caps, and what is in force: `xbench.caps.Caps.told`."""
        found: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid).children(recursive=True)
        return self._caps.told([self.pid, *(child.pid for child in found)])

    def end(self) -> None:
        """End the worker and all that it started. May be called twice."""
        if not self._alive:
            return
        self._alive = False
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._caps.remove()  # with whatever of it has left its process group
        self._drain()
        for descriptor in (self._jobs, self._replies, self._printed, self._ended):
            os.close(descriptor)

    def _wait(self, deadline: float, timeout_s: float, patient: bool) -> Message:
        poll = select.poll()
        for descriptor in (self._replies, self._printed, self._ended):
            poll.register(descriptor, select.POLLIN)
        if not patient:
            poll.register(self._interrupts.wake_fd, select.POLLIN)
        while True:
            events = {fd for fd, _ in poll.poll(max(0, deadline - monotonic()) * 1000)}
            if self._printed in events and not self._read_print():
                poll.unregister(self._printed)
            if self._replies in events and (line := self._read_reply(poll)):
                return decode(line)
            if self._ended in events and self._replies not in events:
                raise self._explain_end()
            if self._interrupts.wake_fd in events:
                raise InterruptedRunError
            if monotonic() >= deadline:
                self.end()
                raise WorkerTimeoutError(
                    f"no answer within {timeout_s:.0f} s",
                    "Give it longer with --timeout, or leave this backend out",
                )

    def _read_reply(self, poll: select.poll) -> bytes | None:
        chunk = os.read(self._replies, 1 << 20)
        if not chunk:
            poll.unregister(self._replies)  # closed: the end of the process follows
            return None
        self._buffer += chunk
        line, newline, rest = self._buffer.partition(b"\n")
        if not newline:
            return None
        self._buffer = rest
        return line

    def _read_print(self) -> bool:
        """Take what was printed; False once nobody can print any more."""
        with suppress(BlockingIOError):
            chunk = os.read(self._printed, 1 << 16)
            self.log.add(chunk)
            return bool(chunk)
        return True

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while chunk := os.read(self._printed, 1 << 16):
                self.log.add(chunk)

    def _explain_error(self, problem: Message) -> None:
        """Say of an error that the worker told if it was for its cap on memory."""
        known = problem["status"] == Status.OOM_HOST
        why = self._caps.out_of_memory(problem["reason"], certain=known)
        if why and problem["status"] in MAY_BE_MEMORY:
            problem["status"] = Status.OOM_HOST.value
            problem["reason"], problem["fix"] = why

    def _explain_end(self) -> WorkerCrashedError | WorkerMemoryError:
        code = self._process.wait()
        self._drain()
        capped = self._caps.out_of_memory("\n".join(self._last_lines()))
        kills = self._caps.kills()
        if kills is None:  # it has no group that counts its own
            kills = (oom_kills() or 0) - (self._oom_kills_before or 0)
        self.end()
        if capped:
            return WorkerMemoryError(*capped)
        if code == -signal.SIGKILL and kills > 0:
            return WorkerMemoryError(
                "the kernel killed the worker for memory",
                "Use a smaller batch, or a machine with more memory",
            )
        if code < 0:
            how = f"the worker was ended by {signal.Signals(-code).name}"
        else:
            how = f"the worker left with exit status {code}"
        last = self.last_line()
        return WorkerCrashedError(
            how + (f" ({last})" if last else ""), "Its log is in the run folder"
        )

    def last_line(self) -> str:
        """Return the last line that the worker printed, shortened; empty if none."""
        return next((line[:160] for line in reversed(self._last_lines())), "")

    def _last_lines(self) -> list[str]:
        lines = [line.strip() for line in self.log.text().splitlines() if line.strip()]
        return lines[-LAST_LINES:]

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def environment(limits: Limits) -> dict[str, str]:
    """Return the environment of a worker: the parent's, thread pools capped, one GPU or none.

    A worker on the CPU sees no GPU: a framework that finds one takes memory of it, or computes on
    it unasked. One on a GPU sees that by its UUID, which means the same in every process, and its
    threads sleep while they wait, unless the user has said otherwise.
    """
    caps = dict.fromkeys(THREAD_VARIABLES, str(limits.threads))
    on_cpu = kind_of(limits.device) == CPU
    seen = limits.uuid or ("" if on_cpu else None)
    gpus = {} if seen is None else {"CUDA_VISIBLE_DEVICES": seen}
    return {**({} if on_cpu else PATIENT), **os.environ, **caps, **FIXED, **gpus}


@contextmanager
def _affinity(cpus: tuple[int, ...]) -> Iterator[None]:
    """Run this thread on ``cpus`` only, so that a child started now does too."""
    before = os.sched_getaffinity(0)
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
