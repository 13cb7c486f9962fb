"""Documents, prices and rows for procurement, made from the results that xbench itself writes."""

from __future__ import annotations

import json
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.xbench.report.runs import cell, energy, interval, run_of
from xbench.load.scenario import Scenario
from xbench.procurement.evidence import Energy, Evidence, Row, read_evidence
from xbench.procurement.prices import Option, Prices
from xbench.result import PERCENTILES, CellResult

TODAY = date(2026, 6, 1)
HOST = "0123456789ab"
METERED = energy(interval(0.2, 0.02), "measured:counter")


def host(host_id: str = HOST, model: str = "ACME Edge 1", cores: int = 2) -> dict[str, Any]:
    return {
        "host_id": host_id,
        "devices": [{"name": "cpu", "model": model, "details": {"cores": cores}}],
        "versions": {"onnxruntime": "1.32.0"},
    }


def metered(number: int, backend: str, p50_ns: float, **own: Any) -> CellResult:
    """Return a row that has all that a price needs."""
    return cell(number, backend, p50_ns, number + 1, **{"energy": METERED} | own)


def document(*cells: CellResult, **own: Any) -> dict[str, Any]:
    """Return what `xbench compare --json` writes of such a run."""
    found = run_of(cells, **{"host": host()} | own).to_json()
    return dict(json.loads(json.dumps(found)))


def write(path: Path, told: Any) -> Path:
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


def evidence(tmp_path: Path, *cells: CellResult, label: str | None = None, **own: Any) -> Evidence:
    """Return a run as it comes back from its document."""
    name = f"{own.get('run_id', 'run')}.json"
    return read_evidence(write(tmp_path / name, document(*cells, **own)), label)


def option(name: str = "edge-box", **own: Any) -> Option:
    fields: dict[str, Any] = {
        "match_host_id": HOST,
        "capex_per_unit": 900.0,
        "life_years": 4.0,
        "energy_price_per_kwh": 0.3,
        "pue": 1.5,
    }
    if "hourly_cost_per_unit" in own:
        del fields["capex_per_unit"], fields["life_years"]
    return Option(name=name, **fields | own)


def prices(*options: Option, utilisation_share: float = 0.5, dated: date = TODAY) -> Prices:
    return Prices(
        path="prices.toml",
        currency="EUR",
        dated=dated,
        utilisation_share=utilisation_share,
        options=options or (option(),),
    )


def row(
    per_s: float = 100.0,
    width: float = 0.02,
    *,
    batch: int = 1,
    tail: float = 1.5,
    idle_w: float | None = 5.0,
    **own: Any,
) -> Row:
    """Return a row of so many inferences a second, whose p99 is ``tail`` times its median."""
    stretch = {"p50": 1.0, "p90": 1 + (tail - 1) / 4, "p95": 1 + (tail - 1) / 2, "p99": tail}
    median_s = batch / per_s / _mean([0.95, *stretch.values(), 1.5 * tail])
    latency = {
        name: interval(median_s * stretch[name], width) if name in stretch else None
        for name in PERCENTILES
    }
    told = Energy(
        per_inference_j=interval(0.2, width),
        load_w=interval(0.2 * per_s, width),
        idle_w=None if idle_w is None else interval(idle_w, width),
        label="measured:counter",
        scope="package",
    )
    fields: dict[str, Any] = {
        "name": "onnxruntime",
        "run": "run-1",
        "label": None,
        "host_id": HOST,
        "device": "cpu",
        "device_model": "ACME Edge 1",
        "precision": "fp32",
        "batch": batch,
        "boundary": "host",
        "scenario": Scenario(),
        "threads": 2,
        "cores": 2,
        "throughput_per_s": interval(per_s, width),
        "latency_s": latency,
        "extremes_s": (median_s * 0.95, median_s * tail * 1.5),
        "timed": 5000,
        "energy": told,
        "parity": "agrees",
        "loss": 0.0,
        "cautions": (),
        "problem": None,
    }
    return Row(**fields | own)


def _mean(times: list[float]) -> float:
    """Return the mean of what lies between those times at these shares."""
    shares = [0.0, 0.5, 0.9, 0.95, 0.99, 1.0]
    middles = [(a + b) / 2 for a, b in pairwise(times)]
    return sum((q - p) * one for (p, q), one in zip(pairwise(shares), middles, strict=True))
