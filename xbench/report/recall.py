"""From the document of `--json` back to a `Run`, so that a kept run reads as it did when it ended.

Fields that this version does not know are left out; those that an older one did not write have the
defaults of `xbench.result`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xbench.archive.reading import NO_RESULT
from xbench.errors import UsageError
from xbench.result import (
    PERCENTILES,
    Caution,
    CellResult,
    Comparison,
    Interval,
    Latency,
    Parity,
    Run,
    Status,
    Verdict,
)


def run_of(document: Mapping[str, Any]) -> Run:
    """Return the run that a document tells of.

    Raises:
        UsageError: If it has not the form of a result.
    """
    try:
        return _run(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"the document is no result of xbench: {type(error).__name__} {str(error)[:200]}"
        raise UsageError(what, NO_RESULT) from error


def _run(told: Mapping[str, Any]) -> Run:
    return Run(
        run_id=str(told["run_id"]),
        model=dict(told["model"]),
        host=dict(told["host"]),
        spec=dict(told["spec"]),
        results=tuple(map(_row, told["results"])),
        comparisons=tuple(map(_comparison, told["comparisons"])),
        timing=dict(told.get("timing") or {}),
        cautions=_cautions(told),
        folder=told.get("folder"),
        interrupted=bool(told.get("interrupted")),
        began=told.get("began"),
    )


def _row(told: Mapping[str, Any]) -> CellResult:
    return CellResult(
        **{
            **_known(CellResult, told),
            "status": Status(told["status"]),
            "latency_ns": _latency(told.get("latency_ns")),
            "throughput_per_s": _interval(told.get("throughput_per_s")),
            "parity": Parity(**_known(Parity, told["parity"])),
            "cautions": _cautions(told),
        }
    )


def _latency(told: Mapping[str, Any] | None) -> Latency | None:
    if told is None:
        return None
    return Latency(
        **{name: told[name] for name in ("n", "mean", "min", "max")},
        percentiles={name: _interval(told.get(name)) for name in PERCENTILES},
        needed=dict(told.get("needed") or {}),
    )


def _comparison(told: Mapping[str, Any]) -> Comparison:
    own = {"ratio": _interval(told["ratio"]), "verdict": Verdict(told["verdict"])}
    return Comparison(**{**_known(Comparison, told), **own})


def _interval(told: Mapping[str, Any] | None) -> Interval | None:
    """Return an interval; None where a bound is: it was infinite, so nothing was told."""
    if told is None or None in (told["value"], told["low"], told["high"]):
        return None
    return Interval(*(float(told[name]) for name in ("value", "low", "high")))


def _cautions(told: Mapping[str, Any]) -> tuple[Caution, ...]:
    return tuple(Caution(**_known(Caution, one)) for one in told.get("cautions") or ())


def _known(kind: Any, told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in kind.__dataclass_fields__ if name in told}
