"""A row beside the limits of its machine: what it reached of them, and which one binds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xbench.roofline.bound import Roof, bound, share
from xbench.roofline.ceilings import Ceiling, Ceilings, none_of
from xbench.roofline.work import Work, parts

OFF = "the roofline was not asked for"
CLOSE = 0.05  # a limit is the best of some tries: nearer to it than this no probe can tell

FIELDS = (
    "precision",
    "flops_per_s",
    "share",
    "bound",
    "floor_ns",
    "intensity",
    "ridge_flop_per_byte",
    "attainable_flops_per_s",
    "peak_flops_per_s",
    "bandwidth_bytes_per_s",
    "bytes",
    "unfused",
    "reached_by",
    "reason",
)
"""What the mapping of a row holds, in order; see docs/roofline.md for what each means."""


def roofline_of(
    *,
    work: Work,
    ceilings: Ceilings,
    latency_ns: float | None,
    requested: str,
    effective: str | None,
) -> dict[str, Any]:
    """Return a row's ``roofline``; what is not known is None, and ``reason`` says why.

    The floor under the latency is the longer of two times: the operations at the FLOP/s that this
    machine reaches in the row's own precision, and, at the bandwidth that it reaches, the bytes
    that must come from memory again in each inference. Those are the compulsory ones beyond what
    all caches hold: no replacement keeps more from one inference to the next.

    Args:
        work: Of one inference, in the file that the runtime was given.
        ceilings: Of the row's device under the row's caps.
        latency_ns: Of one inference, or None where none was measured.
        requested: The precision that was asked for.
        effective: The precision that the runtime told, or None.
    """
    precision = effective or requested
    peak, bandwidth = peak_of(ceilings, precision), ceilings.bandwidth
    compulsory = work.compulsory_at(precision)
    again = None
    if compulsory is not None and ceilings.caches_bytes is not None:
        again = max(0.0, compulsory - ceilings.caches_bytes)
    done = work.flops * 1e9 / latency_ns if latency_ns and work.flops is not None else None
    known: dict[str, Any] = {
        **dict.fromkeys(FIELDS),
        "precision": precision,
        "flops_per_s": done,
        "peak_flops_per_s": peak.per_s,
        "bandwidth_bytes_per_s": bandwidth.per_s,
        "bytes": {"floor": again, "compulsory": compulsory, "moved": work.moved_bytes},
        "reached_by": {"flops": peak.how, "bandwidth": bandwidth.how},
    }
    if peak.per_s is None or bandwidth.per_s is None or work.flops is None or again is None:
        return {**known, "reason": _missing(work, ceilings, precision, peak)}
    roof = bound(work.flops, again, peak.per_s, bandwidth.per_s)
    told = {**known, **_told(roof), "unfused": _unfused(work, roof)}
    if latency_ns is None:
        return {**told, "reason": "no latency was measured"}
    spread = max(peak.spread or 0.0, bandwidth.spread or 0.0)
    reached = share(latency_ns, roof, min(spread, CLOSE))
    return {**told, "share": reached.share, "reason": reached.reason}


def peak_of(ceilings: Ceilings, precision: str) -> Ceiling:
    """Return the operations a second at a precision; of several, that of the fastest.

    A row that computed in ``int8+fp32`` may have done nearly all in the faster one: only its limit
    is surely one for the row.
    """
    of_parts = {one: ceilings.flops.get(one) for one in parts(precision)}
    for name, one in of_parts.items():
        if one is None:
            return none_of(f"the FLOP/s at {name} were not probed")
        if one.per_s is None:
            return none_of(f"no FLOP/s at {name} are known ({one.reason})")
    found = [one for one in of_parts.values() if one is not None]
    return max(found, key=lambda one: one.per_s or 0.0, default=none_of("no precision is known"))


def _told(roof: Roof) -> dict[str, Any]:
    return {
        "bound": roof.bound,
        "floor_ns": roof.floor_s * 1e9,
        "intensity": roof.intensity,
        "ridge_flop_per_byte": roof.ridge_flop_per_byte,
        "attainable_flops_per_s": roof.attainable_flops_per_s,
    }


def _unfused(work: Work, roof: Roof) -> Mapping[str, Any] | None:
    """Return what would bind the work with nothing fused and no cache: the other end of what is."""
    if work.moved_bytes is None:
        return None
    rates = (roof.peak_flops_per_s, roof.bandwidth_bytes_per_s)
    other = bound(roof.flops, work.moved_bytes, *rates)
    return {"bound": other.bound, "intensity": other.intensity}


def _missing(work: Work, ceilings: Ceilings, precision: str, peak: Ceiling) -> str:
    """Return why no floor can be told."""
    if work.flops is None:
        return work.unknown or "its operations are not known before a run"
    if work.compulsory_bytes is None:
        return work.unknown or "its bytes are not known before a run"
    if peak.per_s is None:
        return peak.reason or f"the FLOP/s at {precision} are not known"
    if ceilings.bandwidth.per_s is None:
        return f"the bandwidth is not known ({ceilings.bandwidth.reason})"
    return "the kernel does not tell what the caches hold, so not what must come from memory again"
