"""What a comparison found: the document that `--json` writes.

Schema history (`SCHEMA` is in every document; readers refuse a newer one):

1. First version. It has only grown since: a row's ``memory_bytes`` has, beside ``host``, ``device``
   and ``allocator``, what `xbench.telemetry.footprint.of_row` returns, where memory was read; a
   row's ``energy`` is what `xbench.telemetry.energy.Energy.to_json` returns, and None before. A
   row's ``label`` is its name where rows differ in more than the backend: comparisons use it.
   ``boundaries_ns`` has the median latency at each boundary, where a backend knows more than one.
   ``memory_bytes`` has ``device_reason`` and ``device_figures`` as
   `xbench.telemetry.device_memory.of_row` returns them. ``caps`` is what `xbench.caps.of_row`
   returns: a row with something in ``caps.broken`` is ``ok``, has a reason, and is not ranked.
   ``roofline`` is what `xbench.roofline.row.roofline_of` returns. ``began`` is when the run
   began, in UTC, such as ``2026-01-31T09:15:00Z``; None in runs before it was kept. ``load`` is
   what `xbench.rows` tells of a scenario beyond latency: a server's account, a search, a curve over
   minutes; None for a single stream. A server that is saturated, or for which a search found no
   rate, is ``ok``, has a reason and no latency, and is not ranked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA = 1

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}


class Status(StrEnum):
    """How a cell ended."""

    OK = "ok"
    UNSUPPORTED = "unsupported"
    PARITY_FAILED = "parity_failed"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    OOM_HOST = "oom_host"
    OOM_DEVICE = "oom_device"
    INTERRUPTED = "interrupted"
    UNAVAILABLE = "unavailable"


class Verdict(StrEnum):
    """What a ratio's interval allows to be said of the candidate."""

    FASTER = "faster"
    SLOWER = "slower"
    TIE = "tie"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds that it lies within, all in one unit."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency of the timed inferences, in nanoseconds.

    Attributes:
        n: How many inferences were timed.
        percentiles: By name (`PERCENTILES`); None where ``n`` is too small to bound it.
        needed: How many inferences a percentile that is None would need.
    """

    n: int
    mean: float
    min: float
    max: float
    percentiles: Mapping[str, Interval | None]
    needed: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the contract's ``latency_ns``: percentiles stand beside the moments."""
        flat = {name: asdict(i) if i else None for name, i in self.percentiles.items()}
        own = {"n": self.n, "mean": self.mean, "min": self.min, "max": self.max}
        return {**own, **flat, "needed": dict(self.needed)}


@dataclass(frozen=True, slots=True)
class Parity:
    """Agreement of the outputs of timed inferences with a reference.

    Attributes:
        status: ``agrees``, ``disagrees``, ``degenerate`` (the model's outputs carry no
            information, so agreement means nothing) or ``not_checked``.
        reference: What was compared with, such as ``onnxruntime:reference``.
        max_abs: Largest absolute difference over all outputs.
        max_rel: Largest difference over the reference's largest magnitude in that output.
        cosine: Smallest cosine similarity over the outputs.
        worst_output: The output with the largest relative difference.
        reason: Why it was not checked, or what is degenerate.
        structural: Whether they differ in what no tolerance allows: in shape, in type, in where
            they are finite, or in whole numbers or text.
    """

    status: str
    reference: str | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    cosine: float | None = None
    worst_output: str | None = None
    reason: str | None = None
    structural: bool = False


