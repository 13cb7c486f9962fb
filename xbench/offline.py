"""Offline: each row at a batch of its own, at which its throughput has saturated.

Before anything is compared, each backend's worker loads the model at a batch of 1, 2, 4, ... and
tells the samples a second of each, until two doublings in a row bring nothing. See
`xbench.load.offline`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from math import prod
from statistics import fmean
from typing import Any

from xbench.adapter import BoundModel
from xbench.crew import Crew, Failed
from xbench.errors import InterruptedRunError, XbenchError
from xbench.interrupts import Interrupts
from xbench.launches import launch_interval
from xbench.lengths import batch_symbols
from xbench.load.offline import LARGEST, Refused, Saturation, saturating_batch
from xbench.members import Job
from xbench.plan import Cell, Spec
from xbench.preparation import CALIBRATED, Jobs, Prepared, make_jobs
from xbench.profiles import find_profile
from xbench.progress import Progress
from xbench.result import Interval, Status
from xbench.samples import Failure

EPOCHS = 5  # of each batch; the first is not counted
WARMUP_S = 1.0
INPUT_BYTES = 128 * 2**20  # of one input set: a larger batch is not tried


class OfflineRows:
    """The rows of an offline run, on the way to their own batches."""

    def __init__(
        self, spec: Spec, prepared: Prepared, interrupts: Interrupts, progress: Progress
    ) -> None:
        self._spec, self._prepared = spec, prepared
        self._interrupts, self._progress = interrupts, progress
        self._tried: dict[tuple[int, str, bool], Job] = {}

    def at_own_batches(self, earlier: Mapping[int, Mapping[str, Any]]) -> Prepared:
        """Return all that workers are given, each row at the batch that saturates it.

        A row that cannot run at all is refused with its failure; a model whose batch is fixed
        stays at it.

        Args:
            earlier: What was found before, by cell id.

        Raises:
            InterruptedRunError: If the user asked to stop.
        """
        prepared, loads, refused = self._prepared, dict(earlier), []
        gone = {failure.cell for failure in prepared.refused}
        for job in prepared.jobs if self._open() else ():
            if job.cell.id in loads or job.cell.id in gone:
                continue
            found = self._search(job)
            if isinstance(found, Failure):
                refused.append(found)
                continue
            loads[job.cell.id] = batch_told(found)
            prepared.folder.load(job.cell.id, loads[job.cell.id])
        cells = tuple(self._at(cell, loads.get(cell.id)) for cell in prepared.cells)
        made = self._jobs(cells)
        return replace(
            prepared,
            cells=cells,
            jobs=made.jobs,
            references=made.references,
            refused=(*prepared.refused, *refused),
            loads=loads,
        )

    def _open(self) -> bool:
        """Return whether the model takes batches at all."""
        if batch_symbols(self._prepared.model.inputs):
            return True
        self._progress.note("The model's batch is fixed: offline is measured at that.")
        return False

    def _at(self, cell: Cell, told: Mapping[str, Any] | None) -> Cell:
        """Return a cell at the batch that was found for it."""
        if told is None:
            return cell
        batch = int(told["batch"])
        return replace(cell, batch=batch, binding=self._prepared.bound.number(batch))

    def _jobs(self, cells: Sequence[Cell], feeds: int | None = None) -> Jobs:
        prepared = self._prepared
        return make_jobs(
            replace(self._spec, feeds=feeds or self._spec.feeds),
            prepared.model,
            cells,
            prepared.bound,
            prepared.folder,
            self._progress,
            self._interrupts.wake_fd,
        )

    def _search(self, job: Job) -> Saturation | Failure:
        """Return the batch at which one row's throughput saturates, or why it has none."""
        prepared, spec = self._prepared, self._spec
        most = find_profile(spec.profile).max_batch if spec.profile else None
        largest = largest_batch(prepared.bound[prepared.bound.number(1)], most)
        folder, stop = prepared.folder, self._interrupts
        with Crew(0, folder, stop, spec.timeout_s, lambda _: None) as crew:
            search = _Search(crew, job, self._job_at, self._progress)
            try:
                return saturating_batch(search.measure, largest=largest)
            except Refused:
                assert search.failure is not None  # the first batch was refused
                return search.failure

    def _job_at(self, job: Job, batch: int) -> Job:
        """Return a row's job at another batch, with one input set, which rows share."""
        cell = self._at(job.cell, {"batch": batch})
        key = (batch, cell.file_precision, cell.precision in CALIBRATED)
        if key not in self._tried:
            self._tried[key] = self._jobs([cell], feeds=1).jobs[0]
        return replace(self._tried[key], cell=cell)


def largest_batch(bound: BoundModel, most: int | None) -> int:
    """Return the largest batch that is tried: its inputs must be held, several sets of them.

    Args:
        bound: The model at a batch of one.
        most: That a profile allows, or None.
    """
    import numpy as np

    sizes = (np.dtype(one.dtype).itemsize * prod(bound.shapes[one.name]) for one in bound.inputs)
    fitting = max(1, INPUT_BYTES // max(1, sum(sizes)))
    return min(LARGEST, fitting, most or LARGEST)


class _Search:
    """Measures one row at one batch after the other, in one worker for as long as it lives."""

    def __init__(
        self, crew: Crew, job: Job, job_at: Callable[[Job, int], Job], progress: Progress
    ) -> None:
        self._crew, self._job, self._job_at, self._progress = crew, job, job_at, progress
        self.failure: Failure | None = None

    def measure(self, batch: int) -> Interval:
        """Return the samples a second at a batch.

        Raises:
            Refused: If the row cannot run it.
            InterruptedRunError: If the user asked to stop.
        """
        cell = self._job.cell
        self._progress.phase(f"offline: {cell.label} at a batch of {batch}")
        try:
            job = self._job_at(self._job, batch)
            if cell.id in self._crew.members:
                self._crew.reload(job)
            else:
                self._crew.start(job, WARMUP_S)
            epochs = [self._crew.turn(cell.id, 0) for _ in range(EPOCHS)][1:]
        except Failed as failed:
            self.failure = failed.failure
            raise Refused(failed.failure.reason) from failed
        except InterruptedRunError:
            raise
        except XbenchError as error:
            self.failure = _no_such_batch(cell, error)
            raise Refused(error.reason) from error
        return launch_interval([[batch * 1e9 / fmean(one["latencies_ns"]) for one in epochs]])


def _no_such_batch(cell: Cell, error: XbenchError) -> Failure:
    status = Status.UNSUPPORTED.value
    told = {"phase": "load", "status": status, "reason": error.reason, "fix": error.fix}
    return Failure(cell=cell.id, launch=0, **told)


def batch_told(found: Saturation) -> dict[str, Any]:
    """Return a search for the batch as plain data; samples a second by batch."""
    per_s = {str(batch): asdict(one) for batch, one in found.per_s.items()}
    return {**asdict(replace(found, per_s={})), "per_s": per_s}
