"""What the workers of a run are given: the model with its dimensions decided, and input sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xbench.adapter import BoundModel
from xbench.catalog import Resolved
from xbench.crew import Job
from xbench.errors import (
    BackendUnavailableError,
    InterruptedRunError,
    UsageError,
    XbenchError,
)
from xbench.inputs import Feeds, InputsInfo, save_feeds, seeded_feeds, user_feeds
from xbench.model import Model, bind
from xbench.narrowing import narrowed
from xbench.plan import Cell, Spec
from xbench.progress import Progress
from xbench.result import Status
from xbench.samples import Failure
from xbench.source import Terms
from xbench.store import RunFolder
from xbench.units import format_shape

CALIBRATION_SETS = 16
CALIBRATED = ("int8",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A comparison that can start.

    Attributes:
        model: The ONNX file, with its FLOPs at the first batch size.
        cells: Every row to measure.
        jobs: The same with what each runs.
        references: A job of each group whose model is the file as it is.
        refused: Why rows have no model to run, such as a precision it cannot be converted to.
        inputs: What is doubtful about the inputs.
        host: The machine and its state.
        folder: Where the run is kept.
    """

    model: Model
    cells: tuple[Cell, ...]
    jobs: tuple[Job, ...]
    references: tuple[Job, ...]
    refused: tuple[Failure, ...]
    inputs: InputsInfo
    host: Mapping[str, Any]
    folder: RunFolder


def terms_of(spec: Spec) -> Terms:
    """Return what the user says of a model besides its name."""
    inputs = Path(spec.inputs) if spec.inputs else None
    return Terms(trusted=spec.trust, shapes=spec.shapes, inputs=inputs)


def bindings(spec: Spec, model: Model, resolved: Resolved) -> dict[int, BoundModel]:
    """Return the model with every dimension decided, for each batch size."""
    shapes = dict(spec.shapes)
    if spec.inputs:
        feeds, _ = user_feeds(Path(spec.inputs), model)
        shapes |= {name: array.shape for name, array in feeds[0].items()}
    return {
        group: replace(bind(model, batch, shapes, resolved.symbols), native=resolved.native)
        for group, batch in enumerate(spec.batches or (None,))
    }


@dataclass(frozen=True, slots=True)
class Jobs:
    """What the workers of all groups are given; see `Prepared`."""

    jobs: tuple[Job, ...]
    references: tuple[Job, ...]
    refused: tuple[Failure, ...]
    inputs: InputsInfo


def make_jobs(
    spec: Spec,
    model: Model,
    cells: Sequence[Cell],
    bound: Mapping[int, BoundModel],
    folder: RunFolder,
    progress: Progress,
    wake_fd: int | None = None,
) -> Jobs:
    """Return a job for each cell; the inputs of each batch size are written once.

    Every worker of a batch size reads the same bytes, and of a precision the same file.

    Raises:
        InterruptedRunError: If the user asked to stop while a file was converted.
    """
    jobs: list[Job] = []
    references: list[Job] = []
    refused: list[Failure] = []
    info = InputsInfo()
    for group in sorted({cell.group for cell in cells}):
        members = [cell for cell in cells if cell.group == group]
        path = folder.path / f"feeds-{group}.npz"
        feeds, info = _timed(spec, model, bound[group])
        save_feeds(path, feeds)
        given = bound[group]
        if any(cell.precision in CALIBRATED for cell in members):
            calibration = folder.path / f"calibration-{group}.npz"
            save_feeds(calibration, _calibration(spec, model, given))
            given = replace(given, calibration=calibration)
        files, missing = _at_each_precision(given, members, progress, wake_fd)
        refused += missing
        jobs += [
            Job(
                cell=cell,
                model=files.get(cell.file_precision, given),
                feeds=path,
                feed_count=len(feeds),
            )
            for cell in members
        ]
        references.append(replace(jobs[-1], model=given))
    return Jobs(tuple(jobs), tuple(references), tuple(refused), info)


def _at_each_precision(
    model: BoundModel, cells: Sequence[Cell], progress: Progress, wake_fd: int | None
) -> tuple[dict[str, BoundModel], list[Failure]]:
    """Return the model at each precision that a cell's file has, and why others have none."""
    files: dict[str, BoundModel] = {}
    refused: list[Failure] = []
    for precision in dict.fromkeys(cell.file_precision for cell in cells):
        try:
            files[precision] = narrowed(model, precision, progress, wake_fd)
        except InterruptedRunError:
            raise
        except (XbenchError, MemoryError, RuntimeError) as error:
            refused += [_refused(cell, error) for cell in cells if cell.file_precision == precision]
    return files, refused


def _refused(cell: Cell, error: Exception) -> Failure:
    reason = f"the conversion to {cell.precision} failed ({error})"
    status, fix = Status.CRASHED, f"Leave {cell.precision} out of --precision"
    if isinstance(error, XbenchError):
        missing = isinstance(error, BackendUnavailableError)
        status = Status.UNAVAILABLE if missing else Status.UNSUPPORTED
        reason, fix = error.reason, error.fix
    return Failure(
        cell=cell.id, launch=0, phase="conversion", status=status.value, reason=reason, fix=fix
    )


def _timed(spec: Spec, model: Model, bound: BoundModel) -> tuple[tuple[Feeds, ...], InputsInfo]:
    if spec.inputs:
        return user_feeds(Path(spec.inputs), model)
    return seeded_feeds(model, bound, spec.seed, spec.feeds)


def _calibration(spec: Spec, model: Model, bound: BoundModel) -> tuple[Feeds, ...]:
    """Return the sets that scales are chosen by: the user's, else drawn apart from those timed."""
    if path := spec.calibration or spec.inputs:
        sets = user_feeds(Path(path), model)[0]
        _refuse_other_shapes(sets, bound, path)
        return sets
    return seeded_feeds(model, bound, spec.seed + 1, CALIBRATION_SETS)[0]


def _refuse_other_shapes(sets: Sequence[Feeds], bound: BoundModel, path: str) -> None:
    """Raise unless every set fits the shapes that are measured.

    Raises:
        UsageError: With the input that does not.
    """
    for name, wanted in bound.shapes.items():
        found = next((one[name].shape for one in sets if one[name].shape != wanted), None)
        if found is not None:
            shapes = f"{format_shape(found)}, and {format_shape(wanted)} is measured"
            reason = f"{path} calibrates input {name!r} with {shapes}"
            raise UsageError(reason, "Give sets of that shape with --calibration")
