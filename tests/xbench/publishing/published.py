"""Runs to publish: made by hand, of every kind, and real ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.xbench.report.runs import HOSTILE, cell, run_of, typical, versus
from xbench.publishing.rows import Published, published_of, read_published
from xbench.result import Caution, Interval, Run

HOST: dict[str, Any] = {
    "host_id": "0123456789ab",
    "devices": [{"name": "cpu", "model": "ACME 1", "details": {"cores": 2}}],
    "versions": {"xbench": "0.1.0"},
}
NASTY = f'<script>alert("1")</script>../../etc/{HOSTILE}:\'; DROP TABLE runs;--'


def document(run: Run, **own: Any) -> dict[str, Any]:
    """Return the document of a run as a reader gets it."""
    found = json.loads(json.dumps({**run.to_json(), **own}))
    return dict(found)


def write(place: Path, run: Run, name: str = "result.json", **own: Any) -> Path:
    path = place / name
    path.write_text(json.dumps(document(run, **own)), encoding="utf-8")
    return path


def published(run: Run, **own: Any) -> Published:
    """Return a run as it is handed on, without a file."""
    return published_of(document(run, **own), Path("result.json"))


def kept(place: Path, run: Run, **own: Any) -> Published:
    """Return a run as it is handed on, read from a file in ``place``."""
    return read_published(write(place, run, **own))


def nasty() -> Run:
    """Return a run whose every name means harm."""
    first = cell(0, NASTY, 4e6, 1, backend_version=NASTY, options={NASTY: NASTY})
    second = cell(1, f"b:{NASTY}" * 40, 5e6, 2, cautions=(Caution(NASTY, NASTY, NASTY),))
    third = replace(typical().results[6], id=2, backend=NASTY, reason=NASTY, fix=NASTY)
    return run_of(
        (first, second, third),
        (versus(first, second, Interval(0.8, 0.79, 0.81), "slower"),),
        run_id=NASTY,
        model={"name": NASTY, "sha256": NASTY},
        host={**HOST, "host_id": NASTY},
        cautions=(Caution(NASTY, NASTY, NASTY),),
    )
