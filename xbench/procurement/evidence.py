"""From run folders and `--json` documents to the rows that a price can be put on.

Nothing is assumed of a document: what does not have the form of `xbench.result` ends the reading,
and the file is named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any

from xbench.archive.reading import NO_RESULT, read_document
from xbench.errors import UsageError
from xbench.load.scenario import Scenario, parse_scenario
from xbench.result import PERCENTILES, Interval

UNAVAILABLE = "unavailable:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What a row tells of energy.

    Attributes:
        per_inference_j: Joules of one inference, an item of a batch; None where nothing told.
        load_w: Power while runs follow each other.
        idle_w: Power of the device that waits with the model loaded.
        label: How it was measured, or ``unavailable:`` and why.
        scope: What the joules belong to.
    """

    per_inference_j: Interval | None
    load_w: Interval | None
    idle_w: Interval | None
    label: str
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured row, as a document tells it.

    Attributes:
        name: Its backend, with precision and device where rows of its run differ in these.
        run: What tells its run from others.
        label: The option that the command line named for its run, or None.
        latency_s: Percentiles of what a request waits for, by name; None where not bounded.
        extremes_s: The least and the most of the ``timed`` latencies, or None.
        scenario: With the rate that a search found, where it was one.
        problem: Why no price may be put on it, and what helps; None where one may.
        loss: How far its outputs lie from the reference, relative to its largest value; 0 for a
            row at fp32, whose distance is rounding.
        cores: Of the device, where it is a CPU that tells.
    """

    name: str
    run: str
    label: str | None
    host_id: str | None
    device: str
    device_model: str | None
    precision: str
    batch: int
    boundary: str
    scenario: Scenario
    threads: int | None
    cores: int | None
    throughput_per_s: Interval | None
    latency_s: Mapping[str, Interval | None]
    extremes_s: tuple[float, float] | None
    timed: int
    energy: Energy
    parity: str
    loss: float | None
    cautions: tuple[str, ...]
    problem: tuple[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One run: its rows and what they must be read with.

    Attributes:
        run: Its id.
        shapes: Of inputs with open axes, as text.
        conditions: What of the host decides speed: versions by distribution, governor, turbo.
        cautions: Codes of its doubts about the run as a whole.
    """

    path: str
    run: str
    model: str
    model_sha256: str
    shapes: str
    host_id: str | None
    conditions: Mapping[str, str]
    cautions: tuple[str, ...]
    rows: tuple[Row, ...]


def read_evidence(path: Path, label: str | None = None) -> Evidence:
    """Return what a run folder, or a document of `--json`, holds.

    Args:
        path: The folder or the file.
        label: The option of the price file that the whole run is priced by, or None.

    Raises:
        UsageError: If it is no result, or was written by a newer xbench.
    """
    return evidence_of(read_document(path), str(path), label)


def evidence_of(document: Mapping[str, Any], path: str, label: str | None = None) -> Evidence:
    """Return what a document holds, such as `xbench.result.Run.to_json` returns; see above.

    Raises:
        UsageError: If it has not the form of a result; ``path`` is what the error names.
    """
    try:
        return _evidence(path, document, label)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{path} is no result of xbench: {type(error).__name__} {error}"
        raise UsageError(what, NO_RESULT) from error


def _evidence(path: str, document: Mapping[str, Any], label: str | None) -> Evidence:
    host, model = document["host"], document["model"]
    run = str(document["run_id"])
    return Evidence(
        path=path,
        run=run,
        model=str(model.get("name")),
        model_sha256=str(model["sha256"]),
        shapes=json.dumps(document["spec"].get("shapes") or {}, sort_keys=True),
        host_id=host.get("host_id"),
        conditions=_conditions(host),
        cautions=tuple(str(one["code"]) for one in document.get("cautions", ()))
        + (("interrupted",) if document.get("interrupted") else ()),
        rows=tuple(_row(run, host, told, label) for told in document["results"]),
    )


def _conditions(host: Mapping[str, Any]) -> dict[str, str]:
    versions = {f"version of {name}": one for name, one in (host.get("versions") or {}).items()}
    state = {name: host.get(name) for name in ("governor", "turbo", "smt", "virtualisation")}
    return {name: str(one) for name, one in (versions | state).items() if one is not None}


