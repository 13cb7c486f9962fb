"""Stores of runs built by hand, written by the writer that measuring runs have."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.xbench.report.runs import run_of, typical
from xbench.result import CellResult, Run
from xbench.samples import Epoch
from xbench.store import FORMAT, RunFolder

NAMES = [f"2026010{day}-120000-toy" for day in range(1, 10)]


def epoch(number: int) -> Epoch:
    return Epoch(
        cell=0,
        launch=0,
        round=number,
        position=0,
        feed=0,
        latencies_ns=(5, 6, 7),
        wall_ns=18,
        cpu_ns=10,
        canary_ns=None,
        others_cpus=None,
    )


def keep(
    root: Path, name: str = NAMES[0], run: Run | None = None, *, concluded: bool = True, **own: Any
) -> Path:
    """Write a run to a folder of the store, as a comparison does, and return the folder.

    Args:
        own: Of the document, such as ``host``.
    """
    told = (run or typical()).to_json() | {"run_id": name, "folder": str(root / name)} | own
    folder = RunFolder.create(root / name)
    request = {"format": FORMAT, "spec": told["spec"], "model": told["model"]}
    folder.write_json(
        "run.json", {**request, "began": told.get("began"), "host": told["host"], "run_id": name}
    )
    (folder.path / "feeds-0.npz").write_bytes(b"feeds " * 20)
    for number in range(3):
        folder.round((0,), (epoch(number),))
    folder.write_log("0.log", "a line\n")
    if concluded:
        folder.conclude(told)
    folder.close()
    return folder.path


def run_with(*cells: CellResult, **own: Any) -> Run:
    return run_of(cells, **own)


def damage(file: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file as a broken disk does: in place, some time ago."""
    file.write_bytes(change(file.read_bytes()))
    settle(file)


def settle(file: Path) -> None:
    """Let a file have been changed a while ago: it is no copy that is under way."""
    then = time.time() - 60
    os.utime(file, (then, then))


def flip(data: bytes) -> bytes:
    """Flip a bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def unsealed(file: Path) -> None:
    """Make a document as it was written before there were hashes."""
    document = json.loads(file.read_bytes())
    for name in ("content_sha256", "kept", "began"):
        document.pop(name, None)
    file.write_text(json.dumps(document, indent=1) + "\n")
