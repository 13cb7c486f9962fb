"""The workers of one launch: started one by one, then asked in turn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from xbench.adapter import Converts
from xbench.errors import (
    WorkerCrashedError,
    WorkerError,
    WorkerMemoryError,
    WorkerTimeoutError,
    XbenchError,
)
from xbench.interrupts import Interrupts
from xbench.members import Job, Member, setting
from xbench.process import WorkerProcess
from xbench.registry import create
from xbench.result import Status
from xbench.samples import Failure, Launched
from xbench.store import RunFolder
from xbench.telemetry.children import ChildWatch
from xbench.telemetry.device_memory import LaunchMemory
from xbench.telemetry.memory import with_children
from xbench.wire import Message, facts_from_json

RELOADED_S = 0.5  # to warm up a batch that is looked at once
PATIENCE_S = 60.0  # beyond what an epoch should take; --timeout may make it shorter

STATUS_OF = {
    WorkerCrashedError: Status.CRASHED,
    WorkerTimeoutError: Status.TIMEOUT,
    WorkerMemoryError: Status.OOM_HOST,
}


class Failed(Exception):  # noqa: N818 -- carries a Failure from where it shows to where it is kept
    """A worker could not do its job."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


def _converts(backend: str) -> bool:
    """Return whether an adapter keeps a form of its own; one that is not there keeps none."""
    try:
        return isinstance(create(backend), Converts)
    except XbenchError:
        return False


