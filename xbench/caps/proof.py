"""Whether a row's caps held, from what the kernel told of each launch and each round.

CPU seconds over wall seconds may be 3 % above the cap, since the two clocks are read one after
the other. A quota is handed out by periods, so that an epoch may hold the work of one more:
starting just before a period ends, ``n`` threads spend its budget ``q * P`` and at once the next
one's. Over a time ``W`` that comes to at most ``q * W + 2 * q * P * (1 - q / n)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, median_low
from typing import Any

from xbench.adapter import Limits
from xbench.caps.groups import PERIOD_US
from xbench.caps.words import capped_text, size_text
from xbench.samples import Epoch, Launched

TOLERANCE = 1.03  # CPU seconds over wall seconds and cap: beyond it the cap did not hold
PAGE_BYTES = 65536  # the largest that Linux uses: limits are rounded to pages
QUOTA_ROUNDING = 1.001  # a quota is written in whole microseconds
BROKEN_FIX = "It used more than the others might; docs/caps.md says how each cap is read back"
NOT_OF_RUNNING = frozenset({"convert"})  # another process's work, which no device would do


@dataclass(frozen=True, slots=True)
class Proof:
    """What was read of a row's caps, and which of them did not hold.

    Attributes:
        cpus_used: CPU seconds over wall seconds: the median of the rounds.
        cpus_allowed: What that may be, without the tolerance.
        busy_threads: How many worked at a time, in most of the launches at least.
        strayed: CPUs that some thread could run on, and that the row was not given.
        memory_limit_bytes: The largest limit that was in force, over the launches.
        memory_peak_bytes: The most that was charged to a worker's control group.
        memory_kills: Processes that the kernel killed in these groups, over the launches.
        resident_peak_bytes: The most that a worker and its children had resident.
        address_space_bytes: The largest limit on the address space that was in force.
        quota_cpus: The largest quota that was in force.
        time: Why the cap on threads or CPU time did not hold, or None.
        place: Why the cap on CPUs did not hold, or None.
        other: Why those on memory and quota did not hold.
    """

    cpus_used: float
    cpus_allowed: float
    busy_threads: int
    strayed: tuple[int, ...]
    memory_limit_bytes: int | None
    memory_peak_bytes: int | None
    memory_kills: int
    resident_peak_bytes: int | None
    address_space_bytes: int | None
    quota_cpus: float | None
    time: str | None
    place: str | None
    other: tuple[str, ...]

    def broken(self, device: str) -> tuple[str, ...]:
        """Return why the row's caps did not hold; nothing where they did.

        What a GPU computes is not bought with threads of the host: there these are a doubt.
        """
        of_cpu = (self.time, self.place) if device == "cpu" else ()
        return (*(one for one in of_cpu if one), *self.other)


def prove(limits: Limits, launched: Sequence[Launched], epochs: Sequence[Epoch]) -> Proof:
    """Return what was read of the caps of a measured row; both sequences hold something."""
    read = [one.caps["read"] for one in launched if one.caps]
    wall_ns = median(epoch.wall_ns for epoch in epochs)
    memory = {
        "memory_limit_bytes": _most(read, "memory_limit_bytes"),
        "memory_peak_bytes": _highest(one["memory_peak_bytes"] for one in read),
        "memory_kills": sum(one["memory_kills"] for one in read),
        "resident_peak_bytes": _highest(_resident_peak(one.memory) for one in launched),
        "address_space_bytes": _most(read, "address_space_bytes"),
    }
    used = median(epoch.cpu_ns / max(1, epoch.wall_ns) for epoch in epochs)
    allowed = cpus_allowed(limits, wall_ns)
    busy = median_low(one.busy_threads for one in launched)  # one may have seen a neighbour
    seen = {cpu for one in launched for cpu in one.cpus}.union(*(one["cpus"] for one in read))
    strayed = tuple(sorted(seen - set(limits.cpus))) if limits.cpus else ()
    quota = _most(read, "quota_cpus")
    by = [one.caps["by"] for one in launched if one.caps]
    return Proof(
        cpus_used=used,
        cpus_allowed=allowed,
        busy_threads=busy,
        strayed=strayed,
        **memory,
        quota_cpus=quota,
        time=_time(limits, used, allowed, busy),
        place=_place(strayed),
        other=(*_memory(limits, by, **memory), *_quota(limits, quota)) if read else (),
    )


def cpus_allowed(limits: Limits, wall_ns: float) -> float:
    """Return how many CPUs' time a row may use over ``wall_ns`` nanoseconds, at most."""
    quota = limits.quota_cpus
    if quota is None or quota >= limits.all_threads:
        return float(limits.all_threads)
    burst = 2 * PERIOD_US * 1e3 / max(1.0, wall_ns) * (1 - quota / limits.all_threads)
    return min(float(limits.all_threads), quota * (1 + burst))


