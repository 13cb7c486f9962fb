"""Runs built by hand, and a strategy for runs of every kind."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from xbench.adapter import BOUNDARIES
from xbench.result import (
    PERCENTILES,
    Caution,
    CellResult,
    Comparison,
    Interval,
    Latency,
    Parity,
    Run,
    Status,
    Verdict,
)
from xbench.telemetry.energy import Energy
from xbench.telemetry.tally import Figure


def interval(value: float, share: float = 0.01) -> Interval:
    return Interval(value, value * (1 - share), value * (1 + share))


def latency(p50_ns: float, n: int = 700) -> Latency:
    needed = {"p50": 9, "p90": 64, "p95": 130, "p99": 662, "p99_9": 6636}
    percentiles = {
        name: interval(p50_ns * (1 + (q - 50) / 500), 0.004) if n >= needed[name] else None
        for name, q in PERCENTILES.items()
    }
    missing = {name: count for name, count in needed.items() if n < count}
    return Latency(n, p50_ns, p50_ns * 0.9, p50_ns * 3, percentiles, missing)


def cell(
    number: int,
    backend: str,
    p50_ns: float | None = None,
    rank: int | None = None,
    *,
    n: int = 700,
    **own: Any,
) -> CellResult:
    """Return a row; without a latency it is one that did not run."""
    ran = p50_ns is not None
    fields: dict[str, Any] = {
        "device": "cpu",
        "batch": 1,
        "precision": {"requested": "fp32", "effective": "fp32" if ran else None},
        "threads": {"requested": 2, "effective": 2 if ran else None},
        "boundary": "host",
        "scenario": "single-stream",
        "status": Status.OK if ran else Status.CRASHED,
        "latency_ns": latency(p50_ns, n) if p50_ns is not None else None,
        "throughput_per_s": interval(1e9 / p50_ns) if p50_ns is not None else None,
        "parity": Parity("agrees", "onnxruntime:reference") if ran else Parity("not_checked"),
        "launches": 5 if ran else 0,
        "rounds": 60 if ran else 0,
    }
    return CellResult(id=number, backend=backend, rank=rank, **fields | own)


def memory(peak: int | None, steady: int, tax: int, model: int | None) -> dict[str, Any]:
    """Return the memory of a row, in bytes, as `xbench.telemetry.footprint.of_row` does."""

    def spread(size: int | None) -> dict[str, int] | None:
        return None if size is None else {"median": size, "min": size, "max": size + 1}

    return {
        "host": peak,
        "device": None,
        "allocator": None,
        "peak": spread(peak),
        "import": spread(tax),
        "inputs": spread(0),
        "model": {"peak": spread(model), "resident": spread(steady)},
        "phases": {"steady": {"rss": steady}},
    }


def energy(per_inference_j: Interval | None, label: str, fix: str | None = None) -> dict[str, Any]:
    """Return the energy of a row, as `xbench.telemetry.energy.Energy.to_json` does."""
    known = per_inference_j is not None
    figure = Figure(
        meter="rapl package-0",
        device="cpu",
        scope="package",
        label=label,
        per_inference_j=per_inference_j,
        load_w=interval(61.44, 0.001) if known else None,
        idle_w=interval(9.1, 0.001) if known else None,
        fix=fix,
    )
    return Energy((figure,)).to_json()


NO_RAPL = energy(None, "unavailable:there is no RAPL here", "Measure on the bare machine")


def versus(
    baseline: CellResult, candidate: CellResult, ratio: Interval | None, verdict: str, **own: Any
) -> Comparison:
    return Comparison(
        baseline=baseline.name,
        candidate=candidate.name,
        baseline_id=baseline.id,
        candidate_id=candidate.id,
        ratio=ratio,
        verdict=Verdict(verdict),
        **own,
    )


def run_of(
    results: tuple[CellResult, ...], comparisons: tuple[Comparison, ...] = (), **own: Any
) -> Run:
    fields: dict[str, Any] = {
        "run_id": "20260101-120000-toy",
        "model": {"name": "toy", "sha256": "ab" * 32, "opset": 18, "parameters": 3_500_000},
        "host": {
            "devices": [{"name": "cpu", "model": "A CPU"}, {"name": "cuda:0", "model": "A GPU"}],
            "virtualisation": "virtual machine",
        },
        "spec": {"seed": 7, "time_budget_s": 100.0},
        "timing": {"total_s": 118.0},
        "folder": "xbench-runs/20260101-120000-toy",
    }
    return Run(results=results, comparisons=comparisons, **fields | own)


def typical() -> Run:
    """Return a run with a winner, a tie, an open question and two rows that failed."""
    own: dict[str, Any] = {"energy": energy(interval(0.0412), "measured:counter")}
    held = memory(220 << 20, 181 << 20, 45 << 20, 130 << 20)
    ort = cell(0, "onnxruntime", 4.9e6, 2, backend_version="1.32.0", memory_bytes=held, **own)
    fast = cell(1, "openvino", 4.12e6, 1, n=600, backend_version="2026.4.1", energy=NO_RAPL)
    tied = cell(2, "pytorch:compile", 4.95e6, 2, backend_version="2.13.0")
    slow = cell(3, "pytorch", 9.8e6, 4, backend_version="2.13.0")
    unsure = cell(4, "litert", 4.8e6, 2)
    absent = cell(
        5,
        "tensorflow",
        status=Status.UNAVAILABLE,
        reason="tensorflow is not installed",
        fix="pip install 'xbench[tensorflow]'",
    )
    wrong = cell(
        6,
        "acme",
        3e6,
        status=Status.PARITY_FAILED,
        parity=Parity("disagrees", "onnxruntime:reference", 0.5, 0.031, 0.9, "logits"),
    )
    return run_of(
        (ort, fast, tied, slow, unsure, absent, wrong),
        (
            versus(ort, fast, Interval(1.19, 1.17, 1.21), "faster", quiet_share=0.92),
            versus(ort, tied, Interval(0.9923, 0.9812, 1.0035), "tie", quiet_share=0.92),
            versus(ort, slow, Interval(0.5, 0.488, 0.512), "slower", quiet_share=0.92),
            versus(ort, unsure, Interval(1.02, 0.97, 1.07), "undetermined", needed_s=37.0),
        ),
        cautions=(Caution("quick", "a first look", "Leave out --quick"),),
    )


HOSTILE = "\x1b]0;owned\x07[red]evil[/red]\r\n|`<b>\u202e" + "x" * 90

names = st.one_of(
    st.sampled_from(["onnxruntime", "pytorch:compile", HOSTILE, "漢字" * 30, "", "[/]", "a\tb"]),
    st.text(max_size=120),
)
_MEASURED = [Status.OK, Status.PARITY_FAILED]

positive = st.floats(1e-3, 1e12)


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    value, below, above = draw(positive), draw(st.floats(0, 0.99)), draw(st.floats(0, 10))
    return Interval(value, value * (1 - below), value * (1 + above))


FP32 = {"requested": "fp32", "effective": "fp32"}
SPLIT = {name: st.none() | positive for name in BOUNDARIES}
SIZES = st.integers(0, 10**13)
energies = st.none() | st.builds(energy, st.none() | intervals(), names, names)
memories = st.builds(memory, st.none() | SIZES, SIZES, SIZES, st.none() | SIZES)


@st.composite
def cells(draw: st.DrawFn, number: int) -> CellResult:
    ran = draw(st.booleans())
    return cell(
        number,
        draw(names),
        draw(st.floats(1, 1e13)) if ran else None,
        draw(st.one_of(st.none(), st.integers(1, 12))) if ran else None,
        n=draw(st.integers(1, 10_000)),
        batch=draw(st.sampled_from([None, 1, 8])),
        backend_version=draw(st.one_of(st.none(), names)),
        status=draw(st.sampled_from(_MEASURED if ran else list(Status)[1:])),
        reason=draw(st.one_of(st.none(), names)),
        fix=draw(st.one_of(st.none(), names)),
        parity=Parity(draw(st.sampled_from(["agrees", "disagrees", "degenerate", "not_checked"]))),
        cautions=draw(st.lists(st.builds(Caution, names, names, names), max_size=2).map(tuple)),
        energy=draw(energies),
        precision=draw(st.sampled_from([FP32, {"requested": "int8", "effective": None}])),
        boundaries_ns=draw(st.none() | st.fixed_dictionaries(SPLIT)),
        **({"memory_bytes": draw(memories)} if ran and draw(st.booleans()) else {}),
    )


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Return a run with up to five rows, in up to three groups, compared or not."""
    rows = tuple(draw(cells(number)) for number in range(draw(st.integers(0, 5))))
    comparisons = tuple(
        versus(
            rows[0],
            row,
            draw(intervals()) if row.ranked and rows[0].ranked else None,
            draw(st.sampled_from(list(Verdict))),
            quiet_share=draw(st.one_of(st.none(), st.floats(0, 1))),
            needed_s=draw(st.one_of(st.none(), st.floats(0, 1e6))),
        )
        for row in rows[1:]
    )
    return run_of(
        rows,
        comparisons,
        model={"name": draw(names)},
        host=draw(st.sampled_from([{}, {"devices": [{"name": "cpu", "model": HOSTILE}]}])),
        folder=draw(st.one_of(st.none(), names)),
        interrupted=draw(st.booleans()),
        cautions=draw(st.lists(st.builds(Caution, names, names, names), max_size=2).map(tuple)),
    )
