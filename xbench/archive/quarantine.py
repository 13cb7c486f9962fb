"""Damaged files, set aside: moved into ``RUN/quarantine`` with the reason, and never deleted.

One that changed a moment ago stays where it is: it may be a copy that is still under way.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from xbench.archive.findings import Finding, Kind
from xbench.keeping import write_atomically
from xbench.seal import sealed_text
from xbench.units import utc_text

FOLDER, REASON = "quarantine", ".reason.json"
SETTLED_S = 5.0


def set_aside(finding: Finding) -> None:
    """Move the file of a finding into quarantine, with its reason; the caller holds the folder.

    Raises:
        OSError: If it cannot be moved.
    """
    file = finding.folder / finding.file
    if 0 <= time.time() - file.stat().st_mtime < SETTLED_S:
        return
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    folder = finding.folder / FOLDER
    folder.mkdir(exist_ok=True)
    place = folder / f"{file.name.lstrip('.')}-{digest[:12]}"
    told = {
        "file": finding.file,
        "kind": finding.kind.value,
        "reason": finding.what,
        "fix": finding.fix,
        "sha256": digest,
        "found": utc_text(time.time()),
    }
    write_atomically(place.with_name(place.name + REASON), sealed_text(told))
    file.rename(place)  # the reason is there first: nothing lies here unexplained


def reasons(folder: Path) -> Iterator[Finding]:
    """Yield what is missing in a run folder since it lies in quarantine, and why."""
    for file in sorted((folder / FOLDER).glob(f"*{REASON}")):
        place = file.with_name(file.name.removesuffix(REASON))
        try:
            told = json.loads(file.read_bytes())
            name, why, fix = str(told["file"]), str(told["reason"]), str(told["fix"])
        except (OSError, ValueError, KeyError, TypeError):
            name, why, fix = place.name.rsplit("-", 1)[0], "is damaged", ""
        # One that is there again was mended, and what a kill cut off was never there.
        if place.exists() and not name.startswith(".") and not (folder / name).exists():
            what = f"{why}; set aside as {FOLDER}/{place.name}"
            yield Finding(kind=Kind.SET_ASIDE, folder=folder, file=name, what=what, fix=fix)