def of_row(limits: Limits, launched: Sequence[Launched], epochs: Sequence[Epoch]) -> dict[str, Any]:
    """Return what a row says of its caps, as plain data.

    ``by`` names what imposed each cap, ``held`` has what was read back while it ran, and
    ``broken`` says which did not hold. ``held`` is None for a row that was not measured.
    """
    proof = prove(limits, launched, epochs) if launched and epochs else None
    told = next((one.caps for one in reversed(launched) if one.caps), None)
    return {
        "profile": limits.profile,
        "threads": limits.threads,
        "cpus": list(limits.cpus),
        "memory_bytes": limits.memory_bytes,
        "quota_cpus": limits.quota_cpus,
        "by": dict(told["by"]) if told else None,
        "held": _held(proof) if proof else None,
        "broken": list(proof.broken(limits.device)) if proof else [],
        "words": capped_text(limits),
    }


def _held(proof: Proof) -> dict[str, Any]:
    return {
        "cpus_used": proof.cpus_used,
        "cpus_allowed": proof.cpus_allowed,
        "busy_threads": proof.busy_threads,
        "strayed_cpus": list(proof.strayed),
        "memory_limit_bytes": proof.memory_limit_bytes,
        "memory_peak_bytes": proof.memory_peak_bytes,
        "memory_kills": proof.memory_kills,
        "resident_peak_bytes": proof.resident_peak_bytes,
        "address_space_bytes": proof.address_space_bytes,
        "quota_cpus": proof.quota_cpus,
    }


def _time(limits: Limits, used: float, allowed: float, busy: int) -> str | None:
    if busy <= limits.all_threads and used <= TOLERANCE * allowed:
        return None
    quota = limits.quota_cpus
    most = f"{limits.all_threads}"
    if quota is not None:
        most += f", and {quota:g} CPUs' time,"
    return f"{busy} threads were busy and used {used:.2f} CPUs; {most} allowed"


def _place(strayed: Sequence[int]) -> str | None:
    if not strayed:
        return None
    named = ", ".join(map(str, strayed))
    return f"a thread of it could run on CPU {named}, which it was not given"


def _memory(
    limits: Limits,
    by: Sequence[Mapping[str, str]],
    *,
    memory_limit_bytes: int | None,
    memory_peak_bytes: int | None,
    memory_kills: int,
    resident_peak_bytes: int | None,
    address_space_bytes: int | None,
) -> Iterable[str]:
    """Yield why the cap on memory did not hold."""
    cap = limits.memory_bytes
    if cap is None:
        return
    in_group = all(one["memory"].startswith("cgroup") for one in by)
    in_force = memory_limit_bytes if in_group else address_space_bytes
    if in_force is None or in_force > cap:
        found = "none" if in_force is None else size_text(in_force)
        yield f"the limit on memory in force was {found}, not {size_text(cap)}"
    if memory_kills:
        yield f"the kernel killed {memory_kills} of its processes at the cap on memory"
    if memory_peak_bytes is not None and memory_peak_bytes > cap + PAGE_BYTES:
        yield f"{size_text(memory_peak_bytes)} were charged to it, and {size_text(cap)} allowed"
    if resident_peak_bytes is not None and resident_peak_bytes > cap:
        yield (
            f"it had {size_text(resident_peak_bytes)} resident, with pages of files that other "
            f"programs had read, and {size_text(cap)} allowed"
        )


def _quota(limits: Limits, quota_cpus: float | None) -> Iterable[str]:
    asked = limits.quota_cpus
    if asked is None or (quota_cpus is not None and quota_cpus <= asked * QUOTA_ROUNDING):
        return
    found = "none" if quota_cpus is None else f"{quota_cpus:g} CPUs"
    yield f"the quota of CPU time in force was {found}, not {asked:g}"


def _most(read: Sequence[Mapping[str, Any]], name: str) -> Any:
    """Return the largest limit over the launches; None if there was none in one of them."""
    found = [one[name] for one in read]
    return None if not found or None in found else max(found)


def _highest(sizes: Iterable[int | None]) -> int | None:
    return max((size for size in sizes if size is not None), default=None)


def _resident_peak(memory: Mapping[str, Any] | None) -> int | None:
    """Return the most that one launch had resident, its children included, in bytes."""
    phases = memory["phases"] if memory else {}
    return _highest(one["peak"] for name, one in phases.items() if name not in NOT_OF_RUNNING)
