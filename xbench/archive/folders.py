"""Which folders of a store are runs, and whether one has changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from xbench.archive.quarantine import FOLDER as QUARANTINE
from xbench.keeping import LOCK
from xbench.store import REQUEST, RESULT, SAMPLES

MARKS = tuple(f'"{name}"' for name in (RESULT, REQUEST, SAMPLES, QUARANTINE))


def run_folders(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each run folder in ``root``, and its fingerprint."""
    with os.scandir(root) as entries:
        names = [one.name for one in entries if one.is_dir() and not one.name.startswith(".")]
    for name in sorted(names):
        prints = fingerprint(root / name)
        if any(mark in prints for mark in MARKS):
            yield name, prints


def fingerprint(folder: Path) -> str:
    """Return what changes when a file of the folder does: its size, its times, or its inode."""
    prints = []
    try:
        with os.scandir(folder) as entries:
            for one in entries:
                if one.name == LOCK or (one.is_dir() and one.name != QUARANTINE):
                    continue
                told = one.stat()
                size = 0 if one.is_dir() else told.st_size
                prints.append([one.name, size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino])
    except OSError:
        return ""
    return json.dumps(sorted(prints), separators=(",", ":"))
