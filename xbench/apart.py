"""Work of an adapter in a process of its own, such as a conversion, and its errors told.

A framework that only converts has no place in a process that measures: its threads and memory
would count. `ask` runs ``python -m MODULE JOB`` with a JSON job; the module calls `answer`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xbench import errors
from xbench.errors import XbenchError

Message = dict[str, Any]


def ask(module: str, job: Mapping[str, Any], folder: Path, what: str) -> Message:
    """Return what another process answers to a job.

    Args:
        module: What it runs, importable from here.
        job: JSON can hold it; ``answer`` is added, the file to which the answer is written.
        folder: Where that file lies; nobody else's.
        what: What it does, for errors, such as ``the conversion``.

    Raises:
        XbenchError: What the other process raised of these.
        MemoryError: If it was killed, most likely for memory.
        RuntimeError: If it failed in another way.
    """
    path = folder / "answer.json"
    found = os.pathsep.join(one for one in sys.path if one)
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps({**job, "answer": str(path)})],
        env={**os.environ, "PYTHONPATH": found},
        stdin=subprocess.DEVNULL,
        stdout=2,  # beside stderr, in the worker's log
    )
    if done.returncode == -signal.SIGKILL:
        raise MemoryError(f"{what} was killed")
    if done.returncode or not path.exists():
        raise RuntimeError(f"{what} ended with exit status {done.returncode}")
    said: Message = json.loads(path.read_text())
    if error := said.get("error"):
        raise _raised(error["type"], error["arguments"])
    return said


def answer(work: Callable[[Message], Message]) -> None:
    """Do the job that the first argument is, and write what came of it: the other end of `ask`."""
    job = json.loads(sys.argv[1])
    try:
        said = work(job)
    except XbenchError as error:
        said = {"error": {"type": type(error).__name__, "arguments": list(error.args)}}
    except Exception as error:  # the process's boundary: the other one must hear of it
        traceback.print_exc()
        said = {"error": {"type": type(error).__name__, "arguments": [str(error)]}}
    Path(job["answer"]).write_text(json.dumps(said))


def _raised(kind: str, arguments: list[Any]) -> Exception:
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, XbenchError):
        return known(*arguments)
    return RuntimeError(f"{kind}: {arguments[0]}")
