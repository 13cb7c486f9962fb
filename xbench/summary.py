"""From samples to rows, ratios, verdicts and ranks: derived, never stored by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean, median
from typing import Any

from xbench import caps
from xbench.cautions import RowEvidence, RunEvidence, row_cautions, run_cautions
from xbench.inputs import InputsInfo
from xbench.metering import why_none
from xbench.model import Model
from xbench.pairs import Pairs
from xbench.plan import Cell, Spec
from xbench.result import Caution, CellResult, Comparison, Parity, Status
from xbench.roofline.run import Rooflines
from xbench.rounds import Rounds
from xbench.rows import OfCell, of_cell, with_load
from xbench.samples import Launched, Samples
from xbench.telemetry import device_memory, footprint
from xbench.weights import WeightsHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All that the rows are made from.

    Attributes:
        parities: By cell id.
        inputs: What is doubtful about the inputs.
        weights: What is doubtful about the weights.
        spent_s: Seconds from the first worker's start to the last one's end.
        rooflines: What the rows are put beside.
        floors: By cell id, what the device that it imitates could do at best, where it does.
        resumed: Whether an earlier run was taken up again.
        unsaved: Why the last samples are not on the disk, or None.
    """

    spec: Spec
    model: Model
    cells: tuple[Cell, ...]
    samples: Samples
    parities: Mapping[int, Parity]
    inputs: InputsInfo
    weights: WeightsHealth
    host: Mapping[str, Any]
    spent_s: float
    floors: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    rooflines: Rooflines = field(default_factory=Rooflines)
    resumed: bool = False
    unsaved: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What the samples say: a row a cell, a comparison a pair, and doubts about the whole."""

    rows: tuple[CellResult, ...]
    comparisons: tuple[Comparison, ...]
    cautions: tuple[Caution, ...]


def summarise(measured: Measured) -> Summary:
    """Return what the samples say."""
    rounds = Rounds(measured.samples.epochs, {cell.id: cell.samples for cell in measured.cells})
    pairs = Pairs(measured.spec, measured.cells, rounds, measured.spent_s)
    bare = rows(measured, rounds)
    compared = pairs.comparisons(bare)
    ranked = zip(bare, pairs.ranks(bare), strict=True)
    found = tuple(replace(row, rank=rank) for row, rank in ranked)
    return Summary(found, compared, run_cautions(_run_evidence(measured, compared, rounds)))


def _run_evidence(
    measured: Measured, compared: Sequence[Comparison], rounds: Rounds
) -> RunEvidence:
    load, cpus = measured.host.get("load_average"), measured.cells[0].limits.cpus
    return RunEvidence(
        spec=measured.spec,
        launches=len({launch for launch, _ in rounds.every()}),
        ratios=tuple(one.ratio for one in compared if one.ratio),
        quiet_share=rounds.quiet_share(),
        throttled_share=rounds.throttled_share(),
        load_share=load[0] / len(cpus) if load and cpus else None,
        denormals=measured.weights.denormals,
        nonfinite=measured.weights.nonfinite,
        input_doubts=measured.inputs.doubts,
        resumed=measured.resumed,
        unsaved=measured.unsaved,
    )


def rows(measured: Measured, rounds: Rounds) -> tuple[CellResult, ...]:
    """Return a row for every cell, in the order of the cells, without a rank."""
    quiet = rounds.quiet()
    return tuple(
        _row(measured, cell, of_cell(measured.samples, cell.id, quiet)) for cell in measured.cells
    )


def _row(measured: Measured, cell: Cell, own: OfCell) -> CellResult:
    status, reason, fix = _status(measured, cell, own)
    row = CellResult(
        id=cell.id,
        backend=cell.label.partition(" ")[0],
        label=cell.label,
        device=cell.limits.device,
        batch=cell.batch,
        precision={"requested": cell.precision, "effective": None},
        threads={"requested": cell.limits.threads, "effective": None},
        boundary=cell.boundary,
        scenario=cell.scenario,
        status=status,
        reason=reason,
        fix=fix,
        parity=measured.parities.get(cell.id, Parity("not_checked", reason="did not run")),
        launches=len({epoch.launch for epoch in own.epochs}),
        rounds=len(own.epochs),
        energy=measured.samples.energies.get(cell.id)
        or why_none(measured.spec, cell, failed=own.failure is not None),
    )
    row = _with_launches(row, own.launched) if own.launched else row
    row = with_load(row, cell, own, measured.samples.loads.get(cell.id)) if own.epochs else row
    row = replace(_with_caps(measured, row, cell, own), roofline=measured.rooflines.of(cell, row))
    return replace(row, cautions=row_cautions(_row_evidence(measured, cell, own, row)))


def _row_evidence(measured: Measured, cell: Cell, own: OfCell, row: CellResult) -> RowEvidence:
    share = 0.0
    if row.latency_ns and row.overhead_ns:
        share = row.overhead_ns / row.latency_ns.mean
    return RowEvidence(
        spec=measured.spec,
        cell=cell,
        launched=own.launched,
        epochs=own.quiet,
        parity=row.parity,
        overhead_share=share,
        memory_spread=footprint.relative_spread(_memories(own.launched)),
        memory_doubts=(
            *footprint.doubts(_memories(own.launched)),
            *device_memory.doubts(row.memory_bytes),
        ),
        energy_notes=_energy_notes(row.energy),
        gpu=tuple(epoch.gpu for epoch in own.epochs if epoch.gpu),
        load=row.load,
    )


def _status(measured: Measured, cell: Cell, own: OfCell) -> tuple[Status, str | None, str | None]:
    if own.failure:
        reason = own.failure.reason
        if own.epochs:
            reason += f" (launch {own.failure.launch + 1}, after {len(own.epochs)} rounds)"
        return Status(own.failure.status), reason, own.failure.fix
    if not own.epochs:
        why = "the run was stopped before it was measured"
        return Status.INTERRUPTED, why, "Finish the run with --resume"
    parity = measured.parities.get(cell.id)
    if parity and parity.status == "disagrees":
        reason = parity.reason or f"output {parity.worst_output!r} differs from {parity.reference}"
        return Status.PARITY_FAILED, reason, "Look at the worst output; it is not ranked"
    return Status.OK, None, None


def _with_launches(row: CellResult, launched: Sequence[Launched]) -> CellResult:
    facts = launched[0].facts
    converted = [one.facts.convert_s for one in launched if one.facts.convert_s is not None]
    return replace(
        row,
        backend_version=launched[0].version,
        precision={**row.precision, "effective": facts.precision},
        threads={
            **row.threads,
            "effective": max(one.busy_threads for one in launched),
            "runtime": facts.threads,
        },
        import_s=fmean(one.import_s for one in launched),
        load_s=fmean(one.load_s for one in launched),
        convert_s=fmean(converted) if converted else None,
        first_inference_ns=round(fmean(one.first_inference_ns for one in launched)),
        memory_bytes={
            **row.memory_bytes,
            "allocator": facts.allocator_bytes,
            **footprint.of_row(_memories(launched)),
            **device_memory.of_row([one.device_memory for one in launched], row.device),
        },
        fallback=asdict(facts.fallback) if facts.fallback else None,
        importer=facts.importer,
        overhead_ns=fmean(one.overhead_ns for one in launched),
        options=facts.options,
        boundaries_ns=_boundaries_ns(launched),
    )


def _boundaries_ns(launched: Sequence[Launched]) -> dict[str, float | None] | None:
    """Return the median over the launches of what each told of each boundary."""
    told = [one.boundaries_ns for one in launched if one.boundaries_ns]
    found: dict[str, float | None] = {}
    for name in told[0] if told else ():
        known = [value for one in told if (value := one.get(name)) is not None]
        found[name] = median(known) if known else None
    return found or None


def _energy_notes(energy: Mapping[str, Any] | None) -> tuple[str, ...]:
    return tuple(note for one in (energy or {}).get("figures", ()) for note in one["notes"])


def _memories(launched: Sequence[Launched]) -> list[Mapping[str, Any]]:
    return [one.memory for one in launched if one.memory is not None]


def _with_caps(measured: Measured, row: CellResult, cell: Cell, own: OfCell) -> CellResult:
    """Return the row with what is known of its caps, and why it is not ranked if one broke."""
    told = caps.of_row(cell.limits, own.launched, own.quiet)
    told["floor"] = measured.floors.get(cell.id)
    if row.status is Status.OK and told["broken"]:
        why = f"its caps did not hold: {'; '.join(told['broken'])}"
        return replace(row, caps=told, reason=why, fix=caps.BROKEN_FIX)
    return replace(row, caps=told)
