"""What `xbench verify --json` writes.

Schema history (`SCHEMA` is in every document):

1. First version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import inf
from typing import Any

from xbench.claims.claim import Claim, Kind
from xbench.claims.decide import Decision, accepted
from xbench.claims.judge import Judgement
from xbench.claims.verify import Comparison, Verification

SCHEMA = 1


def to_json(found: Verification) -> dict[str, Any]:
    """Return the document; what is not known, or has no bound, is null."""
    return {
        "schema": SCHEMA,
        "file": str(found.file.path),
        "title": found.file.title,
        "note": found.file.note,
        "sources": {one.name: _without_name(asdict(one)) for one in found.file.sources},
        "models": {one.name: _without_name(asdict(one)) for one in found.file.subjects},
        "claims": [_claim(one) for one in found.judgements],
        "counts": {d.name.lower(): found.count(d) for d in Decision},
        "comparisons": [_comparison(one) for one in found.comparisons],
        "host": dict(found.machine.context),
        "out": str(found.out),
        "interrupted": found.interrupted,
    }


def _without_name(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "name"}


def _claim(judged: Judgement) -> dict[str, Any]:
    claim = judged.claim
    return {
        "id": claim.id,
        "kind": claim.kind.value,
        "source": claim.source.name,
        "model": claim.subject.name,
        "batch": claim.batch,
        "threads": claim.threads,
        "rows": [asdict(side) for side in claim.sides],
        "published": {
            "value": claim.value,
            "unit": _unit(claim),
            "figures": dict(claim.figures),
            "tolerance": None if claim.kind is Kind.AGREE else claim.tolerance,
            "most_relative": claim.most_relative,
        },
        "accepted": _accepted(claim),
        "measured": asdict(judged.measured) if judged.measured else None,
        "max_rel": judged.relative,
        "verdict": judged.decision.name.lower(),
        "reason": judged.reason or None,
        "fix": judged.fix or None,
        "doubts": [{"code": one.code.value, "text": one.text} for one in judged.doubts],
        "note": claim.note,
        "line": claim.line,
        "folder": judged.folder,
    }


def _unit(claim: Claim) -> str | None:
    return {Kind.AGREE: None, Kind.LATENCY: "ns"}.get(claim.kind, "ratio")


def _accepted(claim: Claim) -> dict[str, float | None] | None:
    within = accepted(claim)
    if within is None:
        return None
    return {"low": within.low or None, "high": within.high if within.high < inf else None}


def _comparison(one: Comparison) -> dict[str, Any]:
    document = one.document
    return {
        "run_id": document["run_id"],
        "folder": document.get("folder"),
        "reused": one.reused,
        "model": {key: document["model"].get(key) for key in ("name", "sha256")},
        "measure_s": (document.get("timing") or {}).get("measure_s"),
    }
