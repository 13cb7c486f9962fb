"""A writer that is killed at a chosen call of the system: run as a program, it kills itself often.

``killing.py FOLDER``: for every call of a run's writing, a child writes a run to ``FOLDER/N`` and
is killed by SIGKILL just before its N-th call, or in the middle of it where it is a write. What it
was told to have been written goes to ``FOLDER/N.told``, a name a line. The program ends when a
child comes to its own end, and prints how many were killed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

CALLS = ("open", "write", "fsync", "replace", "mkdir", "ftruncate", "close")


def main() -> None:
    """Kill a child at each call, one after the other."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from tests.xbench.archive import stores  # before the forks: each would import it again
    from xbench.keeping import write_atomically

    root, number = Path(sys.argv[1]), 0
    root.mkdir(exist_ok=True)
    while True:
        child = os.fork()
        if child == 0:
            tell = teller(root / f"{number}.told")
            die_at(number)
            write_run(stores, write_atomically, root / str(number), tell)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.stdout.write(f"{number}\n")
            sys.exit(os.waitstatus_to_exitcode(status))
        number += 1


def teller(path: Path) -> Any:
    """Return a function that appends to a file, by a call that does not count."""
    file, write = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.write
    return lambda name: write(file, name)


def write_run(stores: Any, write_atomically: Any, path: Path, tell: Any) -> None:
    """Write a run as a comparison does, and tell of each thing that was written."""
    from xbench.store import RunFolder

    folder = RunFolder.create(path)
    folder.write_json("run.json", {"format": 1})
    tell(b"run.json\n")
    for number in range(3):
        folder.round((0,), (stores.epoch(number),))
        if folder.problem is None:
            tell(f"round {number}\n".encode())
    folder.conclude(
        {"schema": 1, "run_id": "a", "model": {}, "host": {}, "spec": {}, "results": []}
    )
    tell(b"result.json\n")
    write_atomically(path / "result.json", (path / "result.json").read_text())  # over an old one
    tell(b"again\n")


def die_at(number: int) -> None:
    """Let this process be killed at its N-th call of `CALLS`."""
    left = [number]

    def dying(name: str, call: Any) -> Any:
        def wrapped(*args: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                if name == "write":
                    call(args[0], bytes(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **named)

        return wrapped

    for name in CALLS:
        setattr(os, name, dying(name, getattr(os, name)))


if __name__ == "__main__":
    main()
