"""Runs put into one file, to be carried to another machine."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from xbench.archive import manifest
from xbench.archive.checking import check_run
from xbench.archive.findings import Finding
from xbench.archive.folders import run_folders
from xbench.archive.manifest import Packed
from xbench.errors import UsageError
from xbench.keeping import is_held, replacing
from xbench.store import CHUNK_BYTES, REQUEST, RESULT

DATE = (1980, 1, 1, 0, 0, 0)  # the first that ZIP knows: the same runs make the same file
LEVEL = 6
NO_RUN = "Give run folders of `xbench compare`, or the folder that they are in"


@dataclass(frozen=True, slots=True)
class Bundled:
    """A bundle that was written.

    Attributes:
        runs: What is in it.
        findings: What was wrong with them, and went along.
    """

    path: Path
    runs: tuple[Packed, ...]
    findings: tuple[Finding, ...]

    @property
    def bytes(self) -> int:
        """Return the size of the file."""
        return self.path.stat().st_size


def bundle(sources: Sequence[Path], target: Path) -> Bundled:
    """Write the runs of ``sources`` to ``target`` and return what is in it.

    The same runs make the same bytes, in whatever order they are named.

    Args:
        sources: Run folders, and folders of them.
        target: A file, which is replaced.

    Raises:
        UsageError: If there is no run, one is being written, or the file cannot be.
    """
    findings: list[Finding] = []
    folders = list(dict.fromkeys(one.resolve() for one in _folders(sources, findings)))
    for folder in folders:
        if is_held(folder):
            raise UsageError(f"{folder} is being written", "Wait until its run has ended")
        findings += check_run(folder, deep=True).findings
    try:
        chosen = _named([(folder, manifest.packed(folder)) for folder in folders])
        with replacing(target) as descriptor, os.fdopen(os.dup(descriptor), "wb") as file:
            _write(file, chosen)
    except OSError as error:
        where = error.filename or target
        raise UsageError(
            f"cannot write {target}: {error.strerror} ({where})", "See there"
        ) from error
    return Bundled(target, tuple(run for _, run in chosen), tuple(findings))


def _folders(sources: Iterable[Path], findings: list[Finding]) -> Iterator[Path]:
    """Yield the run folders that are named, and those in folders that are named.

    Raises:
        UsageError: If one is neither.
    """
    for source in sources:
        if any((source / name).is_file() for name in (RESULT, REQUEST)):
            yield source
            continue
        found = run_folders(source, findings) if source.is_dir() else ()
        inside = [source / name for name, _ in found]
        if not inside:
            raise UsageError(f"{source} is no run folder, and holds none", NO_RUN)
        yield from inside


def _named(runs: list[tuple[Path, Packed]]) -> list[tuple[Path, Packed]]:
    """Return each run once, by its name, and by another name where another run has that one."""
    chosen: dict[str, tuple[Path, Packed]] = {}
    for folder, run in sorted(runs, key=lambda one: (one[1].name, one[1].identity)):
        name, again = run.name, 1
        while name in chosen and chosen[name][1].identity != run.identity:
            again += 1
            name = f"{run.name}-{again}"
        chosen.setdefault(name, (folder, replace(run, name=name)))
    return [chosen[name] for name in sorted(chosen)]


def _write(file: BinaryIO, runs: list[tuple[Path, Packed]]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        text = manifest.to_text(tuple(run for _, run in runs))
        archive.writestr(_info(manifest.NAME), text, compresslevel=LEVEL)
        for folder, run in runs:
            for name in run.files:
                _add(archive, folder / name, f"{run.name}/{name}", run.files[name].sha256)


def _add(archive: zipfile.ZipFile, file: Path, name: str, sha256: str) -> None:
    info, found = _info(name), hashlib.sha256()
    info.file_size = file.stat().st_size  # tells ZipFile whether it needs its large format
    with file.open("rb") as source, archive.open(info, "w") as target:
        while part := source.read(CHUNK_BYTES):
            found.update(part)
            target.write(part)
    if found.hexdigest() != sha256:
        raise UsageError(f"{file} changed while it was read", "Wait until its run has ended")


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, wherever this runs
    info.external_attr = 0o100644 << 16
    return info
