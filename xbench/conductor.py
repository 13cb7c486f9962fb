"""Launches, interleaved rounds and the stopping rule: the experiment itself.

All workers of a batch size are alive together. In a round each measures one short epoch
while the others are stopped; a canary runs before and after each. Order is balanced and
seeded. The run ends when every ratio's interval is as narrow as asked, the launches are
used up, or the time is: never because a difference has shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from xbench.alone import Alone
from xbench.crew import Crew, Failed
from xbench.errors import InterruptedRunError
from xbench.interrupts import Interrupts
from xbench.members import Job
from xbench.metering import Metering
from xbench.plan import Spec
from xbench.progress import Progress, Standing
from xbench.regime import Regime
from xbench.result import Status
from xbench.rounds import Rounds
from xbench.samples import Epoch, Failure, Samples
from xbench.stats import williams
from xbench.stopping import Stopping
from xbench.store import RunFolder
from xbench.turns import Turns

WORTH_OF_START = 0.5  # a launch that was slow to start is measured for at least this share of it


class Conductor:
    """Runs the launches of a comparison and keeps all that they tell."""

    def __init__(
        self,
        spec: Spec,
        jobs: Sequence[Job],
        folder: RunFolder,
        progress: Progress,
        interrupts: Interrupts,
        earlier: Samples | None = None,
    ) -> None:
        self._spec = spec
        self._jobs = {job.cell.id: job for job in jobs}
        self._groups = sorted({job.cell.group for job in jobs})
        self._folder = folder
        self._progress = progress
        self._interrupts = interrupts
        self._launched = list(earlier.launched if earlier else ())
        self._epochs = list(earlier.epochs if earlier else ())
        self._failures = list(earlier.failures if earlier else ())
        self._orders = dict(earlier.orders if earlier else {})
        self._metering = Metering(spec, folder, interrupts, earlier.energies if earlier else {})
        samples = {job.cell.id: job.cell.samples for job in jobs}
        self._rounds = Rounds(self._epochs, samples)
        self._loads = dict(earlier.loads if earlier else {})
        self._seen: set[tuple[int, str, int]] = set()
        self._made: set[tuple[int, int | None]] = set()
        self._regime = Regime(progress)
        self._turns = Turns(self._regime, interrupts, spec.seed)
        self._stopping = Stopping(spec, self._jobs, self._rounds, self._failures)
        self.seconds = {"start": 0.0, "warmup": 0.0, "measure": 0.0, "canary": 0.0, "energy": 0.0}

    def run(self) -> Samples:
        """Return every sample of the run, an earlier part of it included."""
        first = 1 + max((one.launch for one in self._launched), default=-1)
        self._stopping.begin()
        try:
            limits = next(iter(self._jobs.values())).cell.limits
            self._regime.start(limits, self._interrupts)
            for launch in range(first, max(first + 1, self._spec.most_launches)):
                self._launch(launch)
                if self._interrupts.requested or self._stopping.finished(launch):
                    break
        except InterruptedRunError:
            pass  # what was measured is reported
        finally:
            self._regime.end()
            self.seconds |= {"canary": self._regime.seconds, "measure": self._turns.seconds}
        return self.samples()

    @property
    def parent_cpu_s(self) -> float:
        """Return the CPU seconds that this process took while workers measured."""
        return self._turns.cpu_s

    def samples(self) -> Samples:
        """Return what has been measured so far."""
        return Samples(
            tuple(self._launched),
            tuple(self._epochs),
            tuple(self._failures),
            self._orders,
            self._metering.energies,
            self._loads,
        )

    # A launch

    def _launch(self, launch: int) -> None:
        number = 0
        end_s = monotonic() + self._stopping.share_s(launch)
        for place, group in enumerate(self._groups):
            start_s = monotonic()
            waiting = len(self._groups) - place  # this group and those after it
            deadline = start_s + max(0.0, end_s - start_s) / waiting
            with Crew(
                launch,
                self._folder,
                self._interrupts,
                self._spec.timeout_s,
                lambda text: self._phase(launch, text),
                self._made,
            ) as crew:
                self._start(crew, group)
                worth_s = WORTH_OF_START * (monotonic() - start_s)
                least = monotonic() + min(worth_s, max(0.0, self._stopping.left_s()) / waiting)
                if self._spec.alone:
                    self._measure_alone(crew)
                else:
                    number = self._measure(crew, group, number, max(deadline, least))
                if not self._interrupts.requested:
                    self._meter(crew)
            if self._interrupts.requested or (launch > 0 and self._stopping.left_s() <= 0):
                return  # of the first launch every group has its rounds, however late it is

    def _start(self, crew: Crew, group: int) -> None:
        warmup_s = 1.5 if self._spec.quick else 4.0
        for job in self._start_order(crew.launch, group):
            before = monotonic()
            try:
                launched = crew.start(job, warmup_s)
            except Failed as failed:
                self._fail(failed.failure)
                continue
            finally:
                self.seconds["start"] += monotonic() - before
            self.seconds["start"] -= launched.warmup_s
            self.seconds["warmup"] += launched.warmup_s
            self._launched.append(launched)
            self._folder.launched(launched)

    def _start_order(self, launch: int, group: int) -> list[Job]:
        """Return the cells in another balanced order each launch.

        The order leaves its mark: of two equal cells, the one that always started second was
        0.3 to 1.1 % faster in each of seven quiet comparisons.
        """
        jobs = self._stopping.alive(group)
        square = williams(len(jobs), self._spec.seed + group)
        return [jobs[i] for i in square[launch % len(square)]] if jobs else []

    def _measure(self, crew: Crew, group: int, number: int, deadline: float) -> int:
        """Run rounds until the launch has told what it can; return the next round's number."""
        first = number
        self._phase(crew.launch, "measuring")
        while crew.members:
            cells = sorted(crew.members)
            square = williams(len(cells), self._spec.seed + 1000 * crew.launch + group)
            order = tuple(cells[i] for i in square[number % len(square)])
            self._round(crew, number, order)
            number += 1
            self._tell(crew.launch, number - first, group)
            if self._interrupts.requested or self._stopping.launch_done(
                crew, number - first, deadline
            ):
                break
        return number

    def _measure_alone(self, crew: Crew) -> None:
        """Have each row measured for minutes, one after the other."""

        def keep(order: tuple[int, ...], epoch: Epoch) -> None:
            self._keep(crew, epoch.round, order, (epoch,))

        def found(cell: int, told: Mapping[str, Any]) -> None:
            self._loads[cell] = told
            self._folder.load(cell, told)

        Alone(self._spec, self._turns, self._interrupts, keep, self._fail, found).measure(
            crew, self._stopping.left_s
        )

    def _round(self, crew: Crew, number: int, order: tuple[int, ...]) -> None:
        feed = number % self._jobs[order[0]].feed_count
        self._keep(crew, number, order, self._turns.round(crew, number, order, feed, self._fail))

    def _keep(
        self, crew: Crew, number: int, order: tuple[int, ...], epochs: tuple[Epoch, ...]
    ) -> None:
        self._epochs += epochs
        self._orders[crew.launch, number] = order
        self._rounds.add(epochs)
        self._folder.round(order, epochs)
        for epoch in epochs:
            if self._wants_outputs(epoch) and epoch.cell in crew.members:
                try:
                    self._keep_outputs(crew, epoch)
                except Failed as failed:
                    self._fail(failed.failure)

    def _keep_outputs(self, crew: Crew, epoch: Epoch) -> None:
        """Keep a stream's outputs, and those of every batch that a server may make.

        Raises:
            Failed: If they cannot be had.
        """
        job = self._jobs[epoch.cell]
        bindings: dict[int | None, int] = {
            None: job.cell.binding,
            **{one.batch: one.binding for one in job.sizes},
        }
        for size, binding in bindings.items():
            path = output_path(self._folder, epoch.cell, epoch.launch, binding, epoch.feed)
            stream = epoch.feed + epoch.launch  # each has its turn
            crew.outputs(epoch.cell, path, stream=stream, size=size)

    def _wants_outputs(self, epoch: Epoch) -> bool:
        """Each input set once, and in every launch one: a launch may go wrong by itself."""
        wanted = {(epoch.cell, "launch", epoch.launch), (epoch.cell, "feed", epoch.feed)}
        missing = not wanted <= self._seen
        self._seen |= wanted
        return missing

    def _meter(self, crew: Crew) -> None:
        """Measure the energy of each cell that has none yet; the time budget is not for this."""
        start_s = monotonic()
        try:
            for failure in self._metering.meter(crew):
                self._fail(failure)
        finally:
            spent_s = monotonic() - start_s
            self.seconds["energy"] += spent_s
            self._stopping.set_aside(spent_s)

    # What is told

    def _fail(self, failure: Failure) -> None:
        self._failures.append(failure)
        self._folder.failure(failure)
        label = self._jobs[failure.cell].cell.label
        status = Status(failure.status).value.replace("_", " ")
        self._progress.note(f"{label}: {status} at {failure.phase}: {failure.reason}.")

    def _planned(self, launch: int) -> int:
        return max(launch + 1, self._spec.planned_launches)

    def _phase(self, launch: int, text: str) -> None:
        self._progress.phase(f"launch {launch + 1} of {self._planned(launch)}: {text}")

    def _tell(self, launch: int, rounds: int, group: int) -> None:
        first = min((job.cell.id for job in self._stopping.alive(group)), default=None)
        quiet = self._rounds.quiet()
        ratios = tuple(
            (job.cell.label, self._rounds.ratio(first, job.cell.id, quiet))
            for job in self._stopping.alive(group)
            if first is not None and job.cell.id != first
        )
        self._progress.standing(
            Standing(
                launch=launch + 1,
                launches=self._planned(launch),
                round=rounds,
                ratios=ratios,
                elapsed_s=self._stopping.elapsed_s(),
                remaining_s=max(0.0, self._stopping.left_s()),
            )
        )


def output_path(folder: RunFolder, cell: int, launch: int, binding: int, feed: int) -> Path:
    """Return where the outputs of a timed inference wait to be compared."""
    return folder.path / "outputs" / f"{cell}-{launch}-{binding}-{feed}.npz"
