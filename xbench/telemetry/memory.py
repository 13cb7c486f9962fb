"""The host's memory that a worker holds, phase by phase, read by the worker itself.

At the end of each phase the kernel's high-water mark is read and reset, so that a peak belongs to
its phase. Reading takes up to some 20 ms a gigabyte, and stands outside of everything timed.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from time import monotonic_ns
from typing import Any

from xbench.telemetry.children import PROC, in_phases, lists_children, read_living
from xbench.telemetry.heap import free_bytes
from xbench.telemetry.usage import KIB, Usage, read_usage, reset_peak

SELF = PROC / "self"
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
OPTIONS = re.compile(
    r".*(MALLOC|ALLOCATOR|ALLOC_CONF|ARENA).*|LD_PRELOAD|GLIBC_TUNABLES|TF_FORCE_GPU_ALLOW_GROWTH"
)
LIBRARY = re.compile(r"/(\S*(?:jemalloc|tcmalloc|mimalloc|snmalloc|hoard)[^\s/]*)$", re.MULTILINE)


class HostMemory:
    """What this process holds at the end of each phase; begins where it is made."""

    def __init__(self, process: Path = SELF) -> None:
        self._process = process
        self._phases: dict[str, dict[str, Any]] = {}
        self._problem: str | None = None
        self._most = 0
        self._largest_child = _largest_child()

    def end(self, phase: str) -> None:
        """Read what is held, and let the next phase begin."""
        usage = read_usage(self._process)
        children = read_living(os.getpid())
        self._most = max(self._most, usage.peak or 0)
        ended = self._ended()
        for child, _ in children:
            reset_peak(PROC / str(child.pid))  # one that refuses keeps its mark: at most is told
        self._problem = reset_peak(self._process)
        self._phases[phase] = {
            **asdict(total(usage, (one for _, one in children))),
            "children": sum(one.peak or 0 for _, one in children),
            "free": free_bytes(),
            "ended": ended,
            "until_ns": monotonic_ns(),
        }

    def told(self) -> dict[str, Any]:
        """Return the phases and what bounds them, as plain data for `with_children`."""
        return {
            "phases": self._phases,
            "not_reset": self._problem,
            "child_at_most": self._largest_child or None,
            "options": allocator_options(os.environ, self._process),
        }

    def _ended(self) -> int:
        """Return what a child that has ended held for certain, in bytes; 0 if none can be told.

        The kernel begins a child's count with its parent's: only what is more is its own.
        """
        largest = _largest_child()
        grown, self._largest_child = largest > self._largest_child, largest
        certain = self._most and largest > self._most + lag_bytes()
        return largest if grown and certain else 0


def lag_bytes() -> int:
    """Return by how much the kernel's running count of a resident set may be off, in bytes.

    Each CPU counts by itself up to a batch of pages (linux/percpu_counter.h), for anonymous, file
    and shared pages apart: 0.8 MB with 2 CPUs, 100 MB with 64.
    """
    cpus = os.cpu_count() or 1
    return 3 * cpus * max(32, 2 * cpus) * resource.getpagesize()


def total(own: Usage, children: Iterable[Usage]) -> Usage:
    """Return what a process and its living children hold now; the peak stays the process's own."""
    found = own
    for child in children:
        sums = {
            field.name: _plus(getattr(found, field.name), getattr(child, field.name))
            for field in fields(Usage)
            if field.name != "peak"
        }
        found = replace(found, **sums)
    return found


def with_children(told: Mapping[str, Any], held: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return what a worker told, with the children that were seen from outside.

    In each phase ``peak`` becomes the sum of the worker's high-water mark and its children's,
    as if all had been reached at once: the phase held no more than that, but for pages that
    processes share, which count in each. ``children`` is their part.

    Args:
        told: As `HostMemory.told`.
        held: What the children held at which instant, as `ChildWatch.held`.
    """
    phases = {name: dict(phase) for name, phase in told["phases"].items()}
    seen = in_phases(held, [phase.pop("until_ns") for phase in phases.values()])
    for phase, sampled in zip(phases.values(), seen, strict=True):
        phase["children"] = max(phase["children"], phase.pop("ended"), sampled)
        phase["peak"] = _plus(phase["peak"], phase["children"])
    return {**told, "phases": phases, "children_seen": lists_children()}


def allocator_options(environment: Mapping[str, str], process: Path = SELF) -> dict[str, str]:
    """Return what changes how memory is allocated: variables, libraries, huge pages."""
    found = {name: text for name, text in environment.items() if OPTIONS.fullmatch(name)}
    libraries = sorted({Path(path).name for path in LIBRARY.findall(_text(process / "maps"))})
    if libraries:
        found["libraries"] = ", ".join(libraries)
    if chosen := re.search(r"\[(\w+)\]", _text(HUGE_PAGES)):
        found["transparent_hugepage"] = chosen[1]
    return dict(sorted(found.items()))


def _largest_child() -> int:
    """Return the most that a child held that has ended, in bytes, its parent's share included."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * KIB


def _plus(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
