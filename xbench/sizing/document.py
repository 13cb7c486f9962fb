"""A sizing as the JSON document of `xbench size --json`.

Schema history (``schema`` is in every document):

1. First version.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from xbench.procurement.fleet import MEASURED, Fleet, Unfit
from xbench.result import Interval
from xbench.sizing.answer import Caps, Sizing
from xbench.sizing.judge import Answer
from xbench.sizing.rows import Measured
from xbench.sizing.transfer import COMPUTE_REACHED, LEAST_SHARE, MEMORY_REACHED, MOST_THREADS, Scale
from xbench.sizing.trial import Trial

SCHEMA = 1
EVIDENCE = {
    "measured": "by this host under the caps that are named",
    "capped": "a queue worked out (M/G/1) from service times that were measured here under caps",
    "modelled": "for the device: the same, from service times scaled by the rooflines of both",
    "computed": "from the device's own peak figures alone",
}


def to_json(found: Sizing) -> dict[str, Any]:
    """Return the document; every unit is in its key, and what is not known is None."""
    demand = found.demand
    assert demand.slo is not None
    work = found.least.work
    return {
        "schema": SCHEMA,
        "kind": "sizing",
        "model": {
            "name": found.model,
            "flops": work.flops,
            "flops_at_least": found.least.flops,
            "compulsory_bytes": work.compulsory_bytes,
            "moved_bytes": work.moved_bytes,
        },
        "host": {"model": found.host, "cpus": found.cpus},
        "demand": {
            "rate_per_s": demand.rate_per_s,
            "slo": {"percentile": demand.slo.percentile, "limit_s": demand.slo.limit_s},
            "most_load": demand.most_load,
        },
        "assumptions": {
            "evidence": EVIDENCE,
            "compute_reached": COMPUTE_REACHED,
            "memory_reached": MEMORY_REACHED,
            "most_threads": MOST_THREADS,
            "least_share": LEAST_SHARE,
        },
        "measured": [_caps(one) for one in found.caps],
        "profiles": [_answer(one) for one in found.answers],
        "folder": found.folder,
        "interrupted": found.stopped,
    }


def _caps(caps: Caps) -> dict[str, Any]:
    return {
        "threads": caps.threads,
        "profiles": list(caps.profiles),
        "rows": [_measured(one) for one in caps.rows],
        "server": _measured(caps.served) if caps.served else None,
    }


def _measured(one: Measured) -> dict[str, Any]:
    reason, fix = one.row.problem or (None, None)
    return {
        "backend": one.name,
        "precision": one.row.precision,
        "threads": one.threads,
        "scenario": str(one.row.scenario),
        "status": one.status.value,
        "reason": reason,
        "fix": fix,
        "caps": one.words,
        "latency_s": {name: _interval(it) for name, it in one.row.latency_s.items()},
        "fastest_s": one.row.extremes_s[0] if one.row.extremes_s else None,
        "throughput_per_s": _interval(one.row.throughput_per_s),
        "memory_peak_bytes": one.peak_bytes,
        "roofline": {name: one.roofline.get(name) for name in ("share", "bound", "floor_ns")},
        "cautions": [code for code, _ in one.doubts],
        "folder": one.folder,
    }


def _answer(answer: Answer) -> dict[str, Any]:
    profile, trial = answer.profile, answer.trial
    return {
        "profile": profile.name,
        "title": profile.title,
        "kind": profile.kind,
        "figures": profile.confidence,
        "verdict": answer.verdict.value,
        "reason": answer.reason,
        "fix": answer.fix,
        "devices": answer.devices,
        "devices_at_least": answer.devices_least,
        "headroom": asdict(answer.headroom),
        "floor_s": answer.floor_s,
        "accelerators_floor_s": dict(answer.accelerators),
        "threads": profile.threads,
        "memory_bytes": profile.memory_cap_bytes,
        "best": _trial(trial) if trial else None,
    }


def _trial(trial: Trial) -> dict[str, Any]:
    scale = trial.scale
    return {
        "backend": trial.measured.name,
        "precision": trial.measured.row.precision,
        "threads_measured": trial.measured.threads,
        "memory": asdict(trial.memory),
        "latency_s": _interval(trial.latency_s),
        "here": _fleet(trial.here, "capped"),
        "scale": asdict(scale) if isinstance(scale, Scale) else None,
        "at_best": _fleet(trial.best, "modelled"),
        "at_worst": _fleet(trial.worst, "modelled"),
    }


def _fleet(one: Fleet | Unfit | None, evidence: str) -> dict[str, Any] | None:
    if one is None:
        return None
    if isinstance(one, Unfit):
        return {"fits": False, "evidence": evidence, "reason": one.reason, "fix": one.fix}
    served = one.evidence == MEASURED
    return {"fits": True, **asdict(one), "evidence": MEASURED if served else evidence}


def _interval(one: Interval | None) -> dict[str, float] | None:
    return asdict(one) if one else None
