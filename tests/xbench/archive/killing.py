"""A program that kills itself often: at every call of the system that a piece of work makes.

``killing.py WORK FOLDER``: a child does the work in ``FOLDER/N`` and is killed by SIGKILL just
before its N-th call, or in the middle of it where it is a write. What it was told to have been
done goes to ``FOLDER/N.told``, a name a line. The program ends when a child comes to its own end,
and prints how many were killed. Its one thread is why it is a program: a fork copies no other.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("open", "write", "fsync", "replace", "rename", "mkdir", "ftruncate", "close", "unlink")

Tell = Callable[[bytes], object]


def main() -> None:
    """Kill a child at each call, one after the other."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    work = WORKS[sys.argv[1]]  # before the forks: each would import anew
    root, number = Path(sys.argv[2]), 0
    root.mkdir(exist_ok=True)
    do = work()
    while True:
        child = os.fork()
        if child == 0:
            tell = teller(root / f"{number}.told")
            die_at(number)
            do(root / str(number), tell)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.stdout.write(f"{number}\n")
            sys.exit(os.waitstatus_to_exitcode(status))
        number += 1


def teller(path: Path) -> Tell:
    """Return a function that appends to a file, by a call that does not count."""
    file, write = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.write
    return lambda name: write(file, name)


def writing() -> Callable[[Path, Tell], None]:
    """Return the writing of a run, as a comparison does it."""
    from tests.xbench.archive import stores
    from xbench.keeping import write_atomically
    from xbench.store import RunFolder

    result = {"schema": 1, "run_id": "a", "model": {}, "host": {}, "spec": {}, "results": []}

    def do(path: Path, tell: Tell) -> None:
        folder = RunFolder.create(path)
        folder.write_json("run.json", {"format": 1})
        tell(b"run.json\n")
        for number in range(3):
            folder.round((0,), (stores.epoch(number),))
            if folder.problem is None:
                tell(f"round {number}\n".encode())
        folder.conclude(result)
        tell(b"result.json\n")
        text = (path / "result.json").read_text()
        write_atomically(path / "result.json", text)  # over an old one
        tell(b"again\n")

    return do


def indexing() -> Callable[[Path, Tell], None]:
    """Return the indexing of a store that has one run more than its index."""
    from tests.xbench.archive import stores
    from xbench.archive.index import Index

    def do(path: Path, tell: Tell) -> None:
        Index.open(path)
        tell(b"indexed\n")

    source = Path(sys.argv[3])
    stores.keep(source, stores.NAMES[0])
    Index.open(source)
    stores.keep(source, stores.NAMES[1])
    return in_copies(source, do)


def bundling() -> Callable[[Path, Tell], None]:
    """Return the bundling of a store, over an older bundle of the same name."""
    from tests.xbench.archive import stores
    from xbench.archive.bundle import bundle

    def do(path: Path, tell: Tell) -> None:
        bundle([path / stores.NAMES[0], path / stores.NAMES[1]], path / "runs.zip")
        tell(b"bundled\n")

    source = Path(sys.argv[3])
    folders = [stores.keep(source, name) for name in stores.NAMES[:2]]
    bundle(folders[:1], source / "runs.zip")
    return in_copies(source, do)


def merging() -> Callable[[Path, Tell], None]:
    """Return the merging of a bundle into a store that has another run."""
    from tests.xbench.archive import stores
    from xbench.archive.bundle import bundle
    from xbench.archive.merge import merge

    source = Path(sys.argv[3])
    folder = stores.keep(source.with_name("others"), stores.NAMES[0])
    other = bundle([folder], source.with_name("others.zip")).path
    stores.keep(source, stores.NAMES[1])

    def do(path: Path, tell: Tell) -> None:
        for one in merge([other], path):
            tell(f"{one.name}\n".encode())

    return in_copies(source, do)


def in_copies(source: Path, do: Callable[[Path, Tell], None]) -> Callable[[Path, Tell], None]:
    """Return the work, done in a folder that was copied beforehand by calls that do not count."""
    import shutil

    for number in range(int(sys.argv[4])):
        shutil.copytree(source, Path(sys.argv[2]) / str(number))
    return do


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


WORKS = {"run": writing, "index": indexing, "bundle": bundling, "merge": merging}

if __name__ == "__main__":
    main()
