"""A search as the JSON document of `xbench tune --json`, and ``tune.json`` in its folder.

Schema history (``schema`` is in every document):

1. First version.
"""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from xbench.result import Interval
from xbench.tuning.command import command
from xbench.tuning.judgement import as_ratio
from xbench.tuning.limits import keeps

if TYPE_CHECKING:
    from xbench.tuning.goal import Goal
    from xbench.tuning.run import Tuned
    from xbench.tuning.space import Configuration

SCHEMA = 1


def to_json(found: Tuned) -> dict[str, Any]:
    """Return the document; units are in the keys.

    Of ``configurations`` each has its ``state`` and ``why``, its ``ratio`` to the best (of
    throughput, or of speed where latency is the goal) if it was measured, and its ``reach``, the
    most that the ratio could be, where it was left out for that. ``results`` has the rows of those
    that were measured, as a comparison has them; ``id`` is the configuration's.
    """
    request = found.request
    every = [_configuration(found, one) for one in found.space.configurations]
    return {
        "schema": SCHEMA,
        "kind": "tune",
        "run_id": found.folder.rpartition("/")[2],
        "model": dict(found.model),
        "host": dict(found.host),
        "spec": asdict(request.spec),
        "goal": _goal(request.goal),
        "answer": _answer(found),
        "configurations": every,
        "left_out": [{"what": what, "why": why} for what, why in found.space.left_out],
        "counts": {
            "configurations": len(found.space),
            "started": found.started,
            "full_effort": sum(seen.finals > 0 for seen in found.evidence.seen.values()),
        },
        "results": [row.to_json() for row in found.rows.values()],
        "cautions": [asdict(one) for one in found.cautions],
        "timing": {f"{name}_s": spent_s for name, spent_s in found.seconds.items()},
        "began": found.began,
        "interrupted": found.interrupted,
        "everything": request.everything,
        "folder": found.folder,
    }


def _goal(goal: Goal) -> dict[str, Any]:
    slo = goal.slo
    return {
        "aim": goal.aim.value,
        "slo": {"percentile": slo.percentile, "limit_s": slo.limit_s} if slo else None,
        "memory_bytes": goal.memory_bytes,
    }


def _answer(found: Tuned) -> dict[str, Any]:
    choice = found.choice
    return {
        "winner": choice.winner,
        "sureness": choice.sureness.value,
        "equals": list(choice.equals),
        "rivals": list(choice.rivals),
        "limit": choice.kept.value if found.request.goal.slo else None,
        "command": command(found),
    }


def _configuration(found: Tuned, one: Configuration) -> dict[str, Any]:
    standing = found.judgement.standings[one.id]
    seen = found.evidence.seen.get(one.id)
    gap = found.judgement.gaps.get(one.id)
    slo = found.request.goal.slo
    return {
        **asdict(one),
        "name": one.name,
        "state": standing.state.value,
        "why": standing.why or None,
        "ratio": _finite(as_ratio(gap.interval)) if gap else None,
        "reach": standing.reach,
        "limit": keeps(slo, found.evidence.by_round(one.id)).value
        if slo and seen and seen.measured
        else None,
        "memory_bytes": seen.memory_bytes if seen else None,
        "launches": seen.launches if seen else 0,
        "rounds": len(seen.latencies_ns) if seen else 0,
        "full_launches": seen.finals if seen else 0,
    }


def _finite(interval: Interval) -> dict[str, float | None]:
    """Return an interval with None for a bound that is not known."""
    return {name: bound if isfinite(bound) else None for name, bound in asdict(interval).items()}
