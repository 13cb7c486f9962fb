"""What is said of a run, before anyone draws it.

Rows are compared within a group: the cells of one batch size. Rows of other devices and precisions
stand among them by their names, such as ``pytorch fp16 cuda:0``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from xbench.load.scenario import Kind
from xbench.report.numbers import inverse, latency_text, percentile_text, ratio_text, rounded
from xbench.report.text import clean
from xbench.result import Caution, CellResult, Comparison, Interval, Run, Status, Verdict

ABSENT = "-"
_PARITY_WORDS = {
    "agrees": "agree",
    "disagrees": "differ",
    "degenerate": "vacuous",
    "not_checked": "unchecked",
}
_STATUS_WORDS = {Status.OOM_HOST: "out of memory", Status.OOM_DEVICE: "out of device memory"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A ranked row, each cell as it is read.

    Attributes:
        rank: ``1``, or ``1=`` where several share it.
        ratio: Speed against the baseline with its interval, or empty for the baseline.
        verdict: A verdict's word, ``baseline``, or empty where nothing was compared.
        outputs: Whether the outputs of the timed inferences agree with the reference.
        loss: How far they lie from it, for a row of less precision than fp32; else empty.
    """

    rank: str
    backend: str
    version: str
    p50: str
    p99: str
    throughput: str
    ratio: str
    verdict: str
    outputs: str
    loss: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unranked:
    """A row that did not run, or whose numbers may not be compared.

    Attributes:
        measured: Its median latency, or empty where nothing was measured.
    """

    backend: str
    version: str
    status: str
    reason: str
    fix: str
    measured: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The cells that are compared with each other.

    Attributes:
        title: What sets this group apart from the run's others, or empty.
        baseline: The backend that the others are compared with, or None.
        comparisons: Those with the baseline, fastest candidate first.
        replaced: The backend that was to be the baseline and has no ratio, or None.
        lead: The fastest row over the next, where neither is the baseline and it is decided.
    """

    title: str
    baseline: str | None
    rows: tuple[Row, ...]
    unranked: tuple[Unranked, ...]
    comparisons: tuple[Comparison, ...]
    replaced: str | None
    lead: Comparison | None


@dataclass(frozen=True, slots=True)
class SharedCaution:
    """A caution and the rows that have it; no rows where it is about the whole run."""

    caution: Caution
    rows: tuple[str, ...]


def groups(run: Run) -> tuple[Group, ...]:
    """Return the run's groups, in the order of their first cells."""
    members = by_group(run.results)
    several = len(members) > 1
    return tuple(_group(run, cells, _title(batch, several)) for batch, cells in members.items())


def by_group(cells: Iterable[CellResult]) -> dict[int | None, list[CellResult]]:
    """Return the rows that are compared with each other, by the batch that they share.

    Those of an offline run share none: each has its own, and None stands for all.
    """
    members: dict[int | None, list[CellResult]] = {}
    for cell in cells:
        batch = None if cell.scenario == Kind.OFFLINE else cell.batch
        members.setdefault(batch, []).append(cell)
    return members


def shared_cautions(run: Run) -> tuple[SharedCaution, ...]:
    """Return every caution once, with the rows that share it; those of the run come first."""
    shared: dict[Caution, list[str]] = {caution: [] for caution in run.cautions}
    several = len(groups(run)) > 1
    for cell in run.results:
        name = f"{cell.name} (batch {cell.batch})" if several else cell.name
        for caution in cell.cautions:
            rows = shared.setdefault(caution, [])
            if clean(name) not in rows:
                rows.append(clean(name))
    return tuple(SharedCaution(caution, tuple(rows)) for caution, rows in shared.items())


def apart(run: Run) -> tuple[str, ...]:
    """Return ``("batch",)`` where the run's rows differ in it, else nothing."""
    return ("batch",) if len(by_group(run.results)) > 1 else ()


def named(cell: CellResult, differ: tuple[str, ...]) -> str:
    """Return a row's name in a table of all groups: with what sets its group apart."""
    setting = f"batch {cell.batch or 'of its own'}" if differ else ""
    return clean(f"{cell.name} ({setting})" if setting else cell.name)


def _title(batch: int | None, several: bool) -> str:
    """Return what sets a group apart from the run's others."""
    words = f"batch {batch}" if batch else "the model's own batch"
    return words if several else ""


