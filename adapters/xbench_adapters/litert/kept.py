"""Flatbuffers, kept by what they were made from.

They lie in ``litert/KEY/`` of the cache, each with the report of how it came to be; a folder of
that name is complete, since it gets its name when it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from xbench.modelcache import cache_folder

MOST_BYTES = 16 * 2**30
UNUSED_S = 30 * 24 * 3600.0  # what nobody has asked for since makes room
IN_USE_S = 3600.0  # what another run may be about to open stays
FLATBUFFER, REPORT = "model.tflite", "report.json"
SOURCES = ("xbench.graph", "xbench_adapters.tensorflow", "xbench_adapters.litert")
DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "onnx", "numpy")


@dataclass(frozen=True, slots=True)
class Kept:
    """A flatbuffer in the cache, and the report that was kept with it."""

    path: Path
    report: dict[str, Any]


def key(what: Mapping[str, Any]) -> str:
    """Return what tells a flatbuffer's content: what was asked for, who converts, versions.

    Args:
        what: What was asked for, the contents of files as their hashes; JSON can hold it.
    """
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
    for package in SOURCES:
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(f"\n{path.relative_to(folder)} {path.stat().st_size}\n".encode())
                digest.update(path.read_bytes())
    for one in DISTRIBUTIONS:
        digest.update(f"\n{one} {_version(one)}".encode())
    return digest.hexdigest()[:32]


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold the lock of a key, after waiting for whoever makes its flatbuffer now.

    Few locks serve all keys, so that none is ever left behind. Where the cache cannot be
    written, nothing is kept, and nobody waits.
    """
    try:
        top = _folder()
        top.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(top / f".{name[:2]}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)  # gives it up as well


def find(name: str) -> Kept | None:
    """Return the flatbuffer of a key if it is there, whole, and mark it as used."""
    folder = _folder() / name
    try:
        report = json.loads((folder / REPORT).read_text())
        whole = (folder / FLATBUFFER).stat().st_size == report["bytes"]
    except (OSError, ValueError, KeyError):  # none, or what a full disk left of it
        return None
    with suppress(OSError):  # a cache that is shared and may only be read
        os.utime(folder)
    return Kept(folder / FLATBUFFER, report) if whole else None


def keep(name: str, flatbuffer: bytes, report: Mapping[str, Any]) -> Kept | None:
    """Return the flatbuffer once it is kept; None where the cache cannot be written."""
    top = _folder()
    try:
        _make_room(top, len(flatbuffer))
        unfinished = Path(mkdtemp(prefix=".making-", dir=top))
    except OSError:
        return None
    try:
        return _written(unfinished, top / name, flatbuffer, report)
    except OSError:
        return None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _written(
    unfinished: Path, folder: Path, flatbuffer: bytes, report: Mapping[str, Any]
) -> Kept | None:
    (unfinished / FLATBUFFER).write_bytes(flatbuffer)
    whole = {**report, "bytes": len(flatbuffer)}
    (unfinished / REPORT).write_text(json.dumps(whole))
    shutil.rmtree(folder, ignore_errors=True)  # there only if it is damaged
    unfinished.rename(folder)
    return Kept(folder / FLATBUFFER, whole)


def _make_room(top: Path, needed_bytes: int) -> None:
    """Remove what nobody has used for long, and what is most of all too much, oldest first."""
    now = time.time()
    used = sorted((one.stat().st_mtime, one) for one in top.iterdir() if one.is_dir())
    sizes = {one: sum(file.stat().st_size for file in one.iterdir()) for _, one in used}
    left = sum(sizes.values()) + needed_bytes
    for used_s, folder in used:
        age_s = now - used_s
        if age_s > UNUSED_S or (left > MOST_BYTES and age_s > IN_USE_S):
            shutil.rmtree(folder, ignore_errors=True)
            left -= sizes[folder]


def _folder() -> Path:
    return cache_folder() / "litert"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
