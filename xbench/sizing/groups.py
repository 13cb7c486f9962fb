"""Profiles that are the same caps on this host, so that each set of caps is measured once.

A host with two CPUs caps a four-core and an eight-core device alike. Caps on memory differ, but
one that is far above what a process held slows nothing down: that is read off the peak of a launch
under a larger cap. Only where the peak comes near does a profile need a run of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from xbench.errors import UsageError
from xbench.profiles import Profile, find_profile, profiles

ALL = "all"
ROOMY = 0.8  # a peak up to this share of a cap is far from binding
OVER = 1.25  # a peak beyond this share: what the kernel could take back does not bridge that


class Room(StrEnum):
    """What a peak under a larger cap says of a smaller one."""

    ENOUGH = "enough"
    NEAR = "near"
    TOO_LITTLE = "too little"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A profile, and how `xbench compare` is asked for it: a name, or the user's path."""

    profile: Profile
    reference: str

    @property
    def cap_bytes(self) -> int:
        """Return the cap on memory."""
        return self.profile.memory_cap_bytes


@dataclass(frozen=True, slots=True)
class Group:
    """Profiles that have the same number of threads here; ``lead`` has the most memory of them."""

    threads: int
    lead: Wanted
    members: tuple[Wanted, ...]


def wanted(names: Sequence[str]) -> tuple[Wanted, ...]:
    """Return the profiles that ``names`` stand for, each once: ``all``, names, TOML files.

    Raises:
        UsageError: If there is none of that name, or a file cannot be used.
    """
    found: dict[str, Wanted] = {}
    for name in names:
        if name == ALL:
            every = [Wanted(profile, profile.name) for profile in profiles()]
        else:
            profile = find_profile(name)
            is_path = name.endswith(".toml") or os.sep in name
            every = [Wanted(profile, name if is_path else profile.name)]
        for one in every:
            found.setdefault(one.profile.name.casefold(), one)
    if not found:
        raise UsageError(
            "--profiles names none", "`xbench profiles` lists them; `all` is every one"
        )
    return tuple(found.values())


def grouped(asked: Sequence[Wanted], cpus: int) -> tuple[Group, ...]:
    """Return the profiles by their threads on a host with so many CPUs, most threads first."""
    by_threads: dict[int, list[Wanted]] = {}
    for one in asked:
        by_threads.setdefault(min(one.profile.threads, cpus), []).append(one)
    return tuple(
        Group(threads, max(members, key=lambda one: one.cap_bytes), tuple(members))
        for threads, members in sorted(by_threads.items(), reverse=True)
    )


def room(peak_bytes: int, cap_bytes: int) -> Room:
    """Return whether what peaked at so many bytes under a larger cap fits into this one."""
    if peak_bytes <= ROOMY * cap_bytes:
        return Room.ENOUGH
    return Room.TOO_LITTLE if peak_bytes > OVER * cap_bytes else Room.NEAR
