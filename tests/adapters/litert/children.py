"""Questions that processes of their own answer: native code may end the one that it runs in.

A module that is asked reads names, a line each, and writes a line of JSON for each, at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

BATCH = 200  # names a process: what LiteRT and TensorFlow keep of each adds up
ROOT = Path(__file__).resolve().parents[3]


class Child:
    """``python -m module argument``, started when it is asked, and again after it has ended."""

    def __init__(self, module: str, argument: str) -> None:
        self._command = [sys.executable, "-m", module, argument]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, name: str) -> str:
        """Return what is said of a name; ``wrong`` if that ended the process."""
        self._process = process = self._process or subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{name}\n")
        process.stdin.flush()
        if line := process.stdout.readline():
            return str(json.loads(line))
        self._process = None
        process.communicate()
        return f"wrong: the process ended with exit status {process.returncode}"

    def close(self) -> None:
        """Let the process end."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


def answers(module: str, argument: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each name and what is said of it."""
    with Child(module, argument) as child:
        for place, name in enumerate(names, 1):
            yield name, child.ask(name)
            if place % BATCH == 0:
                child.close()


def answer(say: Callable[[str], str]) -> None:
    """Write what ``say`` says of each name."""
    for line in sys.stdin:
        print(json.dumps(say(line.strip())), flush=True)  # noqa: T201 -- what is read
