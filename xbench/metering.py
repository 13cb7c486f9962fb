"""Joules per inference of a started worker, while all others of its launch are stopped.

Each row is metered once, after the rounds of the first launch that it gets through: the worker is
warm, and nothing else is measured meanwhile. Where there is no meter nothing runs, and the figure
says why. See docs/energy.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from select import select
from typing import Any

from xbench.crew import Crew, Failed
from xbench.errors import InterruptedRunError
from xbench.interrupts import Interrupts
from xbench.load.scenario import Kind
from xbench.plan import Cell, Spec
from xbench.process import environment
from xbench.samples import Failure
from xbench.store import RunFolder
from xbench.telemetry.energy import Energy, measure_energy
from xbench.telemetry.meter import Meter, MeterError
from xbench.telemetry.passage import RealPassage
from xbench.telemetry.sources import meters_for
from xbench.telemetry.tally import UNAVAILABLE, Figure

ROOT = Path("/sys")
UNMETERED = (Kind.SERVER, Kind.SUSTAINED)  # energy of runs that follow each other is not theirs
REST_S = 1.0  # from a window of inferences to the next of idling


class InterruptiblePassage(RealPassage):
    """Real time in which whoever waits hears that the user asked to stop."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def sleep(self, seconds: float) -> None:
        """Return after that many seconds.

        Raises:
            InterruptedRunError: As soon as the user asks to stop.
        """
        if select([self._interrupts.wake_fd], [], [], seconds)[0]:
            raise InterruptedRunError


class Metering:
    """Measures the energy of each cell once, and keeps what was measured earlier.

    Attributes:
        energies: By cell id, as `energy_of` returns them.
    """

    def __init__(
        self,
        spec: Spec,
        folder: RunFolder,
        interrupts: Interrupts,
        earlier: Mapping[int, Mapping[str, Any]],
    ) -> None:
        self.energies = dict(earlier)
        self._asked = spec.energy
        self._folder = folder
        self._interrupts = interrupts
        # What was unavailable before is tried again: the user may have followed the fix.
        self._done = {cell for cell, energy in earlier.items() if energy["per_inference_j"]}

    def meter(self, crew: Crew) -> Iterator[Failure]:
        """Measure each cell of a crew that has not had its turn; yield why one failed.

        Raises:
            InterruptedRunError: If the user asked to stop.
        """
        for id_, member in sorted(crew.members.items()) if self._asked else ():
            if id_ in self._done:
                continue
            self._done.add(id_)
            if member.job.cell.load.kind in UNMETERED:
                continue
            try:
                self.energies[id_] = energy_of(crew, member.job.cell, self._interrupts)
            except Failed as failed:
                yield failed.failure
            else:
                self._folder.energy(id_, self.energies[id_])


def energy_of(crew: Crew, cell: Cell, interrupts: Interrupts) -> Mapping[str, Any]:
    """Return the energy of a started cell, as `xbench.telemetry.energy.Energy.to_json` spells it.

    Raises:
        Failed: If the worker did not get through it.
        InterruptedRunError: If the user asked to stop.
    """
    limits = cell.limits
    meters = meters_for(limits.uuid or limits.device, environment(limits), crew.processes, ROOT)
    if any(isinstance(meter, Meter) for meter in meters):
        crew.tell(f"measuring energy of {cell.label}")
    passage = InterruptiblePassage(interrupts)
    items = cell.batch or 1  # a run of a batch is as many inferences, as in its throughput
    try:
        energy = measure_energy(
            meters,
            lambda seconds: items * crew.run_for(cell.id, seconds),
            rest_s=REST_S,
            passage=passage,
        )
    except MeterError as error:
        return unavailable(cell, error.reason, error.fix)
    return energy.to_json()


def why_none(spec: Spec, cell: Cell, *, failed: bool) -> Mapping[str, Any]:
    """Return the energy of a cell that was not metered: no number, why, and what to do."""
    if failed:
        return unavailable(cell, "the row failed before it was metered", "See the row's own fix")
    if spec.energy and cell.load.kind in UNMETERED:
        fix = "Ask for --scenario single-stream, or streams:2"
        return unavailable(cell, f"not measured under {cell.scenario}", fix)
    if spec.energy:
        return unavailable(cell, "the run was stopped before it", "Finish the run with --resume")
    if spec.quick:
        return unavailable(cell, "--quick leaves it out", "Ask for it with --energy")
    return unavailable(cell, "not asked for", "Leave out --no-energy")


def unavailable(cell: Cell, reason: str, fix: str) -> Mapping[str, Any]:
    """Return an energy without a number, in the form of one that has it."""
    figure = Figure(
        meter="none", device=cell.limits.device, scope="none", label=UNAVAILABLE + reason, fix=fix
    )
    return Energy((figure,)).to_json()
