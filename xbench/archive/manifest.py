"""What a bundle holds: runs, their files, and the hash of each; and what may not be in one.

A bundle is a ZIP file that any tool can open::

    manifest.json            this, sealed (`xbench.seal`)
    RUN/run.json             each run folder as it was, without what is only of its machine:
    RUN/samples.jsonl        the lock, outputs that wait to be compared, and the quarantine
    RUN/logs/...
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xbench import seal
from xbench.errors import UsageError
from xbench.store import file_sha256

FORMAT = 1
NAME = "manifest.json"
FOLDERS = ("logs",)  # of a run folder, that go with it
LONGEST_NAME_BYTES = 255
LEFT_OUT = ("outputs", "quarantine")
NO_BUNDLE = "Give a file that `xbench bundle` wrote"


@dataclass(frozen=True, slots=True)
class Held:
    """A file: its size and its SHA-256."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Packed:
    """A run in a bundle.

    Attributes:
        name: The name of its folder.
        files: By their path within it, such as ``logs/0.log``.
    """

    name: str
    files: Mapping[str, Held]

    @property
    def identity(self) -> str:
        """Return what two runs share only if they have the same files with the same bytes."""
        lines = (f"{name}\0{held.sha256}\n" for name, held in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def packed(folder: Path) -> Packed:
    """Return what a bundle would hold of a run folder.

    Raises:
        OSError: If a file cannot be read.
    """
    files = [one for one in folder.iterdir() if _goes_along(one)]
    for name in FOLDERS:
        inner = folder / name
        files += [one for one in inner.iterdir() if _goes_along(one)] if inner.is_dir() else []
    held = {
        one.relative_to(folder).as_posix(): Held(one.stat().st_size, file_sha256(one))
        for one in sorted(files)
    }
    return Packed(folder.name, held)


def to_text(runs: tuple[Packed, ...]) -> str:
    """Return the manifest of a bundle: the same text for the same runs."""
    own = [
        {"name": run.name, "files": {name: asdict(held) for name, held in run.files.items()}}
        for run in runs
    ]
    return seal.sealed_text({"xbench_bundle": FORMAT, "runs": own})


def from_bytes(data: bytes, bundle: Path) -> tuple[Packed, ...]:
    """Return the runs that a manifest names; ``bundle`` is what an error names.

    Raises:
        UsageError: If it is damaged, of a newer xbench, or names what may not be in a bundle.
    """
    if seal.state(data) is not seal.State.WHOLE:
        again = "Copy it again from where it was made"
        raise UsageError(f"{bundle} is damaged: its list of files is not what was written", again)
    document = json.loads(data)
    number = document.get("xbench_bundle")
    if not isinstance(number, int):
        raise UsageError(f"{bundle} is no bundle of xbench", NO_BUNDLE)
    if number > FORMAT:
        raise UsageError(f"{bundle} was written by a newer xbench", "Update xbench")
    try:
        runs = tuple(_packed(told) for told in document["runs"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{bundle} is no bundle of xbench: {error}", NO_BUNDLE) from error
    if len({run.name for run in runs}) < len(runs):
        raise UsageError(f"{bundle} names a run twice", NO_BUNDLE)
    return runs


def _packed(told: Mapping[str, Any]) -> Packed:
    files = {
        str(name): Held(int(of["bytes"]), str(of["sha256"])) for name, of in told["files"].items()
    }
    name = str(told["name"])
    for path in (name, *files):
        check_path(path)
    if "/" in name:
        raise ValueError(f"{name[:60]!r} is no name of a run")
    return Packed(name, files)


def check_path(path: str) -> None:
    """Return if a path stays within its folder, whatever machine it is unpacked on.

    Raises:
        ValueError: If it does not, or could be taken for something of xbench's own.
    """
    parts = path.split("/")
    inner = len(parts) == 1 or (len(parts) == 2 and parts[0] in FOLDERS)
    if not inner or not all(_is_plain(part) for part in parts) or parts[0] in LEFT_OUT:
        raise ValueError(f"{path[:60]!r} may not be in a bundle")


def _is_plain(part: str) -> bool:
    """Return whether a name is a file's own everywhere: no folder, drive, stream or hidden file."""
    short = 0 < len(part.encode(errors="replace")) <= LONGEST_NAME_BYTES
    return short and part.isprintable() and not part.startswith(".") and not set(part) & set("\\/:")


def _goes_along(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and _is_plain(path.name)