class Crew:
    """All workers of one launch. Whatever happens, none outlives the ``with`` block.

    Args:
        launch: Its number.
        folder: Takes logs and outputs.
        interrupts: Ends what a worker does when the user asks to stop.
        timeout_s: Of each step of a worker.
        phase: Is told what begins.
        made: The cells and batches whose own forms have been made, which crews of a run share.
    """

    def __init__(
        self,
        launch: int,
        folder: RunFolder,
        interrupts: Interrupts,
        timeout_s: float,
        phase: Callable[[str], None],
        made: set[tuple[int, int | None]] | None = None,
    ) -> None:
        self.launch = launch
        self._made: set[tuple[int, int | None]] = set() if made is None else made
        self.members: dict[int, Member] = {}
        self._folder = folder
        self._interrupts = interrupts
        self._timeout_s = timeout_s
        self.tell = phase

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for member in self.members.values():
            member.process.end()
        for member in self.members.values():
            self._keep_log(member)

    def start(self, job: Job, warmup_s: float) -> Launched:
        """Return what a new worker told while it imported, loaded and warmed up.

        Raises:
            Failed: If it did not get that far; it is ended, its log kept.
        """
        label = job.cell.label
        self._convert_apart(job)
        on_device = LaunchMemory(job.cell.limits)  # what those before hold is no part of it
        try:
            process = WorkerProcess("xbench.worker", job.cell.limits, self._interrupts)
        except OSError as error:
            raise self._failed(job, "start", Status.CRASHED, str(error), "") from error
        member = self.members[job.cell.id] = Member(job, process)
        with ChildWatch(process.pid) as watch, on_device.watched(process.pid):  # before the rounds
            self.tell(f"importing {label}")
            ready = {"do": "prepare", **setting(job)}
            prepared = self._ask(member, "import", ready, self._timeout_s)
            self.tell(f"loading {label}")
            loaded = self._ask(member, "load", {"do": "load", **setting(job)}, self._timeout_s)
            self.tell(f"warming up {label}")
            warm = {"do": "warm_up", "max_s": warmup_s}
            told = self._ask(member, "warm-up", warm, self._timeout_s + warmup_s)
        looked = self._ask(member, "warm-up", {"do": "look"}, self._timeout_s)
        told["memory"] = with_children(told["memory"], watch.held)
        told["device_memory"] = on_device.told()
        told["caps"] = process.caps()
        member.settled_ns = told.pop("settled_ns")
        looked["facts"] = facts_from_json(looked["facts"])
        told["cpus"] = tuple(told["cpus"])
        return Launched(
            cell=job.cell.id, launch=self.launch, **prepared, **loaded, **told, **looked
        )

    def _convert_apart(self, job: Job) -> None:
        """Have a worker of its own make the form that an adapter keeps, where that would be seen.

        A device is given what was made elsewhere: a cap on memory is on what it takes to run that,
        and so is what a GPU is seen to hold.

        Raises:
            Failed: If it cannot be made.
        """
        limits, key = job.cell.limits, (job.cell.id, job.cell.batch)
        seen = limits.memory_bytes is not None or limits.device != "cpu"
        if not seen or key in self._made or not _converts(job.cell.backend):
            return
        free = replace(job, cell=replace(job.cell, limits=limits.helpers))
        try:
            process = WorkerProcess("xbench.worker", free.cell.limits, self._interrupts)
        except OSError as error:
            raise self._failed(job, "start", Status.CRASHED, str(error), "") from error
        member = Member(free, process)
        try:
            self.tell(f"converting the model for {job.cell.label}")
            self._ask(member, "import", {"do": "prepare", **setting(free)}, self._timeout_s)
            self._ask(member, "load", {"do": "convert", **setting(free)}, self._timeout_s)
        finally:
            process.end()
            self._keep_log(member)
        self._made.add(key)

    def turn(self, cell: int, feed: int, seed: int = 0) -> Message:
        """Return what one turn of ``cell`` on input set ``feed`` told: its latencies and more.

        Args:
            cell: Its id.
            feed: Which of the input sets.
            seed: Draws what is random in it.

        Raises:
            Failed: If the worker did not get through it; it is ended, its log kept.
        """
        member = self.members[cell]
        return self.work(cell, member.turn(feed, seed), member.seconds)

    def work(self, cell: int, job: Message, seconds: float) -> Message:
        """Return the answer to a job of timed work that takes about so many seconds.

        Raises:
            Failed: If the worker did not get through it; it is ended, its log kept.
        """
        member = self.members[cell]
        settle_s = job.get("settle", 0) * member.settled_ns * member.job.cell.load.streams / 1e9
        timeout_s = min(PATIENCE_S, self._timeout_s) + 20 * (seconds + settle_s)
        return self._ask(member, "round", job, timeout_s, patient=True)

    def reload(self, job: Job) -> Message:
        """Return what the worker of a cell told of the model at another batch, warmed up.

        Raises:
            Failed: If it cannot run it; it is ended, its log kept.
        """
        member = self.members[job.cell.id]
        self._convert_apart(job)
        member.job = job
        told = self._ask(
            member, "load", {"do": "reload", "max_s": RELOADED_S, **setting(job)}, self._timeout_s
        )
        member.settled_ns = told["settled_ns"]
        return told

    def outputs(self, cell: int, path: Path, *, stream: int = 0, size: int | None = None) -> None:
        """Have ``cell`` keep the outputs of its last timed inference in ``path``.

        Args:
            cell: Its id.
            path: Where to.
            stream: Whose inference.
            size: At which batch size, of a server that makes batches.

        Raises:
            Failed: If it cannot.
        """
        job = {"do": "outputs", "path": str(path), "stream": stream, "size": size}
        if lost := self._ask(self.members[cell], "outputs", job, PATIENCE_S)["lost"]:
            self._folder.lose(f"outputs: {lost}")

    def run_for(self, cell: int, seconds: float) -> int:
        """Return how many inferences ``cell`` ran, back to back, in that many seconds.

        Raises:
            Failed: If the worker did not get through them; it is ended, its log kept.
            InterruptedRunError: If the user asked to stop.
        """
        member = self.members[cell]
        last_s = 20 * member.settled_ns / 1e9
        timeout_s = seconds + last_s + min(PATIENCE_S, self._timeout_s)
        job = {"do": "run_for", "seconds": seconds}
        return int(self._ask(member, "energy", job, timeout_s)["inferences"])

    def dismiss(self, cell: int) -> None:
        """End the worker of a cell before the others; its log is kept."""
        member = self.members.pop(cell)
        member.process.end()
        self._keep_log(member)

    def processes(self) -> set[int]:
        """Return the numbers of all workers and of what they started."""
        found: set[int] = set()
        for member in self.members.values():
            with suppress(psutil.NoSuchProcess):
                worker = psutil.Process(member.process.pid)
                found |= {worker.pid, *(child.pid for child in worker.children(recursive=True))}
        return found

    def _ask(
        self, member: Member, phase: str, job: Message, timeout_s: float, *, patient: bool = False
    ) -> Message:
        try:
            reply = member.process.ask(job, timeout_s, patient=patient)
        except WorkerError as error:
            status = STATUS_OF[type(error)]
            raise self._failed(member.job, phase, status, error.reason, error.fix) from error
        if problem := reply.get("error"):
            status = Status(problem["status"])
            raise self._failed(member.job, phase, status, problem["reason"], problem["fix"])
        return reply

    def _failed(self, job: Job, phase: str, status: Status, reason: str, fix: str) -> Failed:
        member = self.members.pop(job.cell.id, None)
        if member:
            member.process.end()
            self._keep_log(member)
        return Failed(
            Failure(
                cell=job.cell.id,
                launch=self.launch,
                phase=phase,
                status=status.value,
                reason=reason,
                fix=fix,
            )
        )

    def _keep_log(self, member: Member) -> None:
        name = member.job.cell.label.replace(":", "-").replace("/", "-")
        text = member.process.log.text()
        if text:
            self._folder.write_log(f"{name}-{member.job.cell.id}-launch{self.launch}.log", text)
