"""One comparison from the request to the result: the way of the data on one screen."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from xbench.adapter import Limits
from xbench.caps import asked_limits, refuse_batches
from xbench.catalog import resolve
from xbench.conductor import Conductor
from xbench.errors import InterruptedRunError, UsageError
from xbench.following import inference_flops
from xbench.gate import judge, run_reference
from xbench.host import capture_context
from xbench.imitated import device_floors
from xbench.interrupts import Interrupts
from xbench.lengths import batch_length
from xbench.load.scenario import Kind
from xbench.lock import machine_to_itself
from xbench.model import Model, read_model
from xbench.offline import OfflineRows
from xbench.plan import Cell, Spec, Target, plan_cells, spec_from_json
from xbench.preparation import Bindings, Prepared, make_jobs, terms_of
from xbench.progress import Progress, Silent
from xbench.registry import expand, made_for, precisions
from xbench.result import Run
from xbench.roofline.run import Rooflines, rooflines
from xbench.samples import Samples
from xbench.store import FORMAT, SAMPLES, RunFolder, read_lines, read_run, read_samples
from xbench.summary import Measured, summarise
from xbench.units import utc_text
from xbench.weights import weights_health


def compare(
    model: str | Path,
    backends: Sequence[str] = ("all",),
    *,
    out: Path | str | None = None,
    progress: Progress | None = None,
    **asked: Any,
) -> Run:
    """Return the comparison of ``backends`` on ``model``: what ``xbench compare`` prints.

    Args:
        model: A path or a name, as `xbench compare` takes it.
        backends: ``adapter`` or ``adapter:variant``; the first is the baseline.
        out: Where to keep the run; ``None`` names a folder in ``xbench-runs``.
        progress: Hears of each step.
        asked: Any other field of `xbench.plan.Spec`, such as ``threads=2``.

    Raises:
        XbenchError: If the request cannot be met; a cell that fails is a row, no error.
    """
    wanted = (backends,) if isinstance(backends, str) else tuple(backends)
    spec = Spec(model=str(model), backends=wanted, **asked)
    return run(spec, out=Path(out) if out else None, progress=progress or Silent())


def run(
    spec: Spec,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Return the run that ``spec`` asks for, or the rest of the one in ``resume``.

    The first Ctrl-C ends the run with what was measured; the second stops at once.

    Raises:
        XbenchError: If the request cannot be met.
        KeyboardInterrupt: At the second Ctrl-C; no worker is left.
    """
    hears = progress or Silent()
    with Interrupts(
        lambda: hears.note("Stopping: this turn ends, then the report follows.")
    ) as stop:
        comparison = _Comparison(spec, out, resume, hears, stop)
        try:
            return comparison.run()
        finally:
            comparison.close()


