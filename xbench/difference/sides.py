"""One side of a difference: the run as its document tells it, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, log
from typing import Any, NamedTuple

from xbench.difference.scatter import student
from xbench.errors import UsageError
from xbench.load.scenario import Kind, parse_scenario
from xbench.load.search import NONE_HOLDS
from xbench.result import Interval

Z_OF_A_BOUND = 2.3263  # each bound of a percentile holds with 99 %: a normal quantile

TOLD_APART = ("device", "batch", "threads", "precision", "scenario", "boundary", "profile")


def family_of(backend: str) -> str:
    """Return the adapter of a backend, such as ``pytorch`` of ``pytorch:compile#2``."""
    return backend.partition("#")[0].partition(":")[0]


class Key(NamedTuple):
    """What makes two rows the same cell."""

    backend: str
    device: str
    batch: int | None
    threads: int | None
    precision: str
    scenario: str
    boundary: str
    profile: str | None

    @property
    def family(self) -> str:
        """Return the adapter, of whatever variant: rows of one have their software in common."""
        return family_of(self.backend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a run.

    Attributes:
        name: Its backend, with precision and device where rows of its run differ in these.
        time_ns: What is compared: p50, or for a load whose figure is a rate, the time of one
            inference at that rate. None where it may not be compared.
        sd: How far its own launches say that this may be off, as a logarithm.
        problem: Why it may not be compared, or None.
        failed: Whether it did not do what was asked of it: it did not run, its caps broke, or it
            could not keep up. A row of too few inferences has a problem and did not fail.
        told: The row as the document has it.
    """

    key: Key
    id: int
    name: str
    version: str | None
    time_ns: Interval | None
    figure: str
    sd: float
    problem: str | None
    failed: bool
    told: Mapping[str, Any]

    @property
    def log_time(self) -> float:
        """Return the logarithm of the time in nanoseconds; only where there is one."""
        assert self.time_ns is not None
        return log(self.time_ns.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One run.

    Attributes:
        place: How the user named it, or where it is kept.
        cautions: Codes of its doubts about the run as a whole.
        ratios: By the ids of two rows, the logarithm of the second's time over the first's from
            the rounds that both ran in, with its standard deviation.
    """

    run: str
    place: str
    document: Mapping[str, Any]
    rows: tuple[Row, ...]
    cautions: tuple[str, ...]
    ratios: Mapping[tuple[int, int], tuple[float, float]]

    @property
    def host(self) -> str | None:
        """Return what tells its machine from others."""
        told = self.document["host"].get("host_id")
        return None if told is None else str(told)

    @property
    def model_hash(self) -> str:
        """Return the SHA-256 of the model's file."""
        return str(self.document["model"].get("sha256"))

    @property
    def model(self) -> str:
        """Return the model's name."""
        return str(self.document["model"].get("name") or "model")


def side_of(document: Mapping[str, Any], place: str) -> Side:
    """Return a run from its document, such as `xbench.archive.reading.read_document` returns.

    Raises:
        UsageError: If a row has not the form of a result; ``place`` is what the error names.
    """
    try:
        return Side(
            run=str(document["run_id"]),
            place=place,
            document=document,
            rows=tuple(_row(told, document["spec"]) for told in document["results"]),
            cautions=tuple(codes_of(document))
            + (("interrupted",) if document.get("interrupted") else ()),
            ratios=dict(_ratios(document)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{place} is no result of xbench: {type(error).__name__} {error}"
        fix = "Give a run folder of `xbench compare`, or a document that its --json wrote"
        raise UsageError(what, fix) from error


def _row(told: Mapping[str, Any], spec: Mapping[str, Any]) -> Row:
    p50_ns = _interval((told.get("latency_ns") or {}).get("p50"))
    scenario, per_s = str(told["scenario"]), _interval(told.get("throughput_per_s"))
    figure, time_ns = figure_of(scenario, p50_ns, per_s)
    return Row(
        key=Key(
            backend=str(told["backend"]),
            device=str(told["device"]),
            batch=told["batch"],
            threads=told["threads"].get("requested"),
            precision=str(told["precision"].get("requested")),
            scenario=scenario,
            boundary=str(told["boundary"]),
            profile=(told.get("caps") or {}).get("profile") or spec.get("profile"),
        ),
        id=int(told["id"]),
        name=str(told.get("label") or told["backend"]),
        version=told.get("backend_version"),
        time_ns=time_ns,
        figure=figure,
        sd=_own_sd(told, time_ns) if time_ns else 0.0,
        problem=_problem(told, time_ns),
        failed=_failed(told),
        told=told,
    )


def figure_of(
    scenario: str, p50_ns: Interval | None, per_s: Interval | None
) -> tuple[str, Interval | None]:
    """Return what of a row is compared, and its value as a time in nanoseconds.

    A single stream waits for p50. An ``offline`` row, and a ``server`` whose largest rate was
    searched for, have a rate to compare: a time is one over it.
    """
    load = parse_scenario(scenario)
    if load.kind is Kind.OFFLINE or load.searches:
        if per_s is None or per_s.low <= 0:
            return "throughput", None
        return "throughput", Interval(1e9 / per_s.value, 1e9 / per_s.high, 1e9 / per_s.low)
    return "p50", p50_ns if p50_ns and p50_ns.low > 0 else None


def _problem(told: Mapping[str, Any], time_ns: Interval | None) -> str | None:
    """Return why a row may not be compared, or None."""
    status, reason = str(told["status"]), told.get("reason")
    if status != "ok":
        return f"{status}: {reason}" if reason else status
    if (told.get("caps") or {}).get("broken"):
        return str(reason or "its caps did not hold")
    if time_ns is None and reason:
        return str(reason)
    if time_ns is None:
        latency = told.get("latency_ns") or {}
        needed = (latency.get("needed") or {}).get("p50")
        more = f": {latency.get('n')} inferences, and p50 needs {needed}" if needed else ""
        return f"nothing of it is bounded{more}"
    return None


def _failed(told: Mapping[str, Any]) -> bool:
    load = told.get("load") or {}
    nothing_holds = (load.get("search") or {}).get("stopped") == NONE_HOLDS
    broken = (told.get("caps") or {}).get("broken") or load.get("saturated") or nothing_holds
    return told["status"] != "ok" or bool(broken)


def _own_sd(told: Mapping[str, Any], time_ns: Interval) -> float:
    """Return how far the run itself says that the figure may be off, as a logarithm.

    What launches said of the throughput, and never less than what samples say of the figure.
    """
    of_samples = log(time_ns.high / time_ns.low) / (2 * Z_OF_A_BOUND)
    rate, launches = _interval(told.get("throughput_per_s")), int(told.get("launches") or 0)
    if rate is None or rate.low <= 0 or launches < 2:
        return of_samples
    return max(of_samples, _sd_of_launches(rate, launches))


def _ratios(document: Mapping[str, Any]) -> Any:
    launches = {told["id"]: int(told.get("launches") or 0) for told in document["results"]}
    for one in document.get("comparisons") or ():
        ratio = _interval(one.get("ratio"))
        fewest = min(launches[one["baseline_id"]], launches[one["candidate_id"]])
        if ratio is None or ratio.low <= 0 or fewest < 1:
            continue
        pair = (int(one["baseline_id"]), int(one["candidate_id"]))
        yield pair, (-log(ratio.value), _sd_of_launches(ratio, max(2, fewest)))


def _sd_of_launches(interval: Interval, launches: int) -> float:
    """Return the standard deviation behind a 95 % interval of so many launches."""
    return log(interval.high / interval.low) / 2 / student(0.95, launches - 1)


def _interval(told: Mapping[str, Any] | None) -> Interval | None:
    if told is None:
        return None
    ends = [told[name] for name in ("value", "low", "high")]
    if None in ends:
        return None
    value, low, high = map(float, ends)
    if not (isfinite(value) and isfinite(low) and isfinite(high) and low <= value <= high):
        raise ValueError(f"not an interval: {dict(told)}")
    return Interval(value, low, high)


def codes_of(told: Mapping[str, Any]) -> list[str]:
    """Return the codes of the doubts about a run or a row."""
    return [str(one["code"]) for one in told.get("cautions") or ()]


def called(rows: Iterable[Row]) -> dict[Key, str]:
    """Return a name for each row: its own, and whatever else tells it from another of that name."""
    every = {row.key: row.name for row in rows}
    varying = [n for n in TOLD_APART if len({getattr(key, n) for key in every}) > 1]
    return {key: ", ".join([name, *_apart(key, name, varying)]) for key, name in every.items()}


def _apart(key: Key, name: str, fields: Iterable[str]) -> Iterator[str]:
    for field in fields:
        value = getattr(key, field)
        if str(value) not in name.split():
            yield f"{field} {value}"