def _group(run: Run, cells: list[CellResult], title: str) -> Group:
    ids = {cell.id for cell in cells}
    inside = [one for one in run.comparisons if {one.baseline_id, one.candidate_id} <= ids]
    first = next((one for one in inside if one.ratio), inside[0] if inside else None)
    against = [one for one in inside if first and one.baseline_id == first.baseline_id]
    by_candidate = {one.candidate_id: one for one in against}
    ranked = sorted((cell for cell in cells if cell.ranked), key=_order)
    return Group(
        title=title,
        baseline=clean(first.baseline) if first else None,
        rows=tuple(_row(cell, ranked, by_candidate, first) for cell in ranked),
        unranked=tuple(_unranked(cell) for cell in cells if not cell.ranked),
        comparisons=tuple(sorted(against, key=lambda one: -one.ratio.value if one.ratio else 0.0)),
        replaced=clean(cells[0].name) if first and first.baseline_id != cells[0].id else None,
        lead=_lead(ranked, inside, first),
    )


def _lead(
    ranked: list[CellResult], inside: list[Comparison], first: Comparison | None
) -> Comparison | None:
    """Return the fastest row's comparison with the next: a baseline need not be among them."""
    if first is None or len(ranked) < 2 or (ranked[0].rank, ranked[1].rank) != (1, 2):
        return None
    pair = (ranked[1].id, ranked[0].id)
    found = next((one for one in inside if {one.baseline_id, one.candidate_id} == {*pair}), None)
    if found is None or found.ratio is None or first.baseline_id in pair:
        return None
    lead = found if found.candidate_id == ranked[0].id else _turned(found, found.ratio)
    return lead if lead.verdict is Verdict.FASTER else None


def _turned(one: Comparison, ratio: Interval) -> Comparison:
    """Return a comparison with its sides exchanged."""
    other = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    return replace(
        one,
        baseline=one.candidate,
        candidate=one.baseline,
        baseline_id=one.candidate_id,
        candidate_id=one.baseline_id,
        ratio=inverse(ratio),
        verdict=other.get(one.verdict, one.verdict),
        disturbed_ratio=1 / one.disturbed_ratio if one.disturbed_ratio else None,
    )


def _order(cell: CellResult) -> tuple[float, float, int]:
    """Return where a cell stands: by rank, then by median latency in nanoseconds."""
    p50 = cell.latency_ns.percentiles.get("p50") if cell.latency_ns else None
    last = float("inf")
    return (last if cell.rank is None else cell.rank, p50.value if p50 else last, cell.id)


def _row(
    cell: CellResult,
    ranked: Iterable[CellResult],
    by_candidate: dict[int, Comparison],
    first: Comparison | None,
) -> Row:
    assert cell.latency_ns is not None  # that is what `ranked` means
    comparison = by_candidate.get(cell.id)
    verdict = comparison.verdict.value if comparison and comparison.ratio else ""
    if first and cell.id == first.baseline_id:
        verdict = "baseline"
    return Row(
        rank=_rank(cell, ranked),
        backend=clean(cell.name),
        version=clean(cell.backend_version or ""),
        p50=percentile_text(cell.latency_ns, "p50"),
        p99=percentile_text(cell.latency_ns, "p99"),
        throughput=rounded(cell.throughput_per_s) if cell.throughput_per_s else ABSENT,
        ratio=ratio_text(comparison.ratio) if comparison and comparison.ratio else "",
        verdict=verdict,
        outputs=_PARITY_WORDS.get(cell.parity.status, clean(cell.parity.status)),
        loss=_loss(cell),
    )


def _loss(cell: CellResult) -> str:
    """Return how far a row of less precision lies from the fp32 reference, such as ``off 0.4%``."""
    if cell.precision.get("requested") == "fp32" or cell.parity.max_rel is None:
        return ""
    return f"off {100 * cell.parity.max_rel:.2g}%"


def _rank(cell: CellResult, ranked: Iterable[CellResult]) -> str:
    if cell.rank is None:
        return ABSENT
    sharing = sum(other.rank == cell.rank for other in ranked)
    return f"{cell.rank}=" if sharing > 1 else f"{cell.rank}"


def _unranked(cell: CellResult) -> Unranked:
    status = _STATUS_WORDS.get(cell.status, cell.status.value.replace("_", " "))
    if cell.status is Status.OK and cell.caps and cell.caps["broken"]:
        status = "cap not held"
    elif cell.status is Status.OK and cell.load:
        status = "saturated" if cell.load.get("saturated") else "no rate found"
    p50 = cell.latency_ns.percentiles.get("p50") if cell.latency_ns else None
    return Unranked(
        backend=clean(cell.name),
        version=clean(cell.backend_version or ""),
        status=status,
        reason=clean(cell.reason or _parity_reason(cell)),
        fix=clean(cell.fix or ""),
        measured=latency_text(p50) if p50 else "",
    )


def _parity_reason(cell: CellResult) -> str:
    """Return where and how far the outputs lie apart, if that is why a row is not ranked."""
    parity = cell.parity
    if parity.status != "disagrees" or parity.max_rel is None:
        return parity.reason or ""
    return f"output {parity.worst_output!r} differs by {parity.max_rel:.2g} of its largest value"
