"""The rooflines of a run: each set of caps is probed once, each file is counted once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from xbench.adapter import Limits
from xbench.device import cpu_info, cpu_model
from xbench.host import host_id, versions
from xbench.load.scenario import Kind
from xbench.roofline.ceilings import Ceilings, ceilings_from_json
from xbench.roofline.probe import FULL, Effort, free_of_memory, installed, probe
from xbench.roofline.row import FIELDS, OFF, roofline_of
from xbench.roofline.work import Work, work_of

if TYPE_CHECKING:
    from xbench.interrupts import Interrupts
    from xbench.members import Job
    from xbench.plan import Cell
    from xbench.progress import Progress
    from xbench.result import CellResult
    from xbench.store import RunFolder

FILE = "roofline.json"
ALWAYS = "fp32"  # what a runtime falls back to where it has no kernels of the precision asked for


@dataclass(frozen=True, slots=True)
class Rooflines:
    """What the rows of a run are put beside.

    Attributes:
        ceilings: By the caps that they were found under, as `free_of_memory` has them.
        works: By the cell's id.
        off: Why there are none, where there are none.
    """

    ceilings: Mapping[Limits, Ceilings] = field(default_factory=dict)
    works: Mapping[int, Work] = field(default_factory=dict)
    off: str = OFF

    def of(self, cell: Cell, row: CellResult) -> dict[str, Any]:
        """Return the ``roofline`` of a row, as `xbench.roofline.row.roofline_of` has it."""
        ceilings = self.ceilings.get(free_of_memory(cell.limits))
        work = self.works.get(cell.id)
        if ceilings is None or work is None:
            return {**dict.fromkeys(FIELDS), "reason": self.off}
        if not _of_one_inference(cell):
            reason = f"a latency under {cell.scenario} is not that of one inference by itself"
            return {**dict.fromkeys(FIELDS), "reason": reason}
        p50 = row.latency_ns.percentiles.get("p50") if row.latency_ns else None
        return roofline_of(
            work=work,
            ceilings=ceilings,
            latency_ns=p50.value if p50 else None,
            requested=cell.precision,
            effective=row.precision.get("effective"),
        )


def _of_one_inference(cell: Cell) -> bool:
    """Return whether a row's latency is what one inference takes that has the CPUs to itself."""
    return cell.load.kind not in (Kind.SERVER, Kind.STREAMS) and cell.samples == (cell.batch or 1)


def rooflines(
    jobs: Sequence[Job],
    folder: RunFolder,
    stop: Interrupts,
    progress: Progress,
    *,
    backends: Sequence[str] | None = None,
    effort: Effort = FULL,
) -> Rooflines:
    """Return the rooflines of the rows of a run; a run that is resumed finds its own again.

    Args:
        jobs: Of every row.
        folder: Of the run, where they are kept.
        stop: Wakes the wait when the user asks to stop.
        progress: Hears of each step.
        backends: Whom to ask for FLOP/s besides NumPy; None is all that are installed.
        effort: How hard to try.

    Raises:
        InterruptedRunError: If the user asked to stop.
    """
    found: dict[Limits, Ceilings] = {}
    for limits, own in _asked_of(jobs).items():
        wanted = tuple(dict.fromkeys((ALWAYS, *own)))
        asked = installed(limits.device) if backends is None else tuple(backends)
        key = _key(limits, wanted, asked, effort)
        kept = _kept(folder)
        if key in kept:
            found[limits] = ceilings_from_json(kept[key])
            continue
        found[limits] = probe(limits, wanted, asked, stop, progress=progress, effort=effort)
        folder.write_json(FILE, {"ceilings": {**kept, key: found[limits].to_json()}})
    return Rooflines(found, works_of(jobs))


def _asked_of(jobs: Sequence[Job]) -> dict[Limits, list[str]]:
    """Return the precisions of the rows under each set of caps."""
    asked: dict[Limits, list[str]] = {}
    for job in jobs:
        asked.setdefault(free_of_memory(job.cell.limits), []).append(job.cell.precision)
    return asked


def works_of(jobs: Sequence[Job]) -> dict[int, Work]:
    """Return the work of each cell; many have the same file at the same shapes."""
    counted: dict[Any, Work] = {}
    works = {}
    for job in jobs:
        key = (job.model.path, tuple(sorted(job.model.shapes.items())))
        if key not in counted:
            counted[key] = work_of(job.model)
        works[job.cell.id] = counted[key]
    return works


def _key(limits: Limits, precisions: Sequence[str], backends: Sequence[str], effort: Effort) -> str:
    """Return what tells one probe from another: the machine, the caps, what was asked and whom."""
    machine = (host_id(), cpu_model(cpu_info()), versions())
    asked = (asdict(limits), precisions, backends, asdict(effort))
    return hashlib.sha256(json.dumps([machine, asked]).encode()).hexdigest()[:16]


def _kept(folder: RunFolder) -> dict[str, Any]:
    """Return what a run folder has of earlier probes; a damaged file is as good as none."""
    try:
        found = json.loads((folder.path / FILE).read_text())["ceilings"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return dict(found) if isinstance(found, dict) else {}
