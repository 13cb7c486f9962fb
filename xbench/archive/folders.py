"""Which folders of a store are runs, and whether one has changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from xbench.archive.findings import Finding, unreadable
from xbench.archive.quarantine import FOLDER as QUARANTINE
from xbench.keeping import LOCK
from xbench.store import REQUEST, RESULT, SAMPLES

MARKS = tuple(f'"{name}"' for name in (RESULT, REQUEST, SAMPLES, QUARANTINE))


def run_folders(root: Path, findings: list[Finding] | None = None) -> Iterator[tuple[str, str]]:
    """Yield the name of each run folder in ``root``, and its fingerprint.

    Args:
        root: The folder that they are in.
        findings: Takes what is wrong with folders that may be runs and cannot be looked into.
    """
    told = [] if findings is None else findings
    with os.scandir(root) as entries:
        names = sorted(one.name for one in entries if not one.name.startswith("."))
    for name in names:
        folder = root / name
        try:
            prints = fingerprint(folder)
        except (FileNotFoundError, NotADirectoryError):  # a file, or a folder that has gone
            continue
        except OSError as error:
            what = f"cannot be read ({error.strerror})"
            told.append(unreadable(folder, what, "See who may read it"))
            continue
        if not any(mark in prints for mark in MARKS):
            continue
        if name != name.encode(errors="replace").decode():
            told.append(unreadable(folder, "has a name that is not UTF-8", "Rename it"))
        else:
            yield name, prints


def fingerprint(folder: Path) -> str:
    """Return what changes when a file of the folder does: its size, its times, or its inode.

    Raises:
        OSError: If the folder cannot be read.
    """
    prints = []
    with os.scandir(folder) as entries:
        for one in entries:
            with suppress(OSError):  # a link to nothing, or a file that has gone meanwhile
                if one.name == LOCK or (one.is_dir() and one.name != QUARANTINE):
                    continue
                told = one.stat()
                size = 0 if one.is_dir() else told.st_size
                prints.append([one.name, size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino])
    return json.dumps(sorted(prints), separators=(",", ":"))
