"""One cell's samples as its latency, its throughput, and what its scenario tells besides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from statistics import fmean
from typing import Any

from xbench.launches import launch_interval
from xbench.load.account import account
from xbench.load.scenario import Kind
from xbench.load.served import Served
from xbench.load.sustained import Curve, curve
from xbench.plan import Cell
from xbench.result import CellResult, Interval, Status
from xbench.rounds import Round, undisturbed
from xbench.samples import Epoch, Failure, Launched, Samples
from xbench.stats import latency

SATURATED_FIX = "Ask for a lower rate, more streams or larger batches; --slo searches for the rate"


@dataclass(frozen=True, slots=True)
class OfCell:
    """One cell's part of the samples; ``quiet`` are the epochs that its numbers come from."""

    launched: tuple[Launched, ...]
    epochs: tuple[Epoch, ...]
    quiet: tuple[Epoch, ...]
    failure: Failure | None


def of_cell(samples: Samples, cell: int, quiet: frozenset[Round]) -> OfCell:
    """Return the part of ``samples`` that belongs to ``cell``."""
    epochs = tuple(epoch for epoch in samples.epochs if epoch.cell == cell)
    failures = [failure for failure in samples.failures if failure.cell == cell]
    return OfCell(
        tuple(one for one in samples.launched if one.cell == cell),
        epochs,
        undisturbed(epochs, quiet),
        failures[-1] if failures else None,
    )


def whole_launches(epochs: Sequence[Epoch]) -> dict[int, list[Epoch]]:
    """Return a sustained row's epochs by launch, of those that ran to the end.

    These are the launches with the most epochs. What was cut short, and taken up again, saw the
    device cold alone.
    """
    by_launch: dict[int, list[Epoch]] = defaultdict(list)
    for epoch in epochs:
        by_launch[epoch.launch].append(epoch)
    most = max(map(len, by_launch.values()))
    return {launch: own for launch, own in by_launch.items() if len(own) == most}


def with_load(
    row: CellResult, cell: Cell, own: OfCell, told: Mapping[str, Any] | None
) -> CellResult:
    """Return the row with its latency and throughput, and with what its scenario tells.

    Args:
        row: As far as it is known.
        cell: Its cell.
        own: Its samples, of which there are some.
        told: What a search told of it, or None.
    """
    match cell.load.kind:
        case Kind.SERVER if told is None and cell.load.searches:
            return _without_rate(row)
        case Kind.SERVER:
            return _with_server(row, own, told)
        case Kind.SUSTAINED:
            whole = whole_launches(own.epochs)
            every = [epoch for epochs in whole.values() for epoch in epochs]
            return replace(_with_latency(row, cell, every), load=_curve(whole[max(whole)]))
        case _:
            return replace(_with_latency(row, cell, own.quiet), load=told)


def _with_latency(row: CellResult, cell: Cell, epochs: Sequence[Epoch]) -> CellResult:
    """Return the row with the latency of its queries, and samples a second of all its streams."""
    by_launch: dict[int, list[float]] = defaultdict(list)
    at_once = cell.load.streams * cell.samples
    for epoch in epochs:
        by_launch[epoch.launch].append(at_once * 1e9 / fmean(epoch.latencies_ns))
    return replace(
        row,
        latency_ns=latency([one for epoch in epochs for one in epoch.latencies_ns]),
        throughput_per_s=_bounded(launch_interval(list(by_launch.values()))),
    )


def _with_server(row: CellResult, own: OfCell, told: Mapping[str, Any] | None) -> CellResult:
    """Return the row with what became of a server's requests, at the rate that was found."""
    epochs = own.quiet
    if told is not None:
        epochs = tuple(one for one in own.epochs if _rate_per_s(one) == told["holds_per_s"])
        if not epochs:
            reason = f"no rate was found that keeps to {told['slo']} ({told['stopped']})"
            fix = "Give it longer with --time-budget, or a looser limit"
            return replace(row, load={"search": told}, reason=reason, fix=fix)
    found = account([Served.from_json(one.served) for one in epochs if one.served])
    load = found.to_json() | ({"search": told} if told else {})
    if found.saturated:
        reason = f"it cannot keep up with that rate: {found.saturated}"
        return replace(row, load=load, reason=reason, fix=SATURATED_FIX)
    by_launch: dict[int, list[float]] = defaultdict(list)
    for one in epochs:
        assert one.served is not None
        served = account([Served.from_json(one.served)])
        by_launch[one.launch].append((row.batch or 1) * served.throughput_per_s)
    throughput = _bounded(launch_interval(list(by_launch.values())))
    return replace(row, latency_ns=found.latency_ns, throughput_per_s=throughput, load=load)


def _without_rate(row: CellResult) -> CellResult:
    """Return the row of a search that was stopped: what it measured is of many rates."""
    if row.status is not Status.OK:
        return row
    why = "the run was stopped before its search for the largest rate ended"
    return replace(row, status=Status.INTERRUPTED, reason=why, fix="Finish the run with --resume")


def _rate_per_s(epoch: Epoch) -> float | None:
    return epoch.served["rate_per_s"] if epoch.served else None


def _curve(epochs: Sequence[Epoch]) -> dict[str, Any]:
    """Return speed over time in one launch as plain data; why, where there is too little to tell.

    Latencies of several streams would have no order; a sustained load has one.
    """
    ends_s: list[float] = []
    latencies_ns: list[int] = []
    start_s = 0.0
    for epoch in epochs:
        at_s = start_s
        for one_ns in epoch.latencies_ns:
            at_s += one_ns / 1e9
            ends_s.append(at_s)
            latencies_ns.append(one_ns)
        start_s = max(at_s, start_s + epoch.wall_ns / 1e9)
    try:
        found = curve(ends_s, latencies_ns)
    except ValueError as error:
        return {"missing": str(error)}
    return _curve_told(found)


def _curve_told(found: Curve) -> dict[str, Any]:
    return {**asdict(found), "verdict": found.verdict.value}


def _bounded(interval: Interval) -> Interval | None:
    """Return the interval, or None where one value told no spread."""
    return interval if isfinite(interval.low) and isfinite(interval.high) else None