class _Comparison:
    """The steps of one run, and what they hand on."""

    def __init__(
        self, spec: Spec, out: Path | None, resume: Path | None, hears: Progress, stop: Interrupts
    ) -> None:
        self._start_s = time.monotonic()
        self._resumed = resume is not None
        self._earlier = read_samples(resume) if resume else None
        self._kept = read_run(resume) if resume else None
        if self._kept and "tune" in self._kept:
            fix = "Start the search again with xbench tune"
            raise UsageError(f"{resume} is a search for a configuration, and no comparison", fix)
        self._spec = spec_from_json(self._kept["spec"]) if self._kept else spec
        self._began = self._kept.get("began") if self._kept else utc_text(time.time())
        self._out = resume or out
        self._opened: RunFolder | None = None
        self._hears, self._stop = hears, stop
        if resume and (lost := read_lines(resume).lost):
            hears.note(f"{lost} of the lines in {resume / SAMPLES} are damaged, and left out.")

    def close(self) -> None:
        """Let another process write in the run folder."""
        if self._opened is not None:
            self._opened.close()

    def run(self) -> Run:
        """Go through the steps."""
        prepared = self._prepare()
        prepared_s = time.monotonic() - self._start_s
        with machine_to_itself(self._hears, self._stop):
            prepared = self._at_own_batches(prepared)
            measured, timing = self._measure(prepared)
        summary = summarise(measured)
        folder = prepared.folder
        total_s = time.monotonic() - self._start_s
        found = Run(
            run_id=folder.path.name,
            model=prepared.model.to_json(),
            host=prepared.host,
            spec=asdict(self._spec),
            results=summary.rows,
            comparisons=summary.comparisons,
            timing={"total_s": total_s, "prepare_s": prepared_s, **timing},
            cautions=summary.cautions,
            folder=str(folder.path),
            interrupted=self._stop.requested,
            began=self._began,
        )
        folder.conclude(found.to_json())
        folder.drop_outputs()
        return found

    def _prepare(self) -> Prepared:
        """Find the model and all that workers are given of it."""
        spec = self._spec
        spec.check()
        limits = asked_limits(spec)
        _refuse_tf32_on_cpus(spec, limits)
        expand(spec.backends)  # a wrong name is told before anything is built
        resolved = resolve(spec.model, spec.seed, self._hears, self._stop.wake_fd, terms_of(spec))
        targets = _targets(spec, limits, resolved.framework)
        cells = plan_cells(spec, targets, precisions([b for one in targets for b in one.backends]))
        self._hears.phase(f"reading {resolved.name}")
        model = read_model(resolved.path, resolved.name)
        self._refuse_another(model)
        bound = Bindings(spec, model, resolved)
        model = replace(model, flops=inference_flops(bound[0]))
        cells = tuple(_bound(cell, model, bound, bound.of_group(cell.group)) for cell in cells)
        refuse_batches(spec, [cell.batch for cell in cells])
        host = capture_context()
        folder = self._opened = self._folder(model)
        made = make_jobs(spec, model, cells, bound, folder, self._hears, self._stop.wake_fd)
        self._keep_request(folder, model, host)
        return Prepared(
            model=model,
            cells=cells,
            jobs=made.jobs,
            references=made.references,
            refused=made.refused,
            inputs=made.inputs,
            bound=bound,
            host=host,
            folder=folder,
        )

    def _at_own_batches(self, prepared: Prepared) -> Prepared:
        """Return each row of an offline run at the batch that its throughput saturates at."""
        if self._spec.load.kind is not Kind.OFFLINE:
            return prepared
        earlier = self._earlier.loads if self._earlier else {}
        rows = OfflineRows(self._spec, prepared, self._stop, self._hears)
        try:
            return rows.at_own_batches(earlier)
        except InterruptedRunError:
            return prepared

    def _measure(self, prepared: Prepared) -> tuple[Measured, dict[str, float | None]]:
        """Return all that was measured, and the seconds that it took by phase."""
        jobs, folder, started_s = prepared.jobs, prepared.folder, time.monotonic()
        missing: str | None = "the run was stopped first"
        earlier = self._with_refused(prepared)
        conductor = Conductor(self._spec, jobs, folder, self._hears, self._stop, earlier=earlier)
        samples, roofs, roofs_s = conductor.samples(), Rooflines(), 0.0
        try:
            references, timeout_s = prepared.references, self._spec.timeout_s
            missing = run_reference(references, folder, self._stop, timeout_s, self._hears)
            reference_s = time.monotonic() - started_s
            if self._spec.roofline:
                roofs = rooflines(jobs, folder, self._stop, self._hears)
            roofs_s = time.monotonic() - started_s - reference_s
            samples = conductor.run()
        except InterruptedRunError:
            reference_s = time.monotonic() - started_s
        measured_s = time.monotonic() - started_s
        self._hears.phase("comparing outputs")
        measured = Measured(
            spec=self._spec,
            model=prepared.model,
            cells=prepared.cells,
            samples=samples,
            parities=judge(folder, prepared.cells, missing),
            inputs=prepared.inputs,
            weights=weights_health(prepared.model.path),
            host=prepared.host,
            floors=device_floors(jobs, self._spec.profile),
            rooflines=roofs,
            spent_s=measured_s - reference_s - roofs_s - conductor.seconds["energy"],
            resumed=self._resumed,
            unsaved=folder.problem,
        )
        return measured, {
            "reference_s": reference_s,
            "roofline_s": roofs_s,
            **_timing(conductor),
        }

    def _with_refused(self, prepared: Prepared) -> Samples:
        """Return what an earlier run measured, with the rows that cannot be measured at all."""
        earlier = self._earlier or Samples((), (), (), {})
        told = {failure.cell for failure in earlier.failures}
        refused = tuple(one for one in prepared.refused if one.cell not in told)
        for failure in refused:
            prepared.folder.failure(failure)
            self._hears.note(f"{prepared.cells[failure.cell].label}: {failure.reason}.")
        loads = {**earlier.loads, **prepared.loads}
        return replace(earlier, failures=earlier.failures + refused, loads=loads)

    def _folder(self, model: Model) -> RunFolder:
        if self._resumed and self._out:
            return RunFolder(self._out)
        name = time.strftime("%Y%m%d-%H%M%S-") + _as_file_name(model.name)
        if self._out:
            return RunFolder.create(self._out)
        return RunFolder.create_beside(Path("xbench-runs") / name)

    def _refuse_another(self, model: Model) -> None:
        if self._kept and self._kept["model"]["sha256"] != model.sha256:
            fix = "Start a new comparison; samples of two models are never mixed"
            raise UsageError(f"the model has changed since {self._out} was begun", fix)

    def _keep_request(self, folder: RunFolder, model: Model, host: Mapping[str, Any]) -> None:
        if self._resumed:
            return
        document = {"format": FORMAT, "spec": asdict(self._spec), "model": model.to_json()}
        folder.write_json("run.json", {**document, "began": self._began, "host": host})


def _bound(cell: Cell, model: Model, bound: Bindings, number: int) -> Cell:
    """Return the cell at a binding, with what that makes its batch."""
    return replace(cell, binding=number, batch=batch_length(model.inputs, bound[number].inputs))


def _targets(spec: Spec, limits: Sequence[Limits], framework: str | None) -> list[Target]:
    """Return the backends of each device.

    One that was named although it is made for other devices has a row that says so, unless its own
    kind of device was asked for besides.
    """
    targets = []
    for own in limits:
        backends = expand(spec.backends, framework, own.device)
        if len(limits) > 1:
            backends = tuple(one for one in backends if made_for(one, own.device))
        targets.append(Target(own, backends))
    return targets


def _refuse_tf32_on_cpus(spec: Spec, limits: Sequence[Limits]) -> None:
    if "tf32" in spec.precisions and all(own.device == "cpu" for own in limits):
        fix = "Ask for fp32, or name a GPU with --device"
        raise UsageError("tf32 is arithmetic of NVIDIA GPUs, and a CPU has none", fix)


def _timing(conductor: Conductor) -> dict[str, float | None]:
    """Return seconds by phase, and the parent's share of a core while workers measured."""
    seconds: dict[str, float | None] = {f"{k}_s": v for k, v in conductor.seconds.items()}
    measuring_s = conductor.seconds["measure"]
    share = conductor.parent_cpu_s / measuring_s if measuring_s else None
    return {**seconds, "parent_cpu_share": share}


def _as_file_name(text: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in text)
    return kept[:60].lstrip(".") or "model"
