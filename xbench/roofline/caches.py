"""How much the caches of some CPUs hold: what need not come from memory again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from xbench.cgroup import read_text

FOLDER = Path("/sys/devices/system/cpu")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def cache_bytes(cpus: Iterable[int], folder: Path = FOLDER) -> int | None:
    """Return the bytes of all caches for data that the CPUs have, each once; None if none is told.

    All levels are added, as if none held what another does: no set of CPUs keeps more.

    Args:
        cpus: Their numbers.
        folder: Where the kernel tells of its processors.
    """
    found: dict[tuple[str | None, str], int] = {}
    for cpu in cpus:
        for cache in (folder / f"cpu{cpu}/cache").glob("index*"):
            size = re.fullmatch(r"(\d+)([KMG])", read_text(cache / "size") or "")
            if size and read_text(cache / "type") != "Instruction":
                sharing = read_text(cache / "shared_cpu_list") or str(cpu)
                found[read_text(cache / "level"), sharing] = int(size[1]) * UNITS[size[2]]
    return sum(found.values()) or None
