"""A finished run as it is handed on: its rows, their names, and which of them have a speed to tell.

Nothing is assumed of a document: what has not the form of `xbench.result` ends the reading, and the
file is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbench.archive.reading import read_document
from xbench.errors import UsageError
from xbench.publishing.measures import Measure, agreement_of, speed_of
from xbench.publishing.names import digest
from xbench.report.text import clean, sentence
from xbench.store import RESULT

Setting = str | int | None

# Not where it is kept, nor with which hashes: the same run in a folder and as a file is one.
_FOUND = ("run_id", "began", "model", "host", "spec", "results", "comparisons", "interrupted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One cell of a run.

    Attributes:
        id: Its cell, as in the run's samples.
        name: All that sets it apart, the same in every run of the same question:
            ``mobilenet_v2 / onnxruntime / cpu / fp32 / batch 1 / 2 threads / single-stream``.
        label: Its name within its run.
        settings: What was asked for and what was in force, by name.
        status: A value of `xbench.result.Status`.
        no_speed: Why it has no speed to tell, in a sentence; None where it has.
        speed: What it measured; empty where it has no speed to tell.
        agreement: How far its outputs lie from the reference.
        facts: What else is told of it, as text by name: reason, parity, cautions, verdict.
    """

    id: int
    name: str
    label: str
    settings: Mapping[str, Setting]
    status: str
    no_speed: str | None
    speed: tuple[Measure, ...]
    agreement: tuple[Measure, ...]
    facts: Mapping[str, str]

    def measure(self, name: str) -> Measure | None:
        """Return a measure of its speed by its name, or None."""
        return next((one for one in self.speed if one.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A run to hand on.

    Attributes:
        path: Where it was read from, a run folder or a document.
        key: 64 digits that stand for all it found: another run has another, though it may have
            the same id, and a copy has the same.
        cautions: Codes of the doubts about the run as a whole, separated by spaces.
        document: The whole of it.
    """

    path: Path
    run_id: str
    key: str
    model: str
    cautions: str
    rows: tuple[Row, ...]
    document: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """Return the file that its document stands in."""
        return self.path / RESULT if self.path.is_dir() else self.path

    @property
    def told(self) -> tuple[Row, ...]:
        """Return the rows that have a speed to tell."""
        return tuple(row for row in self.rows if row.no_speed is None)

    @property
    def left_out(self) -> tuple[Row, ...]:
        """Return the rows that have none."""
        return tuple(row for row in self.rows if row.no_speed is not None)


def read_published(path: Path) -> Published:
    """Return what is handed on of a run folder, or of a document of `--json`.

    Raises:
        UsageError: If it is no result, is damaged, or was written by a newer xbench.
    """
    return published_of(read_document(path), path)


def published_of(document: Mapping[str, Any], path: Path) -> Published:
    """Return what is handed on of a document; see above.

    Raises:
        UsageError: If it has not the form of a result; ``path`` is what the error names.
    """
    try:
        return _published(document, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        fix = "Give a run folder of `xbench compare`, or a document that its --json wrote"
        what = f"{path} is no result of xbench: {type(error).__name__} {clean(error)[:200]}"
        raise UsageError(what, fix) from error


def _published(document: Mapping[str, Any], path: Path) -> Published:
    found = {name: document.get(name) for name in _FOUND}
    return Published(
        path=path,
        run_id=clean(document["run_id"]),
        key=digest(json.dumps(found, sort_keys=True)),
        model=clean(document["model"].get("name") or "model"),
        cautions=_codes(document),
        rows=tuple(_row(document, told) for told in document["results"]),
        document=document,
    )


def _row(document: Mapping[str, Any], told: Mapping[str, Any]) -> Row:
    settings = _settings(document, told)
    comparison = _comparison(document, told)
    no_speed = _no_speed(told)
    ratio = comparison.get("ratio") if comparison else None
    facts = {**_facts(told), **(_compared(comparison) if comparison and not no_speed else {})}
    return Row(
        id=int(told["id"]),
        name=" / ".join(_parts(settings)),
        label=clean(told.get("label") or told["backend"]),
        settings=settings,
        status=str(told["status"]),
        no_speed=no_speed,
        speed=() if no_speed else tuple(speed_of(told, ratio)),
        agreement=tuple(agreement_of(told)),
        facts={name: text for name, text in facts.items() if text},
    )


def _settings(document: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Setting]:
    shapes = document["spec"].get("shapes") or {}
    precision, threads = told["precision"], told["threads"]
    return {
        "model": clean(document["model"].get("name") or "model"),
        "backend": clean(told["backend"]),
        "backend_version": _text(told.get("backend_version")),
        "device": clean(told["device"]),
        "precision": _text(precision.get("requested")),
        "precision_effective": _text(precision.get("effective")),
        "batch": _whole(told["batch"]),
        "threads": _whole(threads.get("requested")),
        "threads_effective": _whole(threads.get("effective")),
        "scenario": clean(told["scenario"]),
        "boundary": clean(told["boundary"]),
        "profile": _text((told.get("caps") or {}).get("profile")),
        "shapes": _text(json.dumps(shapes, sort_keys=True)) if shapes else None,
        "launches": _whole(told.get("launches")),
        "rounds": _whole(told.get("rounds")),
        "inferences": _whole((told.get("latency_ns") or {}).get("n")),
    }


def _parts(settings: Mapping[str, Setting]) -> Iterator[str]:
    """Yield the parts of a row's name; what is as by default is named only where always asked."""
    yield from (str(settings[name] or "-") for name in ("model", "backend", "device", "precision"))
    yield f"batch {settings['batch'] or 'of its own'}"
    if threads := settings["threads"]:
        yield f"{threads} thread{'s' if threads != 1 else ''}"
    yield str(settings["scenario"])
    if settings["boundary"] != "host":
        yield f"boundary {settings['boundary']}"
    if profile := settings["profile"]:
        yield f"capped like {profile}"
    if shapes := settings["shapes"]:
        yield f"shapes {shapes}"


def _no_speed(told: Mapping[str, Any]) -> str | None:
    """Return why a row's numbers are no speed of what was asked for, or None where they are."""
    reason = told.get("reason")
    if told["status"] != "ok":
        words = str(told["status"]).replace("_", " ")
        return sentence(f"{words}: {reason}" if reason else words)
    if told["parity"]["status"] == "disagrees":
        return sentence(told["parity"].get("reason") or "its outputs differ from the reference")
    if (told.get("caps") or {}).get("broken"):
        return sentence(reason or "its caps did not hold")
    if not told.get("latency_ns"):  # of a server that is saturated, or for which no rate was found
        return sentence(reason or "nothing was measured")
    return None


def _facts(told: Mapping[str, Any]) -> dict[str, str]:
    parity, energy = told["parity"], told.get("energy") or {}
    return {
        "reason": clean(told.get("reason") or ""),
        "fix": clean(told.get("fix") or ""),
        "parity": clean(parity["status"]),
        "parity_reference": clean(parity.get("reference") or ""),
        "cautions": _codes(told),
        "energy": clean(energy.get("label") or ""),
        "rank": "" if told.get("rank") is None else str(told["rank"]),
    }


def _compared(comparison: Mapping[str, Any]) -> dict[str, str]:
    return {
        "verdict": clean(comparison["verdict"]),
        "baseline": clean(comparison["baseline"]),
    }


def _comparison(document: Mapping[str, Any], told: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the comparison of a row with its baseline, the first it is the candidate of."""
    for one in document.get("comparisons") or ():
        if one["candidate_id"] == told["id"] and one.get("ratio"):
            return dict(one)
    return None


def _codes(told: Mapping[str, Any]) -> str:
    return " ".join(clean(one["code"]) for one in told.get("cautions") or ())


def _text(told: object) -> str | None:
    return None if told is None else clean(told)


def _whole(told: Any) -> int | None:
    return None if told is None else int(told)
