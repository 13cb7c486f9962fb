"""Runs taken out of bundles into a store, each whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from xbench.archive import manifest
from xbench.archive.manifest import NO_BUNDLE, Held, Packed
from xbench.archive.quarantine import SETTLED_S
from xbench.errors import UsageError
from xbench.keeping import hold, sync
from xbench.store import CHUNK_BYTES

MOST_MANIFEST_BYTES = 2**28
UNPACKING = ".merge-"
COPY_AGAIN = "Copy it again from where it was made"
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


class Outcome(StrEnum):
    """What became of a run of a bundle."""

    ADDED = "added"
    RENAMED = "renamed"  # added by another name, since another run has its own
    THERE = "already there"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A run of a bundle, and what became of it.

    Attributes:
        folder: Where it is, or None where it was refused.
        reason: Why it was refused.
    """

    bundle: Path
    name: str
    outcome: Outcome
    folder: Path | None = None
    reason: str = ""


def merge(bundles: Sequence[Path], root: Path) -> tuple[Merged, ...]:
    """Return what became of each run of ``bundles``: those that ``root`` has not are added.

    A run appears under its name when all its files are on the disk and have their hashes. One
    that is damaged costs no other.

    Raises:
        UsageError: If a bundle is none, before anything is unpacked of any; or ``root`` cannot be
            written to.
    """
    opened = [(path, read_manifest(path)) for path in bundles]
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
    except OSError as error:
        raise UsageError(
            f"cannot write to {root}: {error.strerror}", "Name another place"
        ) from error
    return tuple(_merge(path, run, root) for path, runs in opened for run in runs)


def read_manifest(path: Path) -> tuple[Packed, ...]:
    """Return the runs that a bundle names; that it holds them is seen when they are unpacked.

    Raises:
        UsageError: If it is no bundle, or not what was written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(manifest.NAME)
            if info.file_size > MOST_MANIFEST_BYTES:
                raise UsageError(f"the list of files in {path} is too long", NO_BUNDLE)
            return manifest.from_bytes(archive.read(info), path)
    except KeyError as error:
        raise UsageError(f"{path} is no bundle of xbench: it has no manifest", NO_BUNDLE) from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", NO_BUNDLE) from error
    except _BROKEN as error:
        raise UsageError(f"{path} is damaged, or no bundle: {error}", COPY_AGAIN) from error


def _merge(bundle: Path, run: Packed, root: Path) -> Merged:
    def became(outcome: Outcome, folder: Path | None = None, reason: str = "") -> Merged:
        return Merged(bundle=bundle, name=run.name, outcome=outcome, folder=folder, reason=reason)

    try:
        there, _ = _places(run, root)
        if there is None:
            with _unpacked(bundle, run, root) as unpacked:
                there, free = _put(unpacked, run, root)
        if there is not None:
            return became(Outcome.THERE, there)
    except OSError as error:
        return became(Outcome.REFUSED, reason=error.strerror or str(error))
    except (*_BROKEN, KeyError) as error:
        return became(Outcome.REFUSED, reason=str(error))
    return became(Outcome.ADDED if free.name == run.name else Outcome.RENAMED, free)


def _put(unpacked: Path, run: Packed, root: Path) -> tuple[Path | None, Path]:
    """Give an unpacked run a name that is free; see `_places` for what is returned."""
    while True:
        there, free = _places(run, root)
        if there is None:
            try:
                unpacked.rename(free)  # a folder that is not empty is never replaced
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another merge was quicker
                    continue
                raise
            sync(root)
        return there, free


def _places(run: Packed, root: Path) -> tuple[Path | None, Path]:
    """Return the folder that is this run already, if there is one, and one that is free."""
    candidate, again = root / run.name, 1
    while candidate.exists():
        if manifest.packed(candidate).identity == run.identity:
            return candidate, candidate
        again += 1
        candidate = root / f"{run.name}-{again}"
    return None, candidate


@contextmanager
def _unpacked(bundle: Path, run: Packed, root: Path) -> Iterator[Path]:
    """Give a hidden folder in ``root`` with the files of a run, each as its hash says.

    Raises:
        OSError: If it cannot be written.
        ValueError: If a file is not what the manifest says.
        KeyError: If one is missing.
    """
    folder = root / f"{UNPACKING}{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir()
    held = hold(folder)
    try:
        with zipfile.ZipFile(bundle) as archive:
            for name, told in run.files.items():
                target = folder / name
                target.parent.mkdir(exist_ok=True)
                _extract(archive, f"{run.name}/{name}", told, target)
        for name in (".", *manifest.FOLDERS):
            sync(folder / name)
        yield folder
    finally:
        if held is not None:
            os.close(held)
        shutil.rmtree(folder, ignore_errors=True)  # nothing is left of it where it was renamed


def _extract(archive: zipfile.ZipFile, name: str, told: Held, target: Path) -> None:
    """Write one file; never more than the manifest says, whatever the archive claims."""
    found, left = hashlib.sha256(), told.bytes
    with archive.open(name) as source, target.open("xb") as file:
        while part := source.read(CHUNK_BYTES):
            left -= len(part)
            if left < 0:
                raise ValueError(f"{name} is longer than the bundle's list says")
            found.update(part)
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    if left or found.hexdigest() != told.sha256:
        raise ValueError(f"{name} is not what was bundled")


def _sweep(root: Path) -> None:
    """Remove what a merge that was killed had unpacked; its bundle has it still."""
    for folder in root.glob(f"{UNPACKING}*"):
        try:
            if time.time() - folder.stat().st_mtime < SETTLED_S:
                continue  # it may not be held yet
            held = hold(folder)
        except OSError:  # it is being unpacked, or has gone
            continue
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)
