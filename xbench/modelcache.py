"""Built models, kept by what they were built from.

The cache is ``$XBENCH_CACHE``, or ``xbench`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. A model
lies in ``models/NAME-KEY/model.onnx``; a folder of that name is complete, since it gets its
name when it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import select
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from xbench.building import build
from xbench.errors import InterruptedRunError, ModelError

if TYPE_CHECKING:
    from xbench.progress import Progress
    from xbench.source import Source

MODEL = "model.onnx"
RETRY_S = 0.2
UNUSED_S = 30 * 24 * 3600.0  # a model that nobody has asked for since makes room
IN_USE_S = 3600.0  # a comparison that runs now may be reading it
MOST_KEPT = 12  # of one name: whoever changes a model all day shall not fill the disk
DISTRIBUTIONS = {"tensorflow": ("tensorflow-cpu", "tensorflow-intel", "tensorflow-macos")}
ELSEWHERE = "Set XBENCH_CACHE to a folder that you can write to, with room for the model"


def cache_folder() -> Path:
    """Return the folder of what xbench can make again."""
    if own := os.environ.get("XBENCH_CACHE"):
        return Path(own).absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(shared) if Path(shared).is_absolute() else Path.home() / ".cache"
    return base / "xbench"  # the XDG rules: a path that is not absolute is ignored


@dataclass(frozen=True, slots=True)
class Kept:
    """A model file of the cache.

    Attributes:
        path: The ``.onnx`` file.
        framework: The adapter that runs what it was made from.
    """

    path: Path
    framework: str


def cached(
    name: str,
    source: Source,
    progress: Progress,
    wake_fd: int | None = None,
    *,
    needs: Sequence[str] = (),
    native: bool = False,
) -> Kept:
    """Return the model file of a recipe or a file, which is built unless it was before.

    Args:
        name: What its folder's name begins with.
        source: What it is made from; its content is known before it is built.
        progress: Hears of the build.
        wake_fd: Becomes readable when the user asks to stop.
        needs: Packages that it is built with, besides those of its form.
        native: Whether a Keras model is kept as well, beside the file.

    Raises:
        ModelError: If it cannot be built, or the cache cannot be written.
        InterruptedRunError: If the user asked to stop.
    """
    try:
        digest = key(source, (*source.form.needs, *needs))
    except OSError as error:
        reason = f"{error.filename} cannot be read: {error.strerror}"
        raise ModelError(reason, "Check the path") from error

    def find(models: Path) -> Kept:
        folder = models / f"{name}-{digest}"
        path = folder / MODEL
        if not path.is_file():
            with alone(folder, progress, wake_fd):
                if not path.is_file():  # another may have built it while we waited
                    progress.phase(f"building {name}, once: it is kept in {models}")
                    with making_of(folder) as unfinished:
                        build(
                            source,
                            unfinished / MODEL,
                            progress,
                            needs=needs,
                            native=native,
                            wake_fd=wake_fd,
                        )
                        unfinished.rename(folder)
        return Kept(path, source.form.framework or "")

    return in_cache(name, find)


def made_here(name: str, source: Source, progress: Progress, wake_fd: int | None = None) -> Kept:
    """Return the model file of the user's own factory, by the content of what it makes.

    What the factory reads besides its sources nobody knows: it is called each time, and its
    model exported unless one with the same weights and code was.

    Raises:
        ModelError: If it cannot be built, or the cache cannot be written.
        InterruptedRunError: If the user asked to stop.
    """

    def find(models: Path) -> Kept:
        folder = models / name
        with alone(folder, progress, wake_fd), making_of(folder) as unfinished:
            progress.phase(f"making {source.target}")
            built = build(
                source,
                unfinished / MODEL,
                progress,
                from_here=source.form.from_here,
                kept=models / f"{name}-",
                wake_fd=wake_fd,
            )
            if built.content is None:
                raise ModelError(f"the build of {source.target} did not tell its content")
            found = models / f"{name}-{built.content}"
            if not built.there:
                unfinished.rename(found)
        return Kept(found / MODEL, built.framework)

    return in_cache(name, find)


def key(source: Source, packages: Sequence[str]) -> str:
    """Return what tells a model's content: its source, the terms, what makes it, and versions."""
    digest = hashlib.sha256(f"{source.form.name} {source.seed} {source.terms.trusted}".encode())
    for name, shape in sorted(source.terms.shapes.items()) if source.form.shaped else ():
        digest.update(f"\n{name} {shape}".encode())
    for path in (*_content(source), *sources_of("xbench_models")):
        digest.update(f"\n{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    for package in packages:
        digest.update(f"\n{package} {version_of(package)}".encode())
    return digest.hexdigest()[:20]


def _content(source: Source) -> list[Path]:
    """Return the files that a model is made from."""
    inputs = [source.terms.inputs] if source.terms.inputs and source.form.shaped else []
    if source.form.name == "factory":
        return [*sources_of(source.target.partition(":")[0].partition(".")[0]), *inputs]
    path = Path(source.target)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return [*files, *inputs]


def in_cache(name: str, find: Callable[[Path], Kept], kind: str = "models") -> Kept:
    """Return what ``find`` finds in a folder of the cache, which is there and has been used now.

    Args:
        name: Of what is found, without what tells its content: older ones of it make room.
        find: Given the folder, it finds or makes a folder ``NAME-DIGEST`` with the model in it.
        kind: The folder's name.

    Raises:
        ModelError: If the cache cannot be written.
    """
    models = cache_folder() / kind
    try:
        models.mkdir(parents=True, exist_ok=True)
        kept = find(models)
        _touch(kept.path.parent)
        _make_room(models, name)
    except OSError as error:
        reason = f"the model cache cannot be written: {error.strerror}: {models}"
        raise ModelError(reason, ELSEWHERE) from error
    return kept


@contextmanager
def making_of(folder: Path) -> Iterator[Path]:
    """Give a folder to build in, which is gone in the end unless it got its final name."""
    unfinished = folder.with_name(f".{folder.name}")
    _sweep(folder.parent)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def alone(folder: Path, progress: Progress, wake_fd: int | None) -> Iterator[None]:
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
    """Remove builds of this model that have not been asked for in a month, or are too many."""
    own = re.compile(re.escape(name) + r"-[0-9a-f]{20,}")
    used: dict[Path, float] = {}
    for folder in models.iterdir():
        with suppress(FileNotFoundError):  # another may remove it at the same time
            if own.fullmatch(folder.name):
                used[folder] = folder.stat().st_mtime
    now = time.time()
    for place, old in enumerate(sorted(used, key=lambda folder: used[folder], reverse=True)):
        age_s = now - used[old]
        if age_s > UNUSED_S or (place >= MOST_KEPT and age_s > IN_USE_S):
            shutil.rmtree(old, ignore_errors=True)


def _touch(folder: Path) -> None:
    try:
        os.utime(folder)
    except PermissionError:  # a cache that is shared and may only be read
        return


def sources_of(package: str) -> list[Path]:
    """Return the Python files of a package, sorted."""
    spec = find_spec(package)
    if spec is None:
        raise ModelError(f"there is no package {package}", "Install the models' plug-in again")
    if spec.submodule_search_locations is None:
        return [Path(spec.origin)] if spec.origin else []
    return sorted(p for top in spec.submodule_search_locations for p in Path(top).rglob("*.py"))


def version_of(package: str) -> str:
    """Return the version of an installed package, or ``none``."""
    for distribution in (package, *DISTRIBUTIONS.get(package, ())):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "none"
