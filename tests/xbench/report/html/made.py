"""Documents and samples for pages: as many rows as are asked for, drawn from a seed."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

from tests.xbench.report.runs import cell, energy, interval, memory, run_of, versus
from xbench.cautions import Code
from xbench.report import document
from xbench.result import Caution, CellResult, Comparison, Interval, Parity, Run
from xbench.roofline.row import FIELDS
from xbench.samples import Epoch, Samples
from xbench.stats import latency

BACKENDS = ("onnxruntime", "openvino", "pytorch", "pytorch:compile", "tensorflow", "litert", "acme")
PEAK, BANDWIDTH, FLOPS = 180e9, 30e9, 6e8


def generated(
    rows: int, batches: int, seed: int = 0, rounds: int = 24
) -> tuple[dict[str, Any], Samples]:
    """Return document and samples of a run of ``rows`` rows in ``batches`` groups."""
    made = random.Random(seed)
    each = -(-rows // batches)
    cells: list[CellResult] = []
    epochs: list[Epoch] = []
    comparisons: list[Comparison] = []
    for number in range(rows):
        batch, place = 2 ** (number // each), number % each
        base_ns = 4e6 * batch**0.9 * (1 + 0.13 * place)
        own = _epochs(made, number, base_ns, rounds)
        epochs += own
        cells.append(_cell(number, place, batch, own))
        if place:
            ratio = interval(1 / (1 + 0.13 * place), 0.02)
            verdict = "tie" if ratio.high > 0.99 else "slower"
            comparisons.append(versus(cells[number - place], cells[number], ratio, verdict))
    run = run_of(tuple(cells), tuple(comparisons), spec=_spec())
    return json.loads(document.render(run)), Samples((), tuple(epochs), (), {})


def _spec() -> dict[str, Any]:
    return {"model": "toy.onnx", "backends": ["all"], "seed": 7, "time_budget_s": 100.0}


def _epochs(made: random.Random, number: int, base_ns: float, rounds: int) -> list[Epoch]:
    found = []
    for place in range(rounds):
        busy = place % 7 == 3
        slow = 1.6 if busy else 1.0
        times = [round(base_ns * slow * (1 + made.expovariate(12))) for _ in range(12)]
        found.append(
            Epoch(
                cell=number,
                launch=place // 8,
                round=place % 8,
                position=0,
                feed=0,
                latencies_ns=tuple(times),
                wall_ns=sum(times),
                cpu_ns=sum(times),
                canary_ns=(1000, 1000),
                others_cpus=0.9 if busy else 0.0,
            )
        )
    return found


def _cell(number: int, place: int, batch: int, epochs: list[Epoch]) -> CellResult:
    name = BACKENDS[place % len(BACKENDS)]
    label = name if place < len(BACKENDS) else f"{name} variant {place // len(BACKENDS)}"
    taken = latency([ns for epoch in epochs for ns in epoch.latencies_ns])
    shown = taken.percentiles["p50"] or Interval(taken.mean, taken.mean, taken.mean)
    return replace(
        cell(number, name, shown.value, place + 1, batch=batch, label=label),
        latency_ns=taken,
        throughput_per_s=interval(batch * 1e9 / taken.mean),
        memory_bytes=_memory((place + 1) * 37 << 20),
        energy=energy(interval(0.04 * (1 + 0.1 * place)), "measured:counter"),
        roofline=_roofline(shown.value / batch),
        parity=Parity("agrees", "onnxruntime:reference", 1e-5, 1e-6 * (place + 1), 1.0, "logits"),
        cautions=(Caution(Code.DRIFT.value, "its p50 moved", "Wait"),) if place == 2 else (),
    )


def _memory(model: int) -> dict[str, Any]:
    base, fed = 60 << 20, 9 << 20
    held = memory(base + fed + model, model, base, model)
    spread = {"median": fed, "min": fed, "max": fed}
    sizes = {"interpreter": 15 << 20, "import": base, "inputs": base + fed}
    steady = dict.fromkeys(("load", "first", "warm", "steady"), base + fed + model)
    phases = {name: {"rss": size, "peak": size} for name, size in (sizes | steady).items()}
    return {**held, "inputs": spread, "phases": phases}


def _roofline(time_ns: float) -> dict[str, Any]:
    return {
        **dict.fromkeys(FIELDS),
        "precision": "fp32",
        "flops_per_s": FLOPS * 1e9 / time_ns,
        "share": 0.6,
        "bound": "compute",
        "floor_ns": FLOPS * 1e9 / PEAK,
        "peak_flops_per_s": PEAK,
        "bandwidth_bytes_per_s": BANDWIDTH,
        "unfused": {"bound": "memory", "intensity": 4.0},
        "reached_by": {"flops": "numpy 1024x1024", "bandwidth": "read"},
    }


def with_names(run: Run, name: str) -> Run:
    """Return a run in which a name from outside stands wherever one may."""
    rows = tuple(
        replace(
            one,
            backend=name,
            label=name,
            backend_version=name,
            reason=name,
            fix=name,
            cautions=(Caution(name, name, name),),
        )
        for one in run.results
    )
    by_id = {one.id: one for one in rows}
    compared = tuple(
        replace(
            one,
            baseline=by_id[one.baseline_id].name,
            candidate=by_id[one.candidate_id].name,
        )
        for one in run.comparisons
    )
    return replace(
        run,
        run_id=name,
        model={"name": name, "sha256": name},
        host=_host(name),
        results=rows,
        comparisons=compared,
        cautions=(Caution(name, name, name),),
        spec={**run.spec, "model": name, "inputs": name},
    )


def _host(name: str) -> dict[str, Any]:
    return {
        "host_id": name,
        "devices": [{"name": "cpu", "model": name, "memory_bytes": 1, "details": {name: name}}],
        "versions": {name: name},
        "absent": {"governor": name},
        "governor": None,
        name: name,
    }
