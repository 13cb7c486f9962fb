"""What rows tell of their scenario beyond latency, as a small table before anyone draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from xbench.load.scenario import Kind, Scenario, parse_scenario
from xbench.load.search import Says, says
from xbench.load.slo import parse_slo
from xbench.report.numbers import latency_text, ratio_text, rounded
from xbench.report.text import clean
from xbench.report.view import ABSENT, apart, named
from xbench.result import Interval
from xbench.units import format_ns, format_s, format_share

if TYPE_CHECKING:
    from xbench.result import CellResult, Run

Table = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]

_KEPT = {Says.HOLDS: "yes", Says.FAILS: "no", Says.OPEN: "not decided"}
_SERVER = ("server", "done/s", "busy", "waiting", "late p99", "keeps the limit")
_SEARCH = ("largest rate", "holds/s", "fails/s", "latency there", "tried")
_OFFLINE = ("offline", "batch", "samples a second by batch")
_SUSTAINED = ("sustained", "p50 first", "p50 last", "speed last/first", "rank", "course")


def load_table(run: Run) -> Table:
    """Return the header and the lines of the run's scenario; no lines where it has none."""
    load = scenario_of(run)
    if load.searches:
        return _SEARCH, tuple(_lines(run, _search))
    match load.kind:
        case Kind.SERVER:
            return _SERVER, tuple(_lines(run, lambda cell: _server(cell, run.spec.get("slo"))))
        case Kind.OFFLINE:
            return _OFFLINE, tuple(_lines(run, _offline))
        case Kind.SUSTAINED:
            return _SUSTAINED, tuple(_lines(run, lambda cell: _sustained(cell, _ends(run))))
        case _:
            return (), ()


def scenario_of(run: Run) -> Scenario:
    """Return how a run's inferences were asked for."""
    return parse_scenario(run.spec.get("scenario") or str(Kind.SINGLE_STREAM))


def load_condition(run: Run) -> str:
    """Return the scenario in words; empty for a single stream."""
    load = scenario_of(run)
    streams = f", {load.streams} streams" if load.streams > 1 else ""
    batches = ""
    if load.max_batch > 1:
        wait = f", waiting up to {format_s(load.wait_s)}" if load.wait_ns else ""
        batches = f", batches of up to {load.max_batch}{wait}"
    match load.kind:
        case Kind.SERVER:
            rate = "the largest rate" if load.searches else f"{load.rate_per_s:g} requests a second"
            slo = run.spec.get("slo")
            limit = f" with {parse_slo(slo)}" if slo else ""
            counts = "latency from when a request was due"
            return f"{rate}{limit}, {load.arrivals} arrivals{streams}{batches}; {counts}"
        case Kind.STREAMS:
            return f"{load.streams} inferences at once, each on a session of its own"
        case Kind.MULTI_STREAM:
            return f"queries of {load.samples} samples; latency is that of a query"
        case Kind.OFFLINE:
            return "each row at the batch where its throughput saturates; ratios are by sample"
        case Kind.SUSTAINED:
            return f"{format_s(load.duration_s)} without a pause, one row after the other"
        case _:
            return ""


def _lines(
    run: Run, texts: Callable[[CellResult], tuple[str, ...] | None]
) -> Iterable[tuple[str, ...]]:
    differ = apart(run)
    for cell in run.results:
        if cell.load and (found := texts(cell)):
            yield (named(cell, differ), *found)


def _server(cell: CellResult, slo: str | None) -> tuple[str, ...] | None:
    told = cell.load or {}
    if "busy_share" not in told:
        return None
    late, queue, done = told["lateness_ns"], told["queue"], cell.throughput_per_s
    return (
        rounded(done) if done else f"{told['throughput_per_s']:.4g}",
        format_share(told["busy_share"]),
        f"{queue['mean']:.2g}, max {queue['max']:.0f}",
        format_ns(late["p99"]) if late else ABSENT,
        _kept(cell, slo),
    )


def _kept(cell: CellResult, slo: str | None) -> str:
    """Return whether a row's latency is within the limit, where one was given."""
    if (cell.load or {}).get("saturated"):
        return "no: saturated"
    if slo is None:
        return ABSENT
    limit = parse_slo(slo)
    found = cell.latency_ns.percentiles.get(limit.percentile) if cell.latency_ns else None
    if found is None:
        return "not known"
    return _KEPT[says(found, limit.limit_s * 1e9)]


def _search(cell: CellResult) -> tuple[str, ...] | None:
    told = (cell.load or {}).get("search")
    if not told:
        return None
    percentile = parse_slo(told["slo"]).percentile
    found = cell.latency_ns.percentiles.get(percentile) if cell.latency_ns else None
    stopped = "" if told["stopped"] == "tolerance" else f" ({told['stopped']})"
    return (
        _rate(told["holds_per_s"]),
        _rate(told["fails_per_s"]),
        f"{percentile} {latency_text(found)}" if found else ABSENT,
        f"{len(told['trials'])}{stopped}",
    )


def _rate(per_s: float | None) -> str:
    return ABSENT if per_s is None else f"{per_s:.4g}"


def _offline(cell: CellResult) -> tuple[str, ...] | None:
    told = cell.load or {}
    if "per_s" not in told:
        return None
    curve = ", ".join(f"{batch}: {one['value']:.4g}" for batch, one in told["per_s"].items())
    ended = f" ({clean(told['reason'])})" if told.get("reason") else ""
    return f"{told['batch']}", f"{curve}{ended}"


def _ends(run: Run) -> Mapping[str, dict[int, int]]:
    """Return the ranks at the start and at the end by row; rows share one whose intervals meet."""
    found: dict[str, dict[int, int]] = {}
    rows = [cell for cell in run.results if cell.ranked and "start_ns" in (cell.load or {})]
    for end in ("start_ns", "end_ns"):
        own = sorted(rows, key=lambda cell: (cell.load or {})[end]["value"])
        ranks: dict[int, int] = {}
        for place, cell in enumerate(own):
            before = own[place - 1] if place else None
            shares = before and (before.load or {})[end]["high"] >= (cell.load or {})[end]["low"]
            ranks[cell.id] = ranks[before.id] if before and shares else place + 1
        found[end] = ranks
    return found


def _sustained(cell: CellResult, ends: Mapping[str, dict[int, int]]) -> tuple[str, ...] | None:
    told: Mapping[str, Any] = cell.load or {}
    if "start_ns" not in told:
        return None
    first, last = (Interval(**told[name]) for name in ("start_ns", "end_ns"))
    ranks = [ends[name].get(cell.id) for name in ("start_ns", "end_ns")]
    course = told["verdict"] if told["shape"] is None else f"{told['verdict']}, {told['shape']}"
    if told["changed_at_s"] is not None:
        course += f" at {format_s(told['changed_at_s'])}"
    return (
        latency_text(first),
        latency_text(last),
        ratio_text(Interval(**told["speed"])),
        " then ".join(ABSENT if rank is None else f"{rank}" for rank in ranks),
        course,
    )
