"""One comparison at a time on a machine: the second waits, and says for whom."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from xbench.errors import InterruptedRunError
from xbench.interrupts import Interrupts
from xbench.progress import Progress

RETRY_S = 1.0  # rare enough not to disturb the comparison that measures


def lock_path() -> Path:
    """Return the file whose lock a measuring comparison holds; all users share it."""
    return Path(tempfile.gettempdir()) / "xbench-measuring.lock"


@contextmanager
def machine_to_itself(progress: Progress, interrupts: Interrupts) -> Iterator[None]:
    """Hold the machine's measuring lock, after waiting for whoever has it.

    Raises:
        InterruptedRunError: If the user stops the waiting.
    """
    descriptor = _open(lock_path())
    try:
        waiting = False
        while not _try_lock(descriptor):
            if interrupts.requested:
                raise InterruptedRunError("stopped while waiting for another comparison")
            if not waiting:
                owner = os.pread(descriptor, 64, 0).decode(errors="replace").strip() or "unknown"
                progress.note(
                    f"Another comparison (process {owner}) is measuring on this machine; "
                    "this one waits, since both would be wrong."
                )
                progress.phase("waiting for the other comparison to end")
                waiting = True
            sleep(RETRY_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)  # gives the lock up as well


def _open(path: Path) -> int:
    """Open for every user; a sticky folder refuses O_CREAT on another user's file."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        os.fchmod(descriptor, 0o666)
        return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
