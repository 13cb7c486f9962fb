"""A round: every cell's turn, and what tells whether the machine was itself meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import monotonic, process_time

from xbench.crew import Crew, Failed
from xbench.interrupts import Interrupts
from xbench.regime import Regime
from xbench.rounds import CALM_CPUS
from xbench.samples import Epoch, Failure
from xbench.telemetry.gpu_state import GpuStates
from xbench.wire import Message


class Turns:
    """Runs the rounds of a run, one at a time.

    Attributes:
        seconds: Spent in turns, in all.
        cpu_s: CPU time that this process took meanwhile.
    """

    def __init__(self, regime: Regime, interrupts: Interrupts, seed: int = 0) -> None:
        self.seconds = 0.0
        self.cpu_s = 0.0
        self._regime = regime
        self._interrupts = interrupts
        self._seed = seed
        self._gpus = GpuStates()
        self._others_cpus: float | None = None

    def round(
        self,
        crew: Crew,
        number: int,
        order: tuple[int, ...],
        feed: int,
        failed: Callable[[Failure], None],
    ) -> tuple[Epoch, ...]:
        """Return an epoch for each cell that got through its turn.

        Args:
            crew: The workers.
            number: The round's, within the launch.
            order: The cells, in the order of their turns.
            feed: Which of the input sets they run on.
            failed: Told why a cell did not get through.
        """
        epochs: list[Epoch] = []
        workers = [member.process for member in crew.members.values()]
        used = self._regime.usage(workers)
        # A neighbour in the kernel's accounts marks a round already: its time goes to epochs.
        listens = self._others_cpus is None or self._others_cpus <= CALM_CPUS
        before = self._regime.canary_ns() if listens else None
        for position, cell in enumerate(order):
            try:
                epoch = self._turn(crew, number, position, cell, feed)
            except Failed as problem:
                failed(problem.failure)
                continue
            after = self._regime.canary_ns() if listens else None
            canary_ns = (before, after) if before and after else None
            epochs.append(replace(epoch, canary_ns=canary_ns))
            before = after
            if self._interrupts.requested:
                break
        self._others_cpus = self._regime.others_cpus(used, workers)
        return tuple(replace(epoch, others_cpus=self._others_cpus) for epoch in epochs)

    def _turn(self, crew: Crew, number: int, position: int, cell: int, feed: int) -> Epoch:
        """Return one epoch, with the state of the cell's GPU right after it."""
        seed = self._seed + 1000 * crew.launch + number
        place = (number, position, cell, feed)
        return self.taken(crew, place, lambda: crew.turn(cell, feed, seed))

    def alone(
        self, crew: Crew, place: tuple[int, int, int, int], turn: Callable[[], Message]
    ) -> Epoch:
        """Return what a turn told that no canary stands beside, for others must not run at all.

        Raises:
            Failed: If it did not get through.
        """
        workers = [member.process for member in crew.members.values()]
        used = self._regime.usage(workers)
        epoch = self.taken(crew, place, turn)
        return replace(epoch, others_cpus=used.others_cpus(self._regime.usage(workers)))

    def taken(
        self, crew: Crew, place: tuple[int, int, int, int], turn: Callable[[], Message]
    ) -> Epoch:
        """Return what a turn told, with the state of the cell's GPU right after it.

        Args:
            crew: The workers.
            place: Number of the round, place in it, cell, and input set.
            turn: Has the worker do it.

        Raises:
            Failed: If it did not get through.
        """
        number, position, cell, feed = place
        state = self._gpus.before(crew.members[cell].job.cell.limits)
        start_s, cpu_s = monotonic(), process_time()
        try:
            reply = turn()
        finally:
            self.seconds += monotonic() - start_s
            self.cpu_s += process_time() - cpu_s
        return Epoch(
            cell=cell,
            launch=crew.launch,
            round=number,
            position=position,
            feed=feed,
            latencies_ns=tuple(reply["latencies_ns"]),
            wall_ns=reply["wall_ns"],
            cpu_ns=reply["cpu_ns"],
            canary_ns=None,
            others_cpus=None,
            gpu=state() if state else None,
            served=reply.get("served"),
        )
