"""What the device that a row imitates could do at best: computed, and measured nowhere.

A capped host is not the device. Beside what the host measured stands the least time that the
device's own peak arithmetic and bandwidth allow, by the roofline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xbench.errors import UsageError
from xbench.members import Job
from xbench.profiles import Profile, find_profile, floor_latency_s
from xbench.roofline.work import Work, work_of

CACHES_BYTES = 16 * 2**20  # profiles tell no caches, and none of the devices shipped has more


def device_floors(jobs: Sequence[Job], name_or_path: str | None) -> dict[int, Mapping[str, Any]]:
    """Return by cell the floor under the latency of the device that ``name_or_path`` describes.

    Nothing where no device is imitated, or where its profile cannot be found any more.
    """
    try:
        profile = find_profile(name_or_path) if name_or_path else None
    except UsageError:
        return {}
    if profile is None:
        return {}
    works: dict[Any, Work] = {}
    floors: dict[int, Mapping[str, Any]] = {}
    for job in jobs:
        key = (job.model.path, tuple(sorted(job.model.shapes.items())))
        works[key] = work = works.get(key) or work_of(job.model)
        floors[job.cell.id] = device_floor(
            profile, work, job.cell.precision, job.cell.limits.threads
        )
    return floors


def device_floor(profile: Profile, work: Work, precision: str, threads: int) -> dict[str, Any]:
    """Return the least nanoseconds of one inference on a device's CPU, and from what they are.

    Bytes that its caches might keep from one inference to the next do not count. ``latency_ns`` is
    None where something is not known; ``reason`` says what.
    """
    told: dict[str, Any] = {
        "latency_ns": None,
        "computed": True,
        "device": profile.title,
        "precision": precision,
        "threads": threads,
        "confidence": profile.confidence,
        "reason": None,
    }
    compulsory = work.compulsory_at(precision)
    if work.flops is None or compulsory is None:
        why = work.unknown or "the operations of the model are not known before a run"
        return {**told, "reason": why}
    again = max(0.0, compulsory - CACHES_BYTES)
    floor_s = floor_latency_s(profile, work.flops, again, precision, threads=threads)
    if floor_s is None:
        return {**told, "reason": f"its profile tells no peak at {precision}, or no bandwidth"}
    if not floor_s:
        return {**told, "reason": "no arithmetic is counted, and its bytes may stay in caches"}
    return {**told, "latency_ns": floor_s * 1e9}
