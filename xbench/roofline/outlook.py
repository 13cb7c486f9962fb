"""What this machine allows, and the least latency of a model under it: before anything is run.

Schema history (`SCHEMA` is in every document; docs/roofline.md says what is in it):

1. First version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xbench.catalog import resolve
from xbench.device import cpu_info, cpu_model, limits_for
from xbench.interrupts import Interrupts
from xbench.lock import machine_to_itself
from xbench.model import bind, read_model
from xbench.progress import Progress, Silent
from xbench.registry import expand
from xbench.roofline.ceilings import Ceilings
from xbench.roofline.probe import FULL, Effort, installed, probe
from xbench.roofline.row import roofline_of
from xbench.roofline.work import Work, work_of

SCHEMA = 1
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The limits, and a model under them.

    Attributes:
        machine: The processor's name, or None where it does not tell.
        ceilings: What was found.
        model: Its name, or None where none was given.
        work: Of one inference of it.
        floors: What `roofline_of` says of it, by precision.
    """

    machine: str | None
    ceilings: Ceilings
    model: str | None = None
    work: Work | None = None
    floors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """Return 0 if every limit that was asked for was found, 1 if one was not."""
        found = (self.ceilings.bandwidth, *self.ceilings.flops.values())
        return 1 if any(one.per_s is None for one in found) else 0

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` writes."""
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "ceilings": self.ceilings.to_json(),
            "model": self.model,
            "work": asdict(self.work) if self.work else None,
            "floors": {precision: dict(told) for precision, told in self.floors.items()},
        }


def outlook(
    model: str | None,
    *,
    threads: int | None = None,
    device: str = "cpu",
    precisions: Sequence[str] = ("fp32",),
    backends: Sequence[str] = (ALL,),
    batch: int | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    progress: Progress | None = None,
    effort: Effort = FULL,
) -> Outlook:
    """Return what this machine allows, and the floor under the latency of ``model``.

    Args:
        model: A path or a name, as `xbench compare` takes it; None for the limits alone.
        threads: That work together; None takes every physical core.
        device: Such as ``cpu``.
        precisions: Whose FLOP/s are wanted.
        backends: Whom to ask for them besides NumPy; ``all`` is every one that is installed.
        batch: The length of the batch; None is the model's own, or 1.
        shapes: Shapes of inputs whose axes are open, by name.
        progress: Hears of each step.
        effort: How hard to try.

    Raises:
        XbenchError: If the request cannot be met.
        InterruptedRunError: If the user asked to stop.
    """
    hears = progress or Silent()
    limits = limits_for(threads, device)
    every = tuple(backends) == (ALL,)
    asked = installed(device) if every else expand(backends, device=device)
    with Interrupts(lambda: hears.note("Stopping.")) as stop:
        name, work = None, None
        if model is not None:
            resolved = resolve(model, 0, hears, stop.wake_fd)
            known = read_model(Path(resolved.path), resolved.name)
            name, work = known.name, work_of(bind(known, batch, shapes, resolved.symbols))
        with machine_to_itself(hears, stop):
            found = probe(limits, precisions, asked, stop, progress=hears, effort=effort)
    machine = cpu_model(cpu_info())
    if work is None:
        return Outlook(machine=machine, ceilings=found)
    floors = {one: _floor(work, found, one) for one in precisions}
    return Outlook(machine=machine, ceilings=found, model=name, work=work, floors=floors)


def _floor(work: Work, ceilings: Ceilings, precision: str) -> dict[str, Any]:
    return roofline_of(
        work=work, ceilings=ceilings, latency_ns=None, requested=precision, effective=None
    )