def _row(run: str, host: Mapping[str, Any], told: Mapping[str, Any], label: str | None) -> Row:
    device, latency = str(told["device"]), told["latency_ns"] or {}
    precision = str(told["precision"]["requested"])
    found = _device(host, device)
    parity = told["parity"]
    return Row(
        name=str(told.get("label") or told["backend"]),
        run=run,
        label=label,
        host_id=host.get("host_id"),
        device=device,
        device_model=found.get("model"),
        precision=precision,
        batch=int(told["batch"] or 1),
        boundary=str(told["boundary"]),
        scenario=_scenario(told),
        threads=told["threads"].get("requested"),
        cores=(found.get("details") or {}).get("cores"),
        throughput_per_s=_interval(told["throughput_per_s"]),
        latency_s={name: _interval(latency.get(name), 1e-9) for name in PERCENTILES},
        extremes_s=(latency["min"] / 1e9, latency["max"] / 1e9) if latency else None,
        timed=int(latency.get("n", 0)),
        energy=_energy(told.get("energy")),
        parity=str(parity["status"]),
        loss=0.0 if precision == "fp32" else _number(parity.get("max_rel")),
        cautions=tuple(str(one["code"]) for one in told.get("cautions", ())),
        problem=_problem(told),
    )


def _scenario(told: Mapping[str, Any]) -> Scenario:
    """Return how a row was asked; of a search, at the rate that was found to hold, if one was."""
    scenario, load = parse_scenario(told["scenario"]), told.get("load") or {}
    holds_per_s = (load.get("search") or {}).get("holds_per_s")
    if not scenario.searches or holds_per_s is None:
        return scenario
    if not 0 < holds_per_s < inf:
        raise ValueError(f"not a rate: {holds_per_s!r}")
    return replace(scenario, rate_per_s=float(holds_per_s))


def _device(host: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return what the host tells of a device; nothing where it does not list it."""
    for device in host.get("devices") or ():
        if name in (device["name"], (device.get("details") or {}).get("uuid")):
            return dict(device)
    return {}


def _problem(told: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why no price may be put on a row, whatever the prices are, and what helps."""
    if told["status"] != "ok":
        return f"{told['status']}: {told.get('reason') or 'no reason told'}", told.get("fix") or ""
    parity = told["parity"]
    if parity["status"] != "agrees":
        reason = f": {parity['reason']}" if parity.get("reason") else ""
        words = str(parity["status"]).replace("_", " ")
        return f"its outputs were not found to agree ({words}{reason})", (
            "Only outputs that agree with the reference count; trained weights or --inputs may help"
        )
    if told.get("rank") is None:
        why = f": {told['reason']}" if told.get("reason") else ""
        return f"it is not ranked in its own run{why}", told.get("fix") or "See that run's report"
    if profile := (told.get("caps") or {}).get("profile"):
        return f"it was measured on a host that imitates {profile}, not on that device", (
            "Measure on the device itself; `xbench size` says what to expect of it"
        )
    throughput = _interval(told["throughput_per_s"])
    if throughput is None or throughput.low <= 0:
        return "its throughput is not known: the interval has no lower bound above 0", (
            "Measure it longer, with --time-budget or more --launches"
        )
    return None


def _energy(told: Mapping[str, Any] | None) -> Energy:
    if not told:
        return Energy(
            per_inference_j=None,
            load_w=None,
            idle_w=None,
            scope="none",
            label=f"{UNAVAILABLE}the run is from before energy was measured",
        )
    label = str(told.get("label") or f"{UNAVAILABLE}no meter was asked")
    per_inference_j = _interval(told.get("per_inference_j"))
    if per_inference_j is not None and per_inference_j.low <= 0:
        per_inference_j, label = None, f"{UNAVAILABLE}its interval has no lower bound above 0 J"
    return Energy(
        per_inference_j=per_inference_j,
        load_w=_interval(told.get("load_w")) if per_inference_j else None,
        idle_w=_interval(told.get("idle_w")) if per_inference_j else None,
        label=label,
        scope=str(told.get("scope") or "none"),
    )


def _interval(told: Mapping[str, Any] | None, unit: float = 1.0) -> Interval | None:
    if told is None:
        return None
    ends = [float(told[name]) * unit for name in ("value", "low", "high")]
    if not (all(map(isfinite, ends)) and ends[1] <= ends[0] <= ends[2]):
        raise ValueError(f"not an interval: {dict(told)}")
    return Interval(*ends)


def _number(told: Any) -> float | None:
    return None if told is None else float(told)
