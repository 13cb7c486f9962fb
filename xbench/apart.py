"""Work of an adapter in a process of its own, such as a conversion, and its errors told.

A framework that only converts has no place in a process that measures: its threads and memory
would count. `ask` runs ``python -m MODULE JOB`` with a JSON job; the module calls `answer`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from xbench import errors
from xbench.errors import InterruptedRunError, XbenchError

Message = dict[str, Any]


def ask(
    module: str,
    job: Mapping[str, Any],
    folder: Path,
    what: str,
    *,
    wake_fd: int | None = None,
    log: Path | None = None,
) -> Message:
    """Return what another process answers to a job.

    Args:
        module: What it runs, importable from here.
        job: JSON can hold it; ``answer`` is added, the file to which the answer is written.
        folder: Where that file lies; nobody else's.
        what: What it does, for errors, such as ``the conversion``.
        wake_fd: Becomes readable when the user asks to stop. With it the other process has a
            session of its own, where no key of the terminal reaches it, and it ends with this one.
        log: The file that it may write its words to; without it they go to stderr.

    Raises:
        XbenchError: What the other process raised of these.
        InterruptedRunError: If the user asked to stop; the other process is gone then.
        MemoryError: If it was killed, most likely for memory.
        RuntimeError: If it failed in another way.
    """
    path = folder / "answer.json"
    with _started(module, {**job, "answer": str(path)}, wake_fd is not None, log) as process:
        _wait(process, wake_fd, what)
    if process.returncode == -signal.SIGKILL:
        raise MemoryError(f"{what} was killed")
    if process.returncode or not path.exists():
        raise RuntimeError(f"{what} ended with exit status {process.returncode}{_last(log)}")
    said: Message = json.loads(path.read_text())
    if error := said.get("error"):
        raise _raised(error["type"], error["arguments"])
    return said


def answer(work: Callable[[Message], Message]) -> None:
    """Do the job that the first argument is, and write what came of it: the other end of `ask`."""
    job = json.loads(sys.argv[1])
    if (watched := job.get("parent")) is not None:
        threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    try:
        said = work(job)
    except XbenchError as error:
        said = {"error": {"type": type(error).__name__, "arguments": list(error.args)}}
    except Exception as error:  # the process's boundary: the other one must hear of it
        traceback.print_exc()
        said = {"error": {"type": type(error).__name__, "arguments": [str(error)]}}
    Path(job["answer"]).write_text(json.dumps(said))


@contextmanager
def _started(
    module: str, job: Message, apart: bool, log: Path | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the other process, which is gone when this block ends."""
    found = os.pathsep.join(one for one in sys.path if one)
    watched, held = os.pipe()  # at its end of file the other process knows that we are gone
    job = {**job, "parent": watched} if apart else job
    try:
        with log.open("wb") if log else nullcontext(2) as words:  # stderr: a worker's log
            process = subprocess.Popen(
                [sys.executable, "-m", module, json.dumps(job)],
                env={**os.environ, "PYTHONPATH": found},
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                pass_fds=(watched,) if apart else (),
                start_new_session=apart,
            )
    except BaseException:
        os.close(held)
        raise
    finally:
        os.close(watched)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if apart else process.kill()
        process.wait()
        os.close(held)


def _wait(process: subprocess.Popen[bytes], wake_fd: int | None, what: str) -> None:
    """Return once a process has ended."""
    if wake_fd is None:
        process.wait()
        return
    ended = os.pidfd_open(process.pid)
    try:
        if wake_fd in select.select([ended, wake_fd], [], [])[0]:
            raise InterruptedRunError(f"stopped during {what}")
    finally:
        os.close(ended)
    process.wait()


def _end_with(watched: int) -> None:
    """End this process when the one that asked is gone."""
    os.read(watched, 1)
    os._exit(1)


def _last(log: Path | None) -> str:
    lines = log.read_text(errors="replace").split("\n") if log else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" ({last[:160]})" if last else ""


def _raised(kind: str, arguments: list[Any]) -> Exception:
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, XbenchError):
        return known(*arguments)
    return RuntimeError(f"{kind}: {arguments[0]}")
