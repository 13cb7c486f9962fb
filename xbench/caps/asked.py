"""From a request to what its workers may use: the profile decides, the command line may ask less.

What cannot be held as it was asked is refused before anything is measured. A row of a smaller
batch or of fewer threads than the user meant would answer another question.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from xbench.adapter import Limits
from xbench.device import CPU, allowed_cpus, devices_of, limits_for
from xbench.errors import UsageError
from xbench.plan import Spec
from xbench.profiles import Profile, find_profile


def asked_limits(spec: Spec) -> list[Limits]:
    """Return what the workers on each device may use.

    Raises:
        UsageError: If this machine or the profile cannot give what was asked for.
    """
    devices = devices_of(spec.device)
    if spec.profile is None:
        return [limits_for(spec.threads, device, streams=spec.load.streams) for device in devices]
    profile = find_profile(spec.profile)
    refuse_batches(spec, spec.batches)
    if gpus := [device for device in devices if device != CPU]:
        fix = "Leave out --device, or --profile"
        raise UsageError(f"a profile caps the CPU and memory, and {gpus[0]} has no caps", fix)
    threads, streams = _threads(spec, profile), spec.load.streams
    limits = limits_for(threads, CPU, profile.memory_cap_bytes, streams)
    return [replace(limits, profile=profile.name)]


def refuse_batches(spec: Spec, batches: Iterable[int | None]) -> None:
    """Return if the profile of a request, where it has one, takes every one of ``batches``.

    Raises:
        UsageError: If one is larger than the profile's largest.
    """
    if spec.profile is None:
        return
    profile = find_profile(spec.profile)
    most, largest = profile.max_batch, max((size or 0 for size in batches), default=0)
    if most is not None and largest > most:
        raise UsageError(
            f"{profile.name} takes batches up to {most}, and {largest} was asked for",
            f"Ask for --batch {most} or less, or write a profile of your own with a larger "
            "max_batch: docs/profiles.md",
        )


def _threads(spec: Spec, profile: Profile) -> int:
    """Return the threads of one inference: the profile's, shared by streams, or fewer if asked.

    Raises:
        UsageError: If more were asked for than it has, or if it has more than this machine.
    """
    streams, most, here = spec.load.streams, profile.threads, len(allowed_cpus())
    asked = spec.threads
    if asked is None and streams > 1:
        asked = max(1, min(most, here) // streams)
    if asked is not None and asked * streams > most:
        wanted = f"{streams} streams of {asked}" if streams > 1 else f"{asked}"
        reason = f"{wanted} threads were asked for, and {profile.name} has {most}"
        fewer = "less" if streams == 1 else "fewer streams"
        raise UsageError(reason, f"Ask for --threads {max(1, most // streams)} or {fewer}")
    if asked is None and most > here:
        reason = f"{profile.name} has {most} threads, and this process may use {here} CPUs"
        fix = f"Ask for --threads {here}: rows then say so; or measure on a machine with {most}"
        raise UsageError(reason, fix)
    return most if asked is None else asked
