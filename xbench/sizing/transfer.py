"""From a latency that was measured here to a range for a device: by the roofline of both.

A backend came to a share of what this host allows: the floor of its roofline over its latency.
The low end takes it to come as near to what the device's own peak figures allow as its fastest
inference came here, with all cores. The high end goes by the median, and takes those figures to
be reached in part only (`COMPUTE_REACHED`, `MEMORY_REACHED`), by no more than twice as many
threads as were measured, nothing of the memory traffic to hide behind arithmetic, and no cache to
save any of it. The share that was reached here is of the side that binds here, and lengthens that
side alone. Both ends are assumptions; docs/sizing.md puts them beside published measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from xbench.procurement.evidence import Row
from xbench.profiles import Profile, peak_per_s
from xbench.result import Interval
from xbench.roofline.bound import MEMORY
from xbench.sizing.least import Least

LEAST_SHARE = 0.25  # of this host's limits; below it, something else takes most of the time
COMPUTE_REACHED = 1 / 3  # of a device's peak arithmetic, at the high end
MEMORY_REACHED = 1 / 3  # of its peak bandwidth: STREAM on a Raspberry Pi 4 reaches 0.38 to 0.43
MOST_THREADS = 2  # times those measured, at the high end


@dataclass(frozen=True, slots=True)
class Scale:
    """How many times a latency here a device takes, at both ends of what is likely."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Unscaled:
    """Why nothing is said of a device's own speed."""

    reason: str


def scale_to(
    profile: Profile,
    least: Least,
    *,
    median_s: float | None,
    fastest_s: float | None,
    precision: str,
    threads: int,
    roofline: Mapping[str, Any],
) -> Scale | Unscaled:
    """Return how a device's latency relates to the one measured here, or why that is not known.

    Args:
        profile: The device.
        least: The model.
        median_s: The latency here, in seconds; None where none was measured.
        fastest_s: Of the fastest inference: what others on this host disturbed least.
        precision: At which it was.
        threads: With how many it was.
        roofline: It beside this host's limits; see `xbench.roofline.row`.
    """
    here_ns = roofline.get("floor_ns")
    if median_s is None or fastest_s is None:
        return Unscaled("no latency was measured")
    if not here_ns:
        return Unscaled(f"nothing tells what this host allows: {roofline.get('reason') or 'off'}")
    share, most = here_ns / 1e9 / median_s, here_ns / 1e9 / min(fastest_s, median_s)
    if most < LEAST_SHARE:
        return Unscaled(
            f"it reaches {most:.0%} of what this host allows: what takes the rest is neither"
            " arithmetic nor memory, and no figure of the device tells how it does with that"
        )
    ends = _ends_s(profile, least, precision, threads)
    if isinstance(ends, Unscaled):
        return ends
    low_s = max(ends.floor_s / most, least.floor_s(profile, precision) or 0.0)
    of_memory = roofline.get("bound") == MEMORY
    compute_s = ends.compute_s if of_memory else ends.compute_s / share
    memory_s = ends.memory_s / share if of_memory else ends.memory_s
    high_s = max(compute_s + memory_s, low_s)
    return Scale(low_s / median_s, high_s / median_s)


def scaled(row: Row, factor: float) -> Row:
    """Return a row as if each of its inferences had taken ``factor`` times as long."""
    told, ends = row.throughput_per_s, row.extremes_s
    return replace(
        row,
        latency_s={name: _times(one, factor) for name, one in row.latency_s.items()},
        throughput_per_s=_times(told, 1 / factor),
        extremes_s=(ends[0] * factor, ends[1] * factor) if ends else None,
    )


@dataclass(frozen=True, slots=True)
class _Ends:
    """Seconds of one inference on a device, by its figures.

    Attributes:
        floor_s: With its peaks reached: the longer of arithmetic and memory.
        compute_s: Of arithmetic, as far as its peak may be reached.
        memory_s: Of all that the nodes move, likewise.
    """

    floor_s: float
    compute_s: float
    memory_s: float


def _ends_s(profile: Profile, least: Least, precision: str, threads: int) -> _Ends | Unscaled:
    work, bandwidth = least.work, profile.memory.bandwidth_bytes_per_s
    peak = peak_per_s(profile, precision)
    fewer = peak_per_s(profile, precision, threads=MOST_THREADS * threads)
    if peak is None or fewer is None or bandwidth is None:
        return Unscaled(f"its profile tells no peak at {precision}, or no bandwidth")
    if work.flops is None or work.moved_bytes is None:
        return Unscaled(f"the model's work is not known before a run: {work.unknown}")
    floor_s = max(work.flops / peak, least.again_bytes(precision) / bandwidth)
    if not floor_s:
        return Unscaled("no arithmetic is counted, and its bytes may stay in caches")
    compute_s = work.flops / (fewer * COMPUTE_REACHED)
    return _Ends(floor_s, compute_s, work.moved_bytes / (bandwidth * MEMORY_REACHED))


def _times(one: Interval | None, factor: float) -> Interval | None:
    return Interval(one.value * factor, one.low * factor, one.high * factor) if one else None
