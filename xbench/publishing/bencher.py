"""Runs in the Bencher Metric Format: benchmarks, their measures, and the bounds of each.

A benchmark's name has 1 to 1024 bytes, and no suffix that silences its alerts; a measure is a slug
of at most 64 (``lib/bencher_valid`` of bencherdev/bencher; https://bencher.dev/bmf.json is the
schema). ``latency`` and ``throughput`` are Bencher's own, in nanoseconds and operations per second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xbench.publishing.measures import NS_IN_MS, Measure
from xbench.publishing.names import bounded
from xbench.publishing.rows import Published, Row
from xbench.publishing.series import told_rows

LONGEST_NAME = 1024  # bytes
SILENCED = ("_bencher_ignore", "BencherIgnore", "-bencher-ignore")
MEASURES: Mapping[str, tuple[str, float]] = {
    "latency": ("latency_p50_ms", NS_IN_MS),
    "throughput": ("throughput_per_s", 1.0),
    "latency-p99-ns": ("latency_p99_ms", NS_IN_MS),
    "peak-memory-bytes": ("memory_peak_bytes", 1.0),
    "held-rate-per-s": ("load_held_rate_per_s", 1.0),
    "energy-joules": ("energy_per_inference_j", 1.0),
}
"""By Bencher's measure: ours, and how many of its units are in one of ours."""


def document(runs: Sequence[Published]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the runs' rows by name, each with its measures.

    Raises:
        UsageError: If two rows have one name.
    """
    return {_name(row): _measures(row) for _, row in told_rows(runs)}


def _name(row: Row) -> str:
    name = bounded(row.name, LONGEST_NAME - 1)
    return f"{name}." if name.endswith(SILENCED) else name


def _measures(row: Row) -> dict[str, Any]:
    found = ((slug, row.measure(name), units) for slug, (name, units) in MEASURES.items())
    return {slug: _metric(measure, units) for slug, measure, units in found if measure}


def _metric(measure: Measure, units: float) -> dict[str, float]:
    ends = {"value": measure.value, "lower_value": measure.low, "upper_value": measure.high}
    return {name: end * units for name, end in ends.items() if end is not None}