@dataclass(frozen=True, slots=True)
class Caution:
    """A doubt about a row: a code from the closed list, what it means here, what helps."""

    code: str
    text: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """One row. A cell that did not run keeps its row: with status, reason and fix.

    ``None`` is "not measured", never zero.

    Attributes:
        backend: ``adapter`` or ``adapter:variant``, with ``#2`` where it is named again.
        label: The same with its precision and device, where rows of the run differ in these.
    """

    id: int
    backend: str
    device: str
    batch: int | None
    precision: Mapping[str, str | None]
    threads: Mapping[str, int | None]
    boundary: str
    scenario: str
    status: Status
    backend_version: str | None = None
    reason: str | None = None
    fix: str | None = None
    latency_ns: Latency | None = None
    throughput_per_s: Interval | None = None
    import_s: float | None = None
    convert_s: float | None = None
    load_s: float | None = None
    first_inference_ns: int | None = None
    memory_bytes: Mapping[str, Any] = field(
        default_factory=lambda: {"host": None, "device": None, "allocator": None}
    )
    energy: Mapping[str, Any] | None = None
    parity: Parity = Parity("not_checked")
    fallback: Mapping[str, Any] | None = None
    importer: str | None = None
    overhead_ns: float | None = None
    launches: int = 0
    rounds: int = 0
    rank: int | None = None
    cautions: tuple[Caution, ...] = ()
    options: Mapping[str, str] | None = None
    label: str = ""
    boundaries_ns: Mapping[str, float | None] | None = None
    caps: Mapping[str, Any] | None = None
    roofline: Mapping[str, Any] | None = None
    load: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Return what tells the row from all others of its batch size."""
        return self.label or self.backend

    @property
    def ranked(self) -> bool:
        """Return whether this row may be compared with others."""
        measured = self.status is Status.OK and self.latency_ns is not None
        return measured and not (self.caps and self.caps["broken"])

    def to_json(self) -> dict[str, Any]:
        """Return the row as the contract spells it."""
        row = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in {"latency_ns", "throughput_per_s", "parity", "cautions", "status"}
        }
        row["label"] = self.name
        row["status"] = self.status.value
        row["latency_ns"] = self.latency_ns.to_json() if self.latency_ns else None
        row["throughput_per_s"] = asdict(self.throughput_per_s) if self.throughput_per_s else None
        row["parity"] = asdict(self.parity)
        row["cautions"] = [asdict(caution) for caution in self.cautions]
        return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two rows against each other, from the rounds in which both ran.

    Attributes:
        baseline: Backend label of the first row; `baseline_id` is its cell.
        candidate: Backend label of the second row.
        ratio: Baseline latency over candidate latency at p50: above 1, the candidate is
            faster. Of a search for the largest rate, the candidate's rate over the baseline's.
            None where either row did not run or may not be ranked.
        quiet_share: Share of the rounds in which the machine was undisturbed.
        disturbed_ratio: The ratio in the other rounds, or None.
        needed_s: For ``undetermined``: about how many more seconds would decide it.
    """

    baseline: str
    candidate: str
    baseline_id: int
    candidate_id: int
    ratio: Interval | None
    verdict: Verdict
    quiet_share: float | None = None
    disturbed_ratio: float | None = None
    needed_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as the contract spells it."""
        return {**asdict(self), "verdict": self.verdict.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A whole comparison, finished or interrupted.

    Attributes:
        model: name, sha256, opset, inputs, outputs, parameters, flops.
        host: The context that was captured.
        spec: What was asked for, enough to repeat it.
        timing: Seconds by phase of the run, and the parent's share of a core.
        cautions: Doubts about the run as a whole.
        folder: Where everything is kept, or None.
        interrupted: Whether the user stopped it.
        began: When, as `xbench.units.utc_text` writes it; a run that is resumed keeps it.
    """

    run_id: str
    model: Mapping[str, Any]
    host: Mapping[str, Any]
    spec: Mapping[str, Any]
    results: tuple[CellResult, ...]
    comparisons: tuple[Comparison, ...]
    timing: Mapping[str, float | None] = field(default_factory=dict)
    cautions: tuple[Caution, ...] = ()
    folder: str | None = None
    interrupted: bool = False
    began: str | None = None

    @property
    def exit_status(self) -> int:
        """Return 0 if every cell is ok, 1 if some is not, 130 if interrupted."""
        if self.interrupted:
            return 130
        return 0 if all(row.status is Status.OK for row in self.results) else 1

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` writes."""
        return {
            "schema": SCHEMA,
            "run_id": self.run_id,
            "began": self.began,
            "model": dict(self.model),
            "host": dict(self.host),
            "spec": dict(self.spec),
            "results": [row.to_json() for row in self.results],
            "comparisons": [one.to_json() for one in self.comparisons],
            "timing": dict(self.timing),
            "cautions": [asdict(caution) for caution in self.cautions],
            "interrupted": self.interrupted,
            "folder": self.folder,
        }
