"""A run as CSV: one line a row of the result, flat; an empty cell is "not measured".

The unit is in the column's name. ``ratio`` is the baseline's median latency over the
row's: above 1 the row is faster. Cautions are their codes, separated by spaces. Of the host's
memory each part is a median over the launches, with least and most: ``model`` and ``resident`` are
what the model costs on top of framework and inputs, at most and in the steady state. Energy has a
label, which says why where there is no number. ``label`` is the row's name in comparisons, and
``boundary_device_ns`` the median latency at that boundary, where a backend knows more than one.
``cap_`` is what was asked, ``held_`` what was read back, ``load_`` what a scenario tells besides.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from xbench.adapter import BOUNDARIES
from xbench.report.energy import interval
from xbench.report.text import clean
from xbench.result import PERCENTILES, CellResult, Interval, Run

_PLAIN = ("backend", "backend_version", "device", "batch", "boundary", "scenario", "status")
_HELD = ("precision_requested", "precision_effective", "threads_requested", "threads_effective")
_EXPLAINED = ("reason", "fix", "rank", "launches", "rounds")
_MOMENTS = ("mean", "min", "max")
_COSTS = ("import_s", "convert_s", "load_s", "first_inference_ns", "overhead_ns", "importer")
_MEMORIES = ("host", "device", "allocator")
_PARTS = ("peak", "import", "inputs", "model", "resident")
_ENDS = {"": "median", "_min": "min", "_max": "max"}
_METERED = ("label", "scope", "meter")
_ENERGIES = ("per_inference_j", "load_w", "idle_w")
_PARITY = ("status", "reference", "max_abs", "max_rel", "cosine", "worst_output", "reason")
_BOUNDS = ("", "_low", "_high")
_CAPS = ("profile", "threads", "memory_bytes", "quota_cpus")
_HELD_CAPS = (
    "cpus_used",
    "cpus_allowed",
    "busy_threads",
    "memory_peak_bytes",
    "memory_limit_bytes",
)
_LOADED = ("rate_per_s", "busy_share", "saturated", "batch")
_SEARCHED = ("slo", "holds_per_s", "fails_per_s", "stopped")
_ROOFLINE = ("precision", "flops_per_s", "share", "bound", "floor_ns", "reason")

COLUMNS = (
    "run_id",
    "model",
    *_PLAIN,
    *_HELD,
    *_EXPLAINED,
    "n",
    *(f"{name}_ns" for name in _MOMENTS),
    *(f"{name}_ns{bound}" for name in PERCENTILES for bound in _BOUNDS),
    *(f"throughput_per_s{bound}" for bound in _BOUNDS),
    *_COSTS,
    *(f"memory_{name}_bytes" for name in _MEMORIES),
    *(f"parity_{name}" for name in _PARITY),
    "fallback_nodes",
    "cautions",
    "baseline",
    *(f"ratio{bound}" for bound in _BOUNDS),
    "verdict",
    *(f"memory_{part}_bytes{end}" for part in _PARTS for end in _ENDS),
    *(f"energy_{name}" for name in _METERED),
    *(f"energy_{name}{bound}" for name in _ENERGIES for bound in _BOUNDS),
    "label",
    *(f"boundary_{name}_ns" for name in BOUNDARIES),
    *(f"roofline_{name}" for name in _ROOFLINE),
    *(f"cap_{name}" for name in _CAPS),
    *(f"held_{name}" for name in _HELD_CAPS),
    "cap_broken",
    *(f"load_{name}" for name in _LOADED),
    "load_late_p99_ns",
    *(f"load_{name}" for name in _SEARCHED),
    *(f"sustained_speed{bound}" for bound in _BOUNDS),
)


def render(run: Run) -> str:
    """Return the header and one line for each row."""
    out = StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(dict(_row(run, cell)) for cell in run.results)
    return out.getvalue()


def _row(run: Run, cell: CellResult) -> Iterator[tuple[str, Any]]:
    """Yield columns and values, text on one line; a column that is not yielded stays empty."""
    for column, value in _values(run, cell):
        yield column, clean(value) if isinstance(value, str) else value


def _values(run: Run, cell: CellResult) -> Iterator[tuple[str, Any]]:
    yield from (("run_id", run.run_id), ("model", run.model.get("name")))
    yield from ((name, getattr(cell, name)) for name in (*_PLAIN, *_EXPLAINED, *_COSTS))
    for of in ("requested", "effective"):
        yield f"precision_{of}", cell.precision.get(of)
        yield f"threads_{of}", cell.threads.get(of)
    yield from _latency(cell)
    yield from _bounds("throughput_per_s", cell.throughput_per_s)
    yield from ((f"memory_{of}_bytes", cell.memory_bytes.get(of)) for of in _MEMORIES)
    yield from _memory(cell)
    yield from _energy(cell.energy or {})
    yield from ((f"parity_{name}", getattr(cell.parity, name)) for name in _PARITY)
    yield "fallback_nodes", (cell.fallback or {}).get("nodes")
    yield "label", cell.name
    yield from ((f"boundary_{of}_ns", told) for of, told in (cell.boundaries_ns or {}).items())
    yield from ((f"roofline_{name}", (cell.roofline or {}).get(name)) for name in _ROOFLINE)
    yield from _caps(cell.caps or {})
    yield from _load(cell.load or {})
    yield "cautions", " ".join(caution.code for caution in cell.cautions)
    yield from _against_baseline(run, cell)


def _caps(told: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((f"cap_{name}", told.get(name)) for name in _CAPS)
    yield from ((f"held_{name}", (told.get("held") or {}).get(name)) for name in _HELD_CAPS)
    yield "cap_broken", "; ".join(told.get("broken") or ())


def _load(told: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((f"load_{name}", told.get(name)) for name in _LOADED)
    yield "load_late_p99_ns", (told.get("lateness_ns") or {}).get("p99")
    yield from ((f"load_{name}", (told.get("search") or {}).get(name)) for name in _SEARCHED)
    if speed := told.get("speed"):
        yield from _bounds("sustained_speed", Interval(**speed))


def _memory(cell: CellResult) -> Iterator[tuple[str, int]]:
    told = cell.memory_bytes
    model = told.get("model") or {}
    parts = {**told, "model": model.get("peak"), "resident": model.get("resident")}
    for part in _PARTS:
        if spread := parts.get(part):
            yield from ((f"memory_{part}_bytes{end}", spread[of]) for end, of in _ENDS.items())


def _energy(told: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((f"energy_{name}", told.get(name)) for name in _METERED)
    for name in _ENERGIES:
        yield from _bounds(f"energy_{name}", interval(told, name))


def _latency(cell: CellResult) -> Iterator[tuple[str, Any]]:
    latency = cell.latency_ns
    if latency is None:
        return
    yield "n", latency.n
    yield from ((f"{name}_ns", getattr(latency, name)) for name in _MOMENTS)
    for name in PERCENTILES:
        yield from _bounds(f"{name}_ns", latency.percentiles.get(name))


def _bounds(name: str, interval: Interval | None) -> Iterator[tuple[str, float]]:
    if interval is not None:
        yield from zip(
            (f"{name}{bound}" for bound in _BOUNDS),
            (interval.value, interval.low, interval.high),
            strict=True,
        )


def _against_baseline(run: Run, cell: CellResult) -> Iterator[tuple[str, Any]]:
    one = next((one for one in run.comparisons if one.candidate_id == cell.id), None)
    if one is not None:
        yield "baseline", one.baseline
        yield from _bounds("ratio", one.ratio)
        yield "verdict", one.verdict.value
