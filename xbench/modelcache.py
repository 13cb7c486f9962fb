"""Built models, kept by what they were built from.

The cache is ``$XBENCH_CACHE``, or ``xbench`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. A model
lies in ``models/NAME-KEY/model.onnx``; a folder of that name is complete, since it gets its
name when it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import select
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.building import BUILDERS, build
from xbench.errors import InterruptedRunError, ModelError

if TYPE_CHECKING:
    from xbench.progress import Progress

RETRY_S = 0.2
UNUSED_S = 30 * 24 * 3600.0  # a model that nobody has asked for since makes room
ELSEWHERE = "Set XBENCH_CACHE to a folder that you can write to, with room for the model"


def cache_folder() -> Path:
    """Return the folder of what xbench can make again."""
    if own := os.environ.get("XBENCH_CACHE"):
        return Path(own).absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(shared) if Path(shared).is_absolute() else Path.home() / ".cache"
    return base / "xbench"  # the XDG rules: a path that is not absolute is ignored


def cached(
    name: str, factory: str, seed: int, progress: Progress, wake_fd: int | None = None
) -> Path:
    """Return the model file of a recipe, which is built unless it was before.

    Raises:
        ModelError: If it cannot be built, or the cache cannot be written.
        InterruptedRunError: If the user asked to stop.
    """
    folder = cache_folder() / "models" / f"{name}-{key(factory, seed)}"
    model = folder / "model.onnx"
    try:
        if not model.is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _alone(folder, progress, wake_fd):
                if not model.is_file():  # another may have built it while we waited
                    _fill(folder, name, factory, seed, progress, wake_fd)
            _make_room(folder.parent, name)
        _touch(folder)
    except OSError as error:
        reason = f"the model cache cannot be written: {error.strerror}: {folder.parent}"
        raise ModelError(reason, ELSEWHERE) from error
    return model


def key(factory: str, seed: int) -> str:
    """Return what tells a model's content: its recipe's sources, the exporter's, versions, seed."""
    digest = hashlib.sha256(f"{factory} {seed}".encode())
    for package in sorted({factory.partition(":")[0].partition(".")[0], "xbench_models"}):
        for path in _sources(package):
            digest.update(f"\n{path.name} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    for package in BUILDERS:
        digest.update(f"\n{package} {_version(package)}".encode())
    return digest.hexdigest()[:20]


def _fill(
    folder: Path,
    name: str,
    factory: str,
    seed: int,
    progress: Progress,
    wake_fd: int | None,
) -> None:
    progress.phase(f"building {name}, once: it is kept in {folder.parent}")
    unfinished = folder.with_name(f".{folder.name}")
    _sweep(folder.parent)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        build(factory, unfinished / "model.onnx", seed, progress, needs=BUILDERS, wake_fd=wake_fd)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _alone(folder: Path, progress: Progress, wake_fd: int | None) -> Iterator[None]:
    """Hold the lock of one model's folder, after waiting for whoever builds it now."""
    lock = os.open(folder.with_name(f".{folder.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        told = False
        while not _try_lock(lock):
            if not told:
                progress.phase(f"waiting for another xbench that builds {folder.name}")
                told = True
            if wake_fd is not None and select.select([wake_fd], [], [], 0)[0]:
                raise InterruptedRunError("stopped while waiting for a model to be built")
            time.sleep(RETRY_S)
        yield
    finally:
        os.close(lock)  # gives it up as well


def _sweep(models: Path) -> None:
    """Remove what killed builds left: folders without their final name, whose lock is free."""
    for lock in models.glob(".*.lock"):
        descriptor = os.open(lock, os.O_RDWR)
        try:
            if _try_lock(descriptor):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_room(models: Path, name: str) -> None:
    """Remove builds of this model that have not been asked for in a month."""
    for old in models.glob(f"{name}-*"):
        if old.stat().st_mtime < time.time() - UNUSED_S:
            shutil.rmtree(old, ignore_errors=True)


def _touch(folder: Path) -> None:
    try:
        os.utime(folder)
    except PermissionError:  # a cache that is shared and may only be read
        return


def _sources(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None:
        raise ModelError(f"there is no package {package}", "Install the models' plug-in again")
    if spec.submodule_search_locations is None:
        return [Path(spec.origin)] if spec.origin else []
    return sorted(p for top in spec.submodule_search_locations for p in Path(top).rglob("*.py"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
