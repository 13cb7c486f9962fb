"""What the index knows of a run and of each of its cells, without opening the run's files."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xbench.result import Interval
from xbench.units import utc_text

FINISHED, INTERRUPTED, UNFINISHED = "finished", "interrupted", "unfinished"
RUNNING, DAMAGED = "running", "damaged"
RUN_STATES = (FINISHED, INTERRUPTED, UNFINISHED, RUNNING, DAMAGED)

_STAMP = re.compile(r"(\d{8}-\d{6})-")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """One run folder.

    Attributes:
        folder: Where it is.
        began: When, in UTC, such as ``2026-01-31T09:15:00Z``; of a run from before this was kept it
            is read from its name, or from its files. Empty where nothing tells.
        host_id: What tells machines apart, without naming them; None where none was read.
        host: The machine's CPU, as its maker names it.
        shapes: Asked for of inputs, as JSON; empty where they were left as the model has them.
        state: Of `RUN_STATES`. A ``damaged`` run has no rows: its result cannot be trusted.
        cells: How many rows it has; ``ok`` of them are ok.
        lines: Of samples, that can be read.
    """

    folder: Path
    run_id: str
    began: str
    host_id: str | None
    host: str | None
    model: str | None
    model_sha256: str | None
    shapes: str
    state: str
    cells: int
    ok: int
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEntry:
    """One row of one run.

    Attributes:
        folder: Its run's; began, host_id, host and shapes are as in `RunEntry`.
        cell: Its id within the run.
        label: Its name in the run's comparisons.
        threads: Asked for, of one inference.
        precision: Asked for.
        profile: The device whose caps it ran under, or None.
        status: A value of `xbench.result.Status`.
        p50_ns: Median latency in nanoseconds, or None.
        rank: Its place in its run, or None where it is not compared.
    """

    folder: Path
    run_id: str
    began: str
    host_id: str | None
    host: str | None
    model: str | None
    model_sha256: str | None
    shapes: str
    cell: int
    label: str
    backend: str
    backend_version: str | None
    device: str
    device_model: str | None
    batch: int | None
    threads: int | None
    precision: str | None
    scenario: str
    boundary: str
    profile: str | None
    status: str
    p50_ns: Interval | None
    throughput_per_s: Interval | None
    rank: int | None
    launches: int
    read: Callable[[Path], Mapping[str, Any]] = field(repr=False, compare=False)

    def document(self) -> Mapping[str, Any]:
        """Return the whole document of its run, read from the folder.

        Raises:
            UsageError: If the folder has gone, or its result is damaged.
        """
        return self.read(self.folder)

    def row(self) -> Mapping[str, Any]:
        """Return the whole row, as `xbench.result.CellResult.to_json` wrote it.

        Raises:
            UsageError: If the folder has gone, or its result is damaged.
        """
        rows = self.document()["results"]
        return next(row for row in rows if row.get("id") == self.cell)


CELL_COLUMNS: Mapping[str, str] = {
    "cell": "INTEGER",
    "label": "TEXT",
    "backend": "TEXT",
    "backend_version": "TEXT",
    "device": "TEXT",
    "device_model": "TEXT",
    "batch": "INTEGER",
    "threads": "INTEGER",
    "precision": "TEXT",
    "scenario": "TEXT",
    "boundary": "TEXT",
    "profile": "TEXT",
    "status": "TEXT",
    "p50_ns": "REAL",
    "p50_low_ns": "REAL",
    "p50_high_ns": "REAL",
    "throughput_per_s": "REAL",
    "throughput_low_per_s": "REAL",
    "throughput_high_per_s": "REAL",
    "rank": "INTEGER",
    "launches": "INTEGER",
}
RUN_COLUMNS: Mapping[str, str] = {
    "run_id": "TEXT",
    "began": "TEXT",
    "host_id": "TEXT",
    "host": "TEXT",
    "model": "TEXT",
    "model_sha256": "TEXT",
    "shapes": "TEXT",
    "state": "TEXT",
    "cells": "INTEGER",
    "ok": "INTEGER",
    "lines": "INTEGER",
}


def run_values(document: Mapping[str, Any], folder: Path, state: str, lines: int) -> dict[str, Any]:
    """Return `RUN_COLUMNS` of a run, from its result or, where there is none, its request."""
    host, model, rows = (document.get(name) or {} for name in ("host", "model", "results"))
    return {
        "run_id": str(document.get("run_id") or folder.name),
        "began": _began(document, folder),
        "host_id": _text(host.get("host_id")),
        "host": _text(_device(host, "cpu").get("model")),
        "model": _text(model.get("name")),
        "model_sha256": _text(model.get("sha256")),
        "shapes": _shapes(document),
        "state": state,
        "cells": len(rows),
        "ok": sum(row.get("status") == "ok" for row in rows),
        "lines": lines,
    }


def cell_values(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield `CELL_COLUMNS` of each row.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: If a row has not the form of one.
    """
    host, profile = document["host"], document["spec"].get("profile")
    for row in document["results"]:
        latency = row["latency_ns"] or {}
        value, low, high = _ends(latency.get("p50"))
        per_s, per_s_low, per_s_high = _ends(row["throughput_per_s"])
        yield {
            "cell": int(row["id"]),
            "label": str(row.get("label") or row["backend"]),
            "backend": str(row["backend"]),
            "backend_version": _text(row.get("backend_version")),
            "device": str(row["device"]),
            "device_model": _text(_device(host, str(row["device"])).get("model")),
            "batch": _whole(row["batch"]),
            "threads": _whole(row["threads"].get("requested")),
            "precision": _text(row["precision"].get("requested")),
            "scenario": str(row["scenario"]),
            "boundary": str(row["boundary"]),
            "profile": _text((row.get("caps") or {}).get("profile") or profile),
            "status": str(row["status"]),
            "p50_ns": value,
            "p50_low_ns": low,
            "p50_high_ns": high,
            "throughput_per_s": per_s,
            "throughput_low_per_s": per_s_low,
            "throughput_high_per_s": per_s_high,
            "rank": _whole(row.get("rank")),
            "launches": int(row.get("launches") or 0),
        }


def _shapes(document: Mapping[str, Any]) -> str:
    """Return the shapes that a run asked for, as JSON; empty where it left them as they are."""
    shapes = (document.get("spec") or {}).get("shapes")
    return json.dumps(shapes, sort_keys=True) if shapes else ""


def _began(document: Mapping[str, Any], folder: Path) -> str:
    """Return when a run began: as it says, as its name says here, or when it was written."""
    if told := document.get("began"):
        return str(told)
    stamp = _STAMP.match(str(document.get("run_id") or folder.name))
    try:
        if stamp:  # older runs were named by the clock on the wall
            return utc_text(time.mktime(time.strptime(stamp[1], "%Y%m%d-%H%M%S")))
        return utc_text(min(path.stat().st_mtime for path in folder.glob("r*.json")))
    except (ValueError, OverflowError, OSError):
        return ""


def _device(host: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return what the host tells of a device; nothing where it does not list it."""
    for device in host.get("devices") or ():
        if name in (device.get("name"), (device.get("details") or {}).get("uuid")):
            return dict(device)
    return {}


def _ends(told: Mapping[str, Any] | None) -> tuple[float | None, float | None, float | None]:
    if not told:
        return None, None, None
    value, low, high = (told[end] for end in ("value", "low", "high"))
    return _number(value), _number(low), _number(high)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
