"""Engines, kept by what they were built from, in a folder that nobody else can write.

An engine is code: whoever can put a file in its place decides what runs. So they lie in
``tensorrt/KEY/`` of the cache, in a folder that is this user's and closed to all others, each with
a manifest of what it was built from and of its digest. One that does not match is built again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from xbench.modelcache import cache_folder

ENGINE, MANIFEST = "model.engine", "manifest.json"
MOST_BYTES = 16 * 2**30
UNUSED_S = 30 * 24 * 3600.0  # what nobody has asked for since makes room
FOLDER = "tensorrt"


@dataclass(frozen=True, slots=True)
class Kept:
    """An engine whose bytes are those that were built.

    Attributes:
        engine: The engine itself: what was checked is what is run.
        report: What its building told.
    """

    engine: bytes
    report: dict[str, Any]


def key(what: Mapping[str, Any]) -> str:
    """Return the name under which an engine is kept, of all that decides it."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def folder() -> Path | None:
    """Return the folder of engines; None where it cannot be made, or is open to others."""
    found = cache_folder() / FOLDER
    try:
        found.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return found if _private(found) else None


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold the lock of a key, after waiting for whoever builds its engine now.

    Few locks serve all keys, so that none is ever left behind. Where nothing can be kept,
    nobody waits.
    """
    top = folder()
    if top is None:
        yield
        return
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW
    try:
        lock = os.open(top / f".{name[:2]}.lock", flags, 0o600)
    except OSError:  # a disk that is full, or may only be read
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)  # gives it up as well


def find(what: Mapping[str, Any]) -> Kept | None:
    """Return the engine that was built from ``what``, if it is there and whole; mark it as used."""
    top = folder()
    if top is None or not _private(place := top / key(what)):
        return None
    try:
        manifest = json.loads(_read(place / MANIFEST))
        engine = _read(place / ENGINE)
    except (OSError, ValueError):  # none, or what a full disk left of it
        return None
    if not isinstance(manifest, dict) or manifest.get("built_from") != what:
        return None
    if manifest.get("sha256") != hashlib.sha256(engine).hexdigest():
        return None
    with suppress(OSError):
        os.utime(place)
    return Kept(engine, manifest["report"])


def keep(what: Mapping[str, Any], engine: bytes, report: Mapping[str, Any]) -> bool:
    """Return whether an engine is kept; it is not where the cache is full, or open to others."""
    top = folder()
    if top is None:
        return False
    digest = hashlib.sha256(engine).hexdigest()
    manifest = {"built_from": what, "sha256": digest, "report": report}
    unfinished = None
    try:
        _make_room(top, len(engine))
        unfinished = Path(mkdtemp(prefix=".building-", dir=top))  # its mode is 0700
        (unfinished / ENGINE).write_bytes(engine)
        (unfinished / MANIFEST).write_text(json.dumps(manifest))
        shutil.rmtree(top / key(what), ignore_errors=True)  # there only if it does not match
        unfinished.rename(top / key(what))
    except OSError:
        return False
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
    return True


def timings(what: Mapping[str, Any]) -> Path | None:
    """Return the file of what kernels took on one GPU with one TensorRT; None if none is kept."""
    top = folder()
    return top / f"timings-{key(what)}.cache" if top is not None else None


def read_timings(path: Path | None) -> bytes:
    """Return what was kept of earlier timings; nothing where that is not ours, or not there."""
    try:
        return _read(path) if path is not None else b""
    except OSError:
        return b""


def _read(path: Path) -> bytes:
    """Return a file's content, if it is a file of this user's that only this user can write.

    Raises:
        OSError: If it is not.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise PermissionError(f"{path} is not ours alone")
        return file.read()


def _private(place: Path) -> bool:
    """Return whether a folder, not a link to one, is this user's and closed to all others."""
    try:
        found = place.lstat()
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return ours and not found.st_mode & 0o077


def _make_room(top: Path, needed_bytes: int) -> None:
    """Remove what nobody has used for long, and what is most of all too much, oldest first."""
    now = time.time()
    used = sorted((one.stat().st_mtime, one) for one in top.iterdir() if one.is_dir())
    sizes = {one: sum(file.stat().st_size for file in one.iterdir()) for _, one in used}
    left = sum(sizes.values()) + needed_bytes
    for used_s, one in used:
        if now - used_s > UNUSED_S or left > MOST_BYTES:
            shutil.rmtree(one, ignore_errors=True)
            left -= sizes[one]
