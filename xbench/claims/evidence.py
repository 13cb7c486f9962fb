"""What a run's document says of a claim's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from xbench.claims.claim import Claim, Side
from xbench.result import Interval

Document: TypeAlias = Mapping[str, Any]
Row: TypeAlias = Mapping[str, Any]


def rows_of(document: Document, claim: Claim) -> tuple[Row | None, ...]:
    """Return the row of each side of a claim, or None where the run has none."""
    return tuple(row_of(document, side) for side in claim.sides)


def row_of(document: Document, side: Side) -> Row | None:
    """Return the row of a backend at a precision.

    A backend with a single row has that one, whatever precision it is of: a variant may compute
    in one only, and then the row says so.
    """
    rows = [row for row in document["results"] if row["backend"] == side.backend]
    asked = [row for row in rows if row["precision"]["requested"] == side.precision]
    if asked:
        return dict(asked[0])
    return dict(rows[0]) if len(rows) == 1 else None


def ratio_of(document: Document, baseline: Row, candidate: Row) -> Interval | None:
    """Return baseline latency over candidate latency; None where the run has no ratio of them."""
    pair = (baseline["id"], candidate["id"])
    for one in document.get("comparisons") or ():
        ids = (one["baseline_id"], one["candidate_id"])
        ratio = one["ratio"]
        if ratio is None or set(ids) != set(pair):
            continue
        if ratio["low"] <= 0:  # from 0 up to whatever: nothing is known
            return None
        found = Interval(ratio["value"], ratio["low"], ratio["high"])
        return found if ids == pair else _inverse(found)
    return None


def _inverse(ratio: Interval) -> Interval:
    return Interval(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)


def mean_latency_ns(row: Row) -> Interval | None:
    """Return the mean latency of a row's inference, in nanoseconds, with its 95 % interval.

    From the throughput of a single stream, whose interval comes from the launches; published
    latencies are means as well. None where one launch or round told no spread.
    """
    rate = row.get("throughput_per_s")
    if rate is None or rate["low"] <= 0:
        return None
    batch_ns = 1e9 * (row.get("batch") or 1)
    return Interval(batch_ns / rate["value"], batch_ns / rate["high"], batch_ns / rate["low"])


def spent_s(document: Document) -> float | None:
    """Return the seconds for which a run measured."""
    spent = (document.get("timing") or {}).get("measure_s")
    return float(spent) if spent else None


def launches(rows: Sequence[Row]) -> int:
    """Return the launches that all of the rows had."""
    return min(row.get("launches") or 0 for row in rows)


def cut_short(document: Document, rows: Sequence[Row]) -> str:
    """Return why nothing is decided though there is an interval, or nothing.

    One launch decides only where no more were to be had: it tells nothing of how launches differ.
    """
    asked = document["spec"].get("launches")
    if launches(rows) < 2 and asked != 1:
        return "the time sufficed for one launch, which tells nothing of how launches differ"
    return ""
