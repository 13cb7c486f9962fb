"""Bytes that stay: whole files by rename, files that grow by append, one writer a folder.

A reader finds the old file or the new one, whole lines, and at most one piece of a line at the end:
whatever moment the writer was killed at, or the disk was full.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".lock"


def write_atomically(path: Path, text: str | bytes) -> None:
    """Write ``text`` to ``path`` so that a reader finds the old file or the new one, never half.

    When it returns, the file is on the disk, and so is its name.

    Raises:
        OSError: If it cannot be written; the old file is as it was.
    """
    with replacing(path) as descriptor:
        _write_all(descriptor, text.encode() if isinstance(text, str) else text)


@contextmanager
def replacing(path: Path) -> Iterator[int]:
    """Give a descriptor of a new file that takes the place of ``path`` when all went well.

    Raises:
        OSError: If it cannot be written; the old file is as it was.
    """
    # Other writers may be other threads, or other machines with processes of the same number.
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, path)  # noqa: PTH105 # a call that the tests of faults can stand before
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def append(path: Path, lines: str) -> None:
    """Append whole lines to ``path``, after a piece of one that a kill may have left.

    Raises:
        OSError: If they cannot all be written; what was is taken back where it can be.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        end = os.fstat(descriptor).st_size
        torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
        try:
            _write_all(descriptor, (b"\n" if torn else b"") + lines.encode())
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; best effort."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def hold(folder: Path, *, wait: bool = False) -> int | None:
    """Return a descriptor that keeps ``folder`` for this writer until it is closed.

    None where the file system knows no locks: nobody can be kept out there.

    Args:
        folder: What is to be written in.
        wait: Wait for another writer: only for one that soon has done.

    Raises:
        BlockingIOError: If another writer has it, and this one does not wait.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def is_held(folder: Path) -> bool:
    """Return whether a writer has ``folder`` now."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
