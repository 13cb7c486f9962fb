"""Backends of a test's own, such as one on a simulated GPU, and when its memory was read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.xbench.telemetry.nvml_sim import SimulatedNvml

PATIENCE_S = 60.0
SOURCE = """
from xbench.testing.busy import BusyAdapter, BusySession
class Mine(BusyAdapter):
    name = "on_gpu"
    variants = {"": "takes 1 ms", "slow": "takes 2 ms"}
    kinds = frozenset({"cuda"})
    def __init__(self, variant=""):
        self._run_ns = 2_000_000 if variant else 1_000_000
    def load(self, model, limits, precision):
        return BusySession(model, self._run_ns)
"""


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "on_gpu", source: str = SOURCE
) -> str:
    """Install a backend in a folder that workers find too, and return its name."""
    module = f"{name}_{folder.name.replace('-', '_')}"
    (folder / f"{module}.py").write_text(source)
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[xbench.adapters]\n{name} = {module}:Mine\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    return name


def until_seen(sim: SimulatedNvml) -> None:
    """Return when whoever watches the memory has read what it is now."""
    enough, end_s = sim.memory_reads() + 2, monotonic() + PATIENCE_S
    while sim.memory_reads() < enough and monotonic() < end_s:
        sleep(0.002)


def at_phase(steps: dict[str, Callable[[], None]]) -> Callable[[str], None]:
    """Return what does a step where a phase's text begins with its name."""

    def tell(text: str) -> None:
        for start, step in steps.items():
            if text.startswith(start):
                step()

    return tell
