"""The parity gate: a row is ranked only if its timed outputs agree with the reference's.

The reference is ONNX Runtime on the CPU with graph optimisation off, in a process of its
own before anything is timed. Where it cannot run the model, the first backend that did
takes its place, and every row names what it was compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xbench.adapter import Array
from xbench.conductor import output_path
from xbench.crew import Crew, Failed
from xbench.interrupts import Interrupts
from xbench.members import Job
from xbench.parity import TOLERANCE, agreement, compare_outputs, degenerate
from xbench.plan import Cell
from xbench.progress import Progress
from xbench.result import Parity
from xbench.store import RunFolder

REFERENCE = "onnxruntime:reference"

Outputs = dict[str, Array]


def run_reference(
    jobs: Sequence[Job],
    folder: RunFolder,
    interrupts: Interrupts,
    timeout_s: float,
    progress: Progress,
) -> str | None:
    """Keep the reference's outputs for every binding and input set; return why it could not run.

    Args:
        jobs: One of each binding, with the model as it was before anything was narrowed.
        folder: Where the outputs go.
        interrupts: Tell when the user asks to stop.
        timeout_s: Seconds that it may take to load the model.
        progress: Hears of it.

    Raises:
        InterruptedRunError: If the user asked to stop.
    """
    with Crew(0, folder, interrupts, timeout_s, lambda _: None) as crew:
        for job in jobs:
            cell = replace(
                job.cell,
                id=reference_id(job.cell.binding),
                scenario="single-stream",
                backend=REFERENCE,
                label="reference",
                limits=replace(job.cell.limits.helpers, device="cpu", uuid=None),
                precision="fp32",
                boundary="host",
            )
            progress.phase("computing the reference outputs")
            try:
                crew.start(replace(job, cell=cell, sizes=(), repeats=1), warmup_s=0.0)
                for feed in range(job.feed_count):
                    crew.turn(cell.id, feed)
                    path = output_path(folder, cell.id, 0, cell.binding, feed)
                    crew.outputs(cell.id, path)
            except Failed as failed:
                return failed.failure.reason
    return None


def reference_id(binding: int) -> int:
    """Return the cell id that stands for the reference of a binding of the model."""
    return -1 - binding


def judge(folder: RunFolder, cells: Sequence[Cell], missing: str | None) -> dict[int, Parity]:
    """Return the parity of each cell, from the outputs that wait in the run folder.

    Args:
        folder: The run folder.
        cells: All cells of the run.
        missing: Why there is no reference, or None.
    """
    verdicts: dict[int, Parity] = {}
    for binding in sorted({cell.binding for cell in cells}):
        members = [cell for cell in cells if cell.binding == binding]
        name, reference = _reference(folder, members, missing)
        own = [outputs for of, outputs in reference.items() if of.startswith(f"{binding}-")]
        dead = degenerate(own) if own else None
        for cell in members:
            if cell.label == name or not reference:
                reason = missing or "no reference outputs"
                verdicts[cell.id] = Parity("not_checked", reason=reason)
            elif dead:
                verdicts[cell.id] = Parity("degenerate", reference=name, reason=dead)
            else:
                verdicts[cell.id] = _compare(folder, cell, name, reference)
    return verdicts


def _reference(
    folder: RunFolder, members: Sequence[Cell], missing: str | None
) -> tuple[str, dict[str, Outputs]]:
    """Return what to compare with, and its outputs by input set: a stand-in is the finest one."""
    if missing is None:
        return REFERENCE, _outputs(folder, -1)
    for cell in sorted(members, key=lambda cell: TOLERANCE[cell.precision]):
        if outputs := _outputs(folder, cell.id):
            return cell.label, outputs
    return REFERENCE, {}


def _compare(folder: RunFolder, cell: Cell, name: str, reference: dict[str, Outputs]) -> Parity:
    found: list[Parity] = []
    for path in _files(folder, cell.id):
        feed = _feed(path)
        if feed in reference and (outputs := _read(path)) is not None:
            found.append(compare_outputs(reference[feed], outputs, cell.precision))
    if not found:
        return Parity("not_checked", reference=name, reason="no outputs were kept")
    return replace(agreement(found), reference=name)


def _outputs(folder: RunFolder, cell: int) -> dict[str, Outputs]:
    read = {_feed(path): _read(path) for path in _files(folder, cell)}
    return {feed: outputs for feed, outputs in read.items() if outputs is not None}


def _files(folder: RunFolder, cell: int) -> list[Path]:
    """Return the files of a cell; of all references for any that is negative."""
    name = "-*" if cell < 0 else cell
    return sorted((folder.path / "outputs").glob(f"{name}-*-*-*.npz"))


def _feed(path: Path) -> str:
    """Return the binding of the model and the input set that an output belongs to."""
    return "-".join(path.stem.rsplit("-", 2)[1:])


def _read(path: Path) -> Outputs | None:
    """Return the outputs of one file; None for one that a kill or a full disk cut short."""
    import zipfile

    from xbench.inputs import load_feeds

    try:
        return load_feeds(path)[0]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
