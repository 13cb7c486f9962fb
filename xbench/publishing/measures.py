"""What a row measured, as names, units, values and bounds: every exporter's source of numbers.

The name of a measure ends in its unit. What was not measured is left out, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from xbench.result import PERCENTILES

NS_IN_MS = 1e6
_SECONDS = ("import_s", "convert_s", "load_s")
_PARITY = ("max_abs", "max_rel", "cosine")
_LOAD = ("rate_per_s", "throughput_per_s", "busy_share", "requests", "unserved")
_EXTREMES = ("mean", "min", "max")


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a row.

    Attributes:
        name: What it is, with its unit at the end: ``latency_p50_ms``.
        low: Lower bound of its interval, or None where it has none.
        high: Upper bound of its interval, or None where it has none.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def speed_of(row: Mapping[str, Any], ratio: Mapping[str, Any] | None) -> Iterator[Measure]:
    """Yield what a row that may be compared tells of speed, memory and energy.

    Args:
        row: Of a document's ``results``.
        ratio: Of the comparison with the baseline, or None.
    """
    latency, load = row.get("latency_ns") or {}, row.get("load") or {}
    # A search ends at another rate each time: its latencies are not the same question's.
    what = "latency_at_held_rate" if load.get("search") else "latency"
    for name in PERCENTILES:
        yield from _interval(f"{what}_{name}_ms", latency.get(name), NS_IN_MS)
    for name in _EXTREMES:
        yield from _single(f"{what}_{name}_ms", latency.get(name), NS_IN_MS)
    yield from _interval("throughput_per_s", row.get("throughput_per_s"))
    yield from _interval("speed_ratio_to_baseline", ratio)
    yield from _single("first_inference_ms", row.get("first_inference_ns"), NS_IN_MS)
    for name in _SECONDS:
        yield from _single(name, row.get(name))
    yield from _memory(row.get("memory_bytes") or {})
    yield from _energy(row.get("energy") or {})
    yield from _single("roofline_share", (row.get("roofline") or {}).get("share"))
    yield from _single("load_held_rate_per_s", (load.get("search") or {}).get("holds_per_s"))
    for name in _LOAD:
        yield from _single(f"load_{name}", load.get(name))


def agreement_of(row: Mapping[str, Any]) -> Iterator[Measure]:
    """Yield how far a row's outputs lie from the reference: told of every row."""
    parity = row.get("parity") or {}
    for name in _PARITY:
        yield from _single(f"parity_{name}", parity.get(name))


def _memory(told: Mapping[str, Any]) -> Iterator[Measure]:
    peak = told.get("peak")
    if peak:
        yield from _spread("memory_peak_bytes", peak)
    else:
        yield from _single("memory_peak_bytes", told.get("host"))
    model = (told.get("model") or {}).get("peak")
    if model:
        yield from _spread("memory_model_bytes", model)
    yield from _single("memory_device_bytes", told.get("device"))


def _energy(told: Mapping[str, Any]) -> Iterator[Measure]:
    """Yield the energy that a meter measured: what a model estimates is no measure."""
    if str(told.get("label") or "").startswith("measured:"):
        yield from _interval("energy_per_inference_j", told.get("per_inference_j"))
        yield from _interval("power_load_w", told.get("load_w"))


def _interval(name: str, told: Mapping[str, Any] | None, over: float = 1.0) -> Iterator[Measure]:
    if told is not None:
        ends = (_number(told[end]) for end in ("value", "low", "high"))
        value, low, high = (None if one is None else one / over for one in ends)
        if value is not None:
            yield Measure(name, value, low, high)


def _spread(name: str, told: Mapping[str, Any]) -> Iterator[Measure]:
    """Yield a median over launches with the least and the most."""
    ends = {"value": told["median"], "low": told["min"], "high": told["max"]}
    yield from _interval(name, ends)


def _single(name: str, told: Any, over: float = 1.0) -> Iterator[Measure]:
    value = _number(told)
    if value is not None:
        yield Measure(name, value / over)


def _number(told: Any) -> float | None:
    """Return a finite number, or None for null.

    Raises:
        TypeError: If it is no number.
    """
    if told is None:
        return None
    if isinstance(told, bool) or not isinstance(told, (int, float)):
        raise TypeError(f"not a number: {str(told)[:40]!r}")
    return float(told) if isfinite(told) else None
