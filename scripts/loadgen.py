"""MLPerf LoadGen, as `loadgen-comparison` drives it: its Python binding, and its trace."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from xbench.load.open_loop import Run


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side measured of one scenario in one round; a latency a query.

    Attributes:
        begins: Whether each query found the server empty; all do in a closed loop.
        late_ns: By how much each query was sent late, where a schedule says when.
    """

    latencies_ns: list[float]
    per_s: float
    begins: list[bool]
    late_ns: list[float]
    schedule_ns: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of both sides."""

    queries: int
    samples: int
    batch: int
    rate_per_s: float


def by_loadgen(lg: Any, scenario: str, run: Run, load: Load, seed: int) -> Turn:
    """Return what LoadGen measured, from its own trace: when each sample was due, and took."""
    with tempfile.TemporaryDirectory() as folder:
        drive(lg, scenario, run, load, seed, Path(folder), trace=True)
        events = samples_in(Path(folder, "mlperf_log_trace.json"))
    by_query = {one["args"]["query_seq"]: one for one in events}  # samples of a query end together
    if scenario == "offline":
        by_query = {one["args"]["sample_seq"]: one for one in events}
    each = [by_query[number] for number in sorted(by_query)]
    due = [round(one["ts"] * 1000) for one in each]
    latencies = [float(one["args"]["complete_ns"]) for one in each]
    ends = [start + latency for start, latency in zip(due, latencies, strict=True)]
    busy_until = np.maximum.accumulate([0.0, *ends[:-1]])
    begins = [bool(before <= one) for before, one in zip(busy_until, due, strict=True)]
    late = [
        float(one["args"]["issue_start_ns"])
        for one, free in zip(each, begins, strict=True)
        if free and scenario == "server"
    ]
    per_s = len(events) * 1e9 / (max(ends) - due[0])
    return Turn(latencies, per_s, begins, late, [one - due[0] for one in due])


def samples_in(trace: Path) -> list[dict[str, Any]]:
    """Return what the trace tells of each sample; line by line, as others in it are no JSON."""
    with trace.open() as lines:
        told = [line for line in lines if '"Sample"' in line and '"ph":"b"' in line]
    return [json.loads(line.rstrip().rstrip(",")) for line in told]


def drive(
    lg: Any, scenario: str, run: Run, load: Load, seed: int, folder: Path, *, trace: bool
) -> float:
    """Have LoadGen run a scenario; return nanoseconds a query, from its first to its last."""
    marks: list[int] = []
    batch = load.batch if scenario == "offline" else load.samples
    respond, complete = lg.QuerySampleResponse, lg.QuerySamplesComplete

    def issue(samples: Any) -> None:
        if not marks:
            marks.append(perf_counter_ns())
        if len(samples) <= batch:
            run(len(samples))
            complete([respond(one.id, 0, 0) for one in samples])
            return
        for start in range(0, len(samples), batch):
            part = samples[start : start + batch]
            run(len(part))
            complete([respond(one.id, 0, 0) for one in part])

    settings = settings_of(lg, scenario, load, seed)
    output = lg.LogOutputSettings()
    output.outdir = str(folder)
    logs = lg.LogSettings()
    logs.log_output = output
    logs.enable_trace = trace
    sut = lg.ConstructSUT(issue, lambda: marks.append(perf_counter_ns()))
    library = lg.ConstructQSL(64, 64, lambda _: None, lambda _: None)
    try:
        lg.StartTestWithLogSettings(sut, library, settings, logs, "none.config")
    finally:
        lg.DestroyQSL(library)
        lg.DestroySUT(sut)
    size = load.samples if scenario == "multi-stream" else 1
    return (marks[-1] - marks[0]) / (load.queries // size)


def settings_of(lg: Any, scenario: str, load: Load, seed: int) -> Any:
    """Return LoadGen's settings: as many queries as asked for, however long they take."""
    names = {"single-stream": "SingleStream", "multi-stream": "MultiStream"}
    settings = lg.TestSettings()
    settings.scenario = getattr(lg.TestScenario, names.get(scenario, scenario.capitalize()))
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = 0
    count = load.queries // load.samples if scenario == "multi-stream" else load.queries
    settings.min_query_count = settings.max_query_count = count
    settings.multi_stream_samples_per_query = load.samples
    settings.server_target_qps = load.rate_per_s
    settings.server_target_latency_ns = 10**12
    settings.schedule_rng_seed = seed
    return settings


def loadgen(folder: Path | None) -> Any:
    """Return LoadGen's module."""
    if folder:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("mlperf_loadgen")
    except ImportError as error:
        fix = "pip install --no-deps --target DIR mlcommons-loadgen, then --loadgen DIR"
        raise SystemExit(f"LoadGen cannot be imported: {error}. Install it with: {fix}") from error
