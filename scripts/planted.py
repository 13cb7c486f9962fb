"""A plug-in for experiments: ONNX Runtime, whose inference takes a share longer when it is told so.

`install` gives it to this process and its workers as any third party's plug-in is found: by the
entry point in the metadata of a distribution on the path.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from xbench.adapter import BoundModel, Limits, Session
from xbench_adapters.onnxruntime import OnnxRuntimeAdapter

SHARE = "XBENCH_PLANTED_SHARE"
NAME = "planted"


class SlowedSession:
    """Another session; each inference is followed by spinning for a share of its time."""

    def __init__(self, inner: Session, share: float) -> None:
        self._inner = inner
        self._share = share

    def run(self) -> None:
        """Run once, and keep one CPU busy for the rest."""
        start_ns = perf_counter_ns()
        self._inner.run()
        self._inner.synchronize()
        ran_ns = perf_counter_ns()
        until_ns = ran_ns + round((ran_ns - start_ns) * self._share)
        while perf_counter_ns() < until_ns:
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class PlantedAdapter(OnnxRuntimeAdapter):
    """ONNX Runtime with what was planted; without it, the same code with a share of 0."""

    name = NAME

    def load(self, model: BoundModel, limits: Limits, precision: str) -> Any:
        """Return the session, slowed by the share in the environment."""
        inner = super().load(model, limits, precision)
        return SlowedSession(inner, float(os.environ.get(SHARE, "0")))


def install(folder: Path) -> None:
    """Let backends, here and in workers, have the name `NAME`: write its metadata to ``folder``."""
    metadata = folder / f"{NAME}-1.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1\n")
    point = f"[xbench.adapters]\n{NAME} = {NAME}:PlantedAdapter\n"
    (metadata / "entry_points.txt").write_text(point)
    places = [str(folder.resolve()), str(Path(__file__).resolve().parent)]
    sys.path += [place for place in places if place not in sys.path]
    old = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*places, *([old] if old else [])])


@contextmanager
def slower(share: float) -> Iterator[None]:
    """Have workers that start in the block take that share longer for an inference."""
    os.environ[SHARE] = str(share)
    try:
        yield
    finally:
        del os.environ[SHARE]
