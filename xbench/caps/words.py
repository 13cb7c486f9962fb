"""Caps in words, the same wherever they are read."""

from __future__ import annotations

from xbench.adapter import Limits
from xbench.units import format_bytes

_ROUND = {"GiB": 2**30, "GB": 10**9, "MiB": 2**20, "MB": 10**6}


def size_text(size_bytes: int) -> str:
    """Return a cap on memory as it was asked for, such as ``4 GiB`` or ``512 MB``."""
    for unit, size in _ROUND.items():
        if size_bytes >= size and size_bytes % size == 0:
            return f"{size_bytes // size} {unit}"
    return format_bytes(size_bytes)


def capped_text(limits: Limits) -> str:
    """Return what a row was measured on, such as ``host, capped to 4 threads and 4 GiB``."""
    count = limits.all_threads
    threads = "1 thread" if count == 1 else f"{count} threads"
    parts = [threads]
    if limits.quota_cpus is not None:
        parts.append(f"the time of {limits.quota_cpus:g} CPUs")
    if limits.memory_bytes is not None:
        parts.append(size_text(limits.memory_bytes))
    *first, last = parts
    return f"host, capped to {', '.join(first)} and {last}" if first else f"host, capped to {last}"
