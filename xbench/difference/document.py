"""A difference as the JSON document of `xbench diff --format json`.

Schema history:

1. First version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from math import expm1
from typing import Any

from xbench.difference.answer import Difference
from xbench.difference.fields import Differing
from xbench.difference.judge import Judged
from xbench.difference.matching import Alone, Refused
from xbench.difference.sides import Key, Side

SCHEMA = 1


def to_json(found: Difference) -> dict[str, Any]:
    """Return a difference as lists, maps and numbers; shares are of 1, so that 0.05 is 5 %."""
    terms, common = found.terms, found.common
    return {
        "schema": SCHEMA,
        "first": _side(found.first),
        "second": _side(found.second),
        "terms": {
            "slower_share": terms.slower,
            "fail_slower": terms.fail_slower,
            "fail_undetermined": terms.fail_undetermined,
            "fail_missing": terms.fail_missing,
            "allow": sorted(terms.allowed),
            "reference": sorted(terms.references),
            "raw": terms.raw,
        },
        "exit_status": found.exit_status,
        "alarms": [asdict(alarm) for alarm in found.alarms],
        "differing": _fields(found.differing),
        "forbidding": _fields(found.forbidding),
        "moved_together": None
        if common is None
        else {
            "slower_share": expm1(common.value),
            "rows": len(common.rows),
            "basis": common.basis.value,
            "noteworthy": found.moved_together,
        },
        "earlier_runs": found.runs,
        "rows": [_row(found, row) for row in found.rows],
        "not_compared": [_refused(found, one) for one in found.refused],
        "only_first": [_alone(found, one) for one in found.only_first],
        "only_second": [_alone(found, one) for one in found.only_second],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "run_id": side.run,
        "place": side.place,
        "model": side.model,
        "model_sha256": side.model_hash,
        "host_id": side.host,
        "cautions": list(side.cautions),
    }


def _row(found: Difference, row: Judged) -> dict[str, Any]:
    first, second = row.pair.first, row.pair.second
    return {
        **_named(found, second.key),
        "figure": second.figure,
        "first_ns": asdict(first.time_ns) if first.time_ns else None,
        "second_ns": asdict(second.time_ns) if second.time_ns else None,
        "ratio": asdict(row.ratio),
        "verdict": row.verdict.value,
        "alarm": row.alarm,
        "reference": row.reference,
        "slower_share": expm1(row.slower),
        "moved_share": expm1(row.moved),
        "scatter": asdict(row.scatter),
        "least_found_share": row.least,
        "differing": _fields(row.pair.differing),
    }


def _refused(found: Difference, one: Refused) -> dict[str, Any]:
    own = {"reason": one.reason, "broken": one.broken, "forbidding": _fields(one.forbidding)}
    return {**_named(found, one.pair.second.key), **own}


def _alone(found: Difference, one: Alone) -> dict[str, Any]:
    return {**_named(found, one.row.key), "nearest_differs_in": _fields(one.nearest)}


def _named(found: Difference, key: Key) -> dict[str, Any]:
    return {"name": found.names[key], **key._asdict()}


def _fields(fields: Iterable[Differing]) -> list[dict[str, Any]]:
    return [
        {"field": one.name, "first": one.first, "second": one.second, "allow": one.allow}
        for one in fields
    ]
