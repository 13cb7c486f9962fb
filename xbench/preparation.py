"""What the workers of a run are given: the model with its dimensions decided, and input sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xbench.adapter import BoundModel
from xbench.catalog import Resolved
from xbench.errors import (
    BackendUnavailableError,
    InterruptedRunError,
    ShapeError,
    UsageError,
    XbenchError,
)
from xbench.inputs import Feeds, InputsInfo, save_feeds, seeded_feeds, user_feeds
from xbench.load.runs import sizes_for
from xbench.load.scenario import Kind
from xbench.members import Job, Size
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
        bound: The model at each batch, and at those that are yet to be needed.
        host: The machine and its state.
        folder: Where the run is kept.
        loads: By cell id, what a search told before the comparison.
    """

    model: Model
    cells: tuple[Cell, ...]
    jobs: tuple[Job, ...]
    references: tuple[Job, ...]
    refused: tuple[Failure, ...]
    inputs: InputsInfo
    bound: Bindings
    host: Mapping[str, Any]
    folder: RunFolder
    loads: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


def terms_of(spec: Spec) -> Terms:
    """Return what the user says of a model besides its name."""
    inputs = Path(spec.inputs) if spec.inputs else None
    return Terms(trusted=spec.trust, shapes=spec.shapes, inputs=inputs)


class Bindings:
    """The model with every dimension decided, for each batch that a run needs; by number.

    Args:
        spec: What was asked for.
        model: The model.
        resolved: Where it came from.

    Raises:
        ShapeError: If a batch or a shape does not fit.
    """

    def __init__(self, spec: Spec, model: Model, resolved: Resolved) -> None:
        self._model, self._resolved = model, resolved
        self._shapes = dict(spec.shapes)
        if spec.inputs:
            feeds, _ = user_feeds(Path(spec.inputs), model)
            self._shapes |= {name: array.shape for name, array in feeds[0].items()}
        self._bound: dict[int | None, BoundModel] = {}
        self._batches = spec.batches or (self._query(spec),)
        for batch in self._batches:
            self.number(batch)

    def number(self, batch: int | None) -> int:
        """Return the number of the binding at a batch, made where there is none."""
        if batch not in self._bound:
            bound = bind(self._model, batch, self._shapes, self._resolved.symbols)
            self._bound[batch] = replace(bound, native=self._resolved.native)
        return list(self._bound).index(batch)

    def of_group(self, group: int) -> int:
        """Return the number of the binding that the cells of a group share."""
        return self.number(self._batches[group])

    def __getitem__(self, number: int) -> BoundModel:
        return list(self._bound.values())[number]

    def _query(self, spec: Spec) -> int | None:
        """Return the batch that is a query of several samples; None where the model fixes it."""
        if spec.load.kind is not Kind.MULTI_STREAM:
            return None
        try:
            bind(self._model, spec.load.samples, self._shapes, self._resolved.symbols)
        except ShapeError:
            return None
        return spec.load.samples


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
    bound: Bindings,
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
    for number in sorted({cell.binding for cell in cells}):
        members = [cell for cell in cells if cell.binding == number]
        path, count, info = _written(spec, model, bound, number, folder)
        sizes = _sizes(spec, model, bound, folder)
        given = bound[number]
        if any(cell.precision in CALIBRATED for cell in members):
            calibration = folder.path / f"calibration-{number}.npz"
            save_feeds(calibration, _calibration(spec, model, given))
            given = replace(given, calibration=calibration)
        files, missing = _at_each_precision(given, members, progress, wake_fd)
        refused += missing
        made = [
            Job(
                cell=cell,
                model=files.get(cell.file_precision, given),
                feeds=path,
                feed_count=count,
                sizes=_narrowed(sizes, files.get(cell.file_precision, given)),
                repeats=_repeats(cell),
            )
            for cell in members
        ]
        jobs += made
        references.append(replace(made[-1], model=given, sizes=()))
        references += [_reference(made[-1], one) for one in sizes]
    return Jobs(tuple(jobs), tuple(references), tuple(refused), info)


def _written(
    spec: Spec, model: Model, bound: Bindings, number: int, folder: RunFolder
) -> tuple[Path, int, InputsInfo]:
    """Return where the inputs of a binding are, how many sets, and what is doubtful about them."""
    path = folder.path / f"feeds-{number}.npz"
    feeds, info = _timed(spec, model, bound[number])
    save_feeds(path, feeds)
    return path, len(feeds), info


def _sizes(spec: Spec, model: Model, bound: Bindings, folder: RunFolder) -> tuple[Size, ...]:
    """Return the model at the batches of several requests that a server may make."""
    found = []
    for batch in sizes_for(spec.load.max_batch)[1:]:
        number = bound.number(batch)
        path, _, _ = _written(spec, model, bound, number, folder)
        found.append(Size(batch, number, bound[number], path))
    return tuple(found)


def _narrowed(sizes: Sequence[Size], file: BoundModel) -> tuple[Size, ...]:
    """Return the sizes of the same file that a cell is given at a batch of one."""
    return tuple(
        replace(one, model=replace(file, inputs=one.model.inputs, symbols=one.model.symbols))
        for one in sizes
    )


def _reference(job: Job, size: Size) -> Job:
    """Return the job that gives the reference's outputs at a size."""
    cell = replace(job.cell, binding=size.binding)
    return replace(job, cell=cell, model=size.model, feeds=size.feeds, sizes=())


def _repeats(cell: Cell) -> int:
    """Return the inferences of one query: several where the model fixes a smaller batch.

    Raises:
        UsageError: If a query is no whole number of them.
    """
    load, batch = cell.load, cell.batch or 1
    if load.kind is not Kind.MULTI_STREAM:
        return 1
    if load.samples % batch:
        reason = f"the model's batch is {batch}, and a query of {load.samples} is no multiple"
        raise UsageError(reason, f"Ask for multi-stream:{batch}, or a multiple of {batch}")
    if load.samples > batch and cell.boundary != "host":
        reason = f"a query of {load.samples // batch} inferences is timed at the host"
        raise UsageError(reason, "Leave out --boundary")
    return load.samples // batch


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
