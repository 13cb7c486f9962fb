"""What one process holds of the host's memory, as the kernel tells it, in bytes.

``status`` has the high-water mark of the resident set (`VmHWM`); ``smaps_rollup`` walks the page
tables, so its sums are exact, and it tells private from shared pages. Neither is an estimate of
virtual size, which says what was asked for and not what is held.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KIB = 1024
LINE = re.compile(r"^(\w+):[ \t]+(\d{1,15}) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory of a process in bytes; None where its kernel does not tell.

    Attributes:
        peak: The largest resident set since the mark was last reset.
        rss: Pages in memory now.
        pss: The same, with each shared page divided by the processes that map it.
        private: Pages that no other process maps.
        anonymous: Pages that no file backs: the heap, stacks, and changed copies of file pages.
        file: The rest of ``rss``: mapped files, which the kernel may drop, and shared memory.
        swap: What was moved out of memory, and is in none of the above.
    """

    peak: int | None = None
    rss: int | None = None
    pss: int | None = None
    private: int | None = None
    anonymous: int | None = None
    file: int | None = None
    swap: int | None = None


def sizes(text: str) -> dict[str, int]:
    """Return the sizes in a ``status`` or ``smaps_rollup``, in bytes; other lines do not count."""
    return {name: int(kib) * KIB for name, kib in LINE.findall(text)}


def usage(status: Mapping[str, int], rollup: Mapping[str, int]) -> Usage:
    """Return the memory of a process from the sizes in its two files; either may be empty."""
    rss = rollup.get("Rss", status.get("VmRSS"))
    anonymous = rollup.get("Anonymous", status.get("RssAnon"))
    private = [size for key in ("Private_Clean", "Private_Dirty") if (size := rollup.get(key))]
    # The mark is kept from counters that lag on many CPUs; it is never below what is held now.
    marks = [mark for mark in (status.get("VmHWM"), rss) if mark is not None]
    return Usage(
        peak=max(marks) if "VmHWM" in status else None,
        rss=rss,
        pss=rollup.get("Pss"),
        private=sum(private) if rollup else None,
        anonymous=anonymous,
        file=max(0, rss - anonymous) if rss is not None and anonymous is not None else None,
        swap=rollup.get("Swap", status.get("VmSwap")),
    )


def read_usage(process: Path) -> Usage:
    """Return the memory of the process with the folder ``process``, such as ``/proc/self``."""
    return usage(read_sizes(process / "status"), read_sizes(process / "smaps_rollup"))


def read_sizes(path: Path) -> dict[str, int]:
    """Return the sizes in a file of ``/proc``; none where it cannot be read."""
    try:
        return sizes(path.read_text(encoding="ascii", errors="replace"))
    except OSError:  # the process has ended, or the kernel or a container hides the file
        return {}


def reset_peak(process: Path) -> str | None:
    """Set the high-water mark to what is resident now; return why that was not possible."""
    try:
        (process / "clear_refs").write_text("5")  # proc(5): CLEAR_REFS_MM_HIWATER_RSS
    except OSError as error:
        return error.strerror or type(error).__name__
    return None
