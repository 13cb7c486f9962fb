"""Servers of other projects on loopback, each in a process group that surely ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DEADLINE_S = 240.0  # a busy machine takes a while to start them
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int, log: Path, path: str = "/") -> Iterator[str]:
    """Run a server until the block ends, and give its address once it answers there."""
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=log.parent,
            env={**os.environ, **QUIET},
        )
        try:
            eventually(lambda: _answers(server, f"{address}{path}", log))
            yield address
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # it and all that it started
            server.wait()


def read_json(address: str, **arguments: str) -> Any:
    """Return what a server answers, parsed."""
    query = f"?{urllib.parse.urlencode(arguments)}" if arguments else ""
    with _DIRECT.open(f"{address}{query}", timeout=30) as answer:
        return json.load(answer)


def eventually(look: Callable[[], Any]) -> Any:
    """Return the first answer that is not empty."""
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.2)
    raise TimeoutError(f"nothing within {DEADLINE_S:g} s")


def _answers(server: subprocess.Popen[bytes], address: str, log: Path) -> bool:
    if server.poll() is not None:
        raise AssertionError(f"the server ended: {log.read_text()}")
    try:
        with _DIRECT.open(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
