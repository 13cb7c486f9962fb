"""Measures configurations with real workers, and writes what they tell into the evidence.

The workers of a look stay alive while the best so far is among them; every other one ends when its
look does, so that only a handful are alive at once. Each launch at full effort is a new process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

import psutil

from xbench import caps
from xbench.conductor import output_path
from xbench.crew import Crew, Failed
from xbench.errors import InterruptedRunError
from xbench.gate import judge, run_reference
from xbench.inputs import InputsInfo
from xbench.interrupts import Interrupts
from xbench.members import Job
from xbench.preparation import make_jobs
from xbench.progress import Progress
from xbench.regime import Regime
from xbench.rounds import Rounds
from xbench.samples import Epoch, Failure, Launched, Samples
from xbench.stats import williams
from xbench.telemetry import footprint
from xbench.tuning.evidence import Evidence
from xbench.tuning.request import Stock
from xbench.turns import Turns

LOOK_WARMUP_S = 0.4
WARMUP_S = 4.0  # most, as in a comparison; it ends when latency falls no more
ROOM = 1.5  # of the largest worker so far: what must be free before another starts


class Workshop:
    """Runs the steps of a search: a `xbench.tuning.search.Bench` of real workers.

    Attributes:
        seconds: Spent, by kind of step.
        inputs: What is doubtful about the inputs.
    """

    def __init__(
        self, stock: Stock, evidence: Evidence, progress: Progress, interrupts: Interrupts
    ) -> None:
        self._stock, self._evidence = stock, evidence
        self._progress, self._interrupts = progress, interrupts
        self._regime = Regime(progress)
        self._turns = Turns(self._regime, interrupts, stock.spec.seed)
        self._launched: list[Launched] = []
        self._epochs: list[Epoch] = []
        self._failures: list[Failure] = []
        self._orders: dict[tuple[int, int], tuple[int, ...]] = {}
        self._rounds = Rounds((), {id_: cell.samples for id_, cell in stock.cells.items()})
        self._jobs: dict[int, Job] = {}
        self._references: dict[int, Job] = {}
        self._missing: dict[int, str | None] = {}
        self._kept: set[tuple[int, str, int]] = set()
        self._made: set[tuple[int, int | None]] = set()
        self._looking: Crew | None = None
        self._launch = self._number = 0
        self._start_s = monotonic()
        self.seconds = {"look": 0.0, "check": 0.0, "final": 0.0, "prove": 0.0}
        self.inputs = InputsInfo()

    def open(self) -> None:
        """Begin: from here on the time counts.

        Raises:
            InterruptedRunError: If the user asked to stop.
        """
        self._start_s = monotonic()
        widest = max(self._stock.cells.values(), key=lambda cell: len(cell.limits.cpus))
        self._regime.start(widest.limits, self._interrupts)

    def close(self) -> None:
        """End every worker."""
        self._end_looking()
        self._regime.end()

    def spent_s(self) -> float:
        """Return the seconds since the search began."""
        return monotonic() - self._start_s

    def samples(self) -> Samples:
        """Return all that was measured."""
        return Samples(
            tuple(self._launched), tuple(self._epochs), tuple(self._failures), self._orders
        )

    # The steps

    def look(self, ids: Sequence[int], beside: int | None, enough: Callable[[int], bool]) -> None:
        """Measure a few rounds of newcomers, beside the best so far."""
        start_s = monotonic()
        crew = self._looking = self._looking or self._crew()
        for id_ in set(crew.members) - {beside}:
            crew.dismiss(id_)
        if beside is not None and beside not in crew.members:
            self._start(crew, beside, LOOK_WARMUP_S)
        for place, id_ in enumerate(ids):
            if place == 0 or self._has_room():
                self._start(crew, id_, LOOK_WARMUP_S)
        rounds = 0
        while crew.members.keys() & set(ids) and not enough(rounds):
            self._round(crew)
            rounds += 1
        self._learn(ids)
        self.seconds["look"] += monotonic() - start_s

    def check(self, ids: Sequence[int]) -> None:
        """Compare outputs with the reference's, which is run where a batch has none yet."""
        start_s = monotonic()
        self._end_looking()
        for binding in sorted({self._stock.cells[id_].binding for id_ in ids}):
            if binding in self._missing or binding not in self._references:
                continue
            self._missing[binding] = run_reference(
                [self._references[binding]],
                self._stock.folder,
                self._interrupts,
                self._stock.spec.timeout_s,
                self._progress,
            )
        self._judge(ids)
        self.seconds["check"] += monotonic() - start_s

    def final(self, ids: Sequence[int], rounds: int) -> None:
        """Measure a fresh launch of each, all together, at full effort."""
        start_s = monotonic()
        self._end_looking()
        with self._crew() as crew:
            for id_ in self._ordered(ids, crew.launch):
                self._start(crew, id_, WARMUP_S)
                self._evidence.of(id_).finals += 1
            for _ in range(rounds):
                if crew.members:
                    self._round(crew)
        self._learn(ids)
        self._judge(ids)
        self.seconds["final"] += monotonic() - start_s

    def prove(self, id_: int, inferences: int) -> None:
        """Measure one by itself, for so many inferences."""
        start_s = monotonic()
        self._end_looking()
        self._evidence.of(id_).proofs += 1
        with self._crew() as crew:
            self._start(crew, id_, WARMUP_S)
            timed = 0
            while crew.members and timed < inferences:
                timed += sum(len(epoch.latencies_ns) for epoch in self._round(crew))
        self._learn([id_])
        self._judge([id_])
        self.seconds["prove"] += monotonic() - start_s

    # Workers

    def _crew(self) -> Crew:
        launch, self._launch = self._launch, self._launch + 1
        stock = self._stock
        asked = (stock.folder, self._interrupts, stock.spec.timeout_s)
        return Crew(launch, *asked, lambda _: None, self._made)

    def _end_looking(self) -> None:
        if self._looking is not None:
            for id_ in list(self._looking.members):
                self._looking.dismiss(id_)
            self._looking = None

    def _has_room(self) -> bool:
        sizes = [one.memory_bytes or 0 for one in self._evidence.seen.values()]
        return psutil.virtual_memory().available >= ROOM * max(sizes, default=0)

    def _ordered(self, ids: Sequence[int], launch: int) -> list[int]:
        """Return them in another balanced order each launch: who starts second may be faster."""
        square = williams(len(ids), self._stock.spec.seed)
        return [ids[place] for place in square[launch % len(square)]]

    def _start(self, crew: Crew, id_: int, warmup_s: float) -> None:
        """Start a worker; that it fails is evidence too."""
        job = self._job(id_)
        if job is None:
            return
        done = sum(one.measured for one in self._evidence.seen.values())
        what = "full effort" if warmup_s == WARMUP_S else "a look"
        cells = self._stock.cells
        self._progress.phase(f"{done} of {len(cells)} measured: {what} at {cells[id_].label}")
        try:
            launched = crew.start(job, warmup_s)
        except Failed as failed:
            self._fail(failed.failure)
            return
        self._launched.append(launched)
        self._stock.folder.launched(launched)
        peak = footprint.host_peak(launched.memory) if launched.memory else None
        seen = self._evidence.of(id_)
        if peak is not None:
            seen.memory_bytes = max(peak, seen.memory_bytes or 0)

    def _job(self, id_: int) -> Job | None:
        """Return what a configuration runs; None where its file cannot be made, which is told."""
        if id_ not in self._jobs:
            binding = self._stock.cells[id_].binding
            cells = [cell for cell in self._stock.cells.values() if cell.binding == binding]
            stock = self._stock
            made = make_jobs(
                stock.spec,
                stock.model,
                cells,
                stock.bound,
                stock.folder,
                self._progress,
                self._interrupts.wake_fd,
            )
            self._jobs |= {job.cell.id: job for job in made.jobs}
            self._references |= {job.cell.binding: job for job in made.references}
            self.inputs = made.inputs
            for failure in made.refused:
                self._fail(failure)
        return None if self._evidence.of(id_).failure else self._jobs[id_]

    # Rounds

    def _round(self, crew: Crew) -> tuple[Epoch, ...]:
        """Give each worker its turn, and keep what it told.

        Raises:
            InterruptedRunError: If the user asked to stop.
        """
        cells = sorted(crew.members)
        square = williams(len(cells), self._stock.spec.seed + crew.launch)
        order = tuple(cells[place] for place in square[self._number % len(square)])
        feeds = self._jobs[order[0]].feed_count
        epochs = self._turns.round(crew, self._number, order, self._number % feeds, self._fail)
        self._orders[crew.launch, self._number] = order
        self._stock.folder.round(order, epochs)
        self._epochs += epochs
        self._rounds.add(epochs)
        taken = {epoch.cell: epoch.latencies_ns for epoch in epochs}
        self._evidence.add((crew.launch, self._number), taken)
        self._evidence.quiet = self._rounds.quiet()
        self._number += 1
        for epoch in epochs:
            self._keep_outputs(crew, epoch)
        if self._interrupts.requested:
            raise InterruptedRunError
        return epochs

    def _keep_outputs(self, crew: Crew, epoch: Epoch) -> None:
        """Keep outputs of each input set once, and of every launch."""
        wanted = {(epoch.cell, "launch", epoch.launch), (epoch.cell, "feed", epoch.feed)}
        if wanted <= self._kept or epoch.cell not in crew.members:
            return
        self._kept |= wanted
        binding = self._stock.cells[epoch.cell].binding
        path = output_path(self._stock.folder, epoch.cell, epoch.launch, binding, epoch.feed)
        try:
            crew.outputs(epoch.cell, path, stream=epoch.feed + epoch.launch)
        except Failed as failed:
            self._fail(failed.failure)

    # What is learnt

    def _fail(self, failure: Failure) -> None:
        self._failures.append(failure)
        self._stock.folder.failure(failure)
        self._evidence.of(failure.cell).failure = (failure.status, failure.reason)
        label = self._stock.cells[failure.cell].label
        what = failure.status.replace("_", " ")
        self._progress.note(f"{label}: {what} at {failure.phase}: {failure.reason}.")

    def _learn(self, ids: Sequence[int]) -> None:
        """Find out whether caps held, from all launches and rounds so far."""
        for id_ in ids:
            launched = [one for one in self._launched if one.cell == id_]
            epochs = [one for one in self._epochs if one.cell == id_]
            if launched and epochs:
                limits = self._stock.cells[id_].limits
                broken = caps.prove(limits, launched, epochs).broken(limits.device)
                self._evidence.of(id_).broken = "; ".join(broken) or None

    def _judge(self, ids: Sequence[int]) -> None:
        """Compare the outputs of those whose reference was asked for."""
        for binding in {self._stock.cells[id_].binding for id_ in ids} & self._missing.keys():
            cells = [one for one in self._stock.cells.values() if one.binding == binding]
            asked = [cell for cell in cells if cell.id in ids]
            found = judge(self._stock.folder, asked, self._missing[binding])
            for id_, parity in found.items():
                self._evidence.of(id_).parity = parity
